//! What gateways learn, and how it comes into force: as any change does, but the model stays.

use super::draft::{Draft, Ground};
use super::{Applied, Cause, Fabric, FabricError, Host};
use crate::protocol::view::{LearnedRouteView, LearnedView, LearningView};
use postern_dataplane::policy::PortId;
use postern_host::learn::Source;
use postern_network::compile::{PortSpec, gateway_name};
use postern_network::model::{Gateway, GatewayRoutes, Learned, Model};
use tracing::{info, warn};

/// What a gateway has learned, ready to come into force.
#[derive(Debug)]
pub struct Lesson {
    gateway: String,
    /// How many routes it had.
    before: usize,
    routes: GatewayRoutes,
    /// The policy with them, if packets notice.
    draft: Option<Draft>,
}

impl<H: Host> Fabric<H> {
    /// Returns where gateways learn: those that do and whose device is attached.
    #[must_use]
    pub fn learning(&self) -> Vec<Source> {
        let gateways = self.model.gateways.iter();
        gateways
            .filter_map(|gateway| {
                let spec = self.gateway_port(gateway)?;
                Some(Source {
                    gateway: gateway.name.clone(),
                    namespace: spec.namespace.clone(),
                    place: *self.places.get(&spec.id)?,
                    device: spec.device.clone(),
                    routes: gateway.learned_routes.clone()?,
                })
            })
            .collect()
    }

    fn gateway_port(&self, gateway: &Gateway) -> Option<&PortSpec> {
        let name = gateway_name(&gateway.name);
        self.ports.iter().find(|spec| spec.name == name)
    }

    /// Makes ready what a source has now; nothing if the gateway does not learn there any more.
    ///
    /// # Errors
    ///
    /// The model does not compile with it.
    pub fn draft_learned(
        &self,
        source: &Source,
        routes: GatewayRoutes,
    ) -> Result<Option<Lesson>, FabricError> {
        if !self.learning().contains(source) {
            return Ok(None);
        }
        let gateway = &source.gateway;
        let before = self.learned.of(gateway).cloned().unwrap_or_default();
        if routes.left_out > 0 && before.left_out != routes.left_out {
            warn!(
                gateway,
                taken = routes.routes.len(),
                left_out = routes.left_out,
                "the gateway learns more prefixes than it takes: the first ones stand"
            );
        }
        let is_same = before.prefixes().eq(routes.prefixes());
        let mut learned = self.learned.clone();
        learned.set(gateway, routes.clone());
        let ground = Ground {
            learned: &learned,
            ..self.ground()
        };
        let draft = match is_same {
            // Other next hops, or another metric, for the same prefixes: packets do not notice.
            true => None,
            false => self.draft_on(ground, self.model.clone(), Cause::Forced)?,
        };
        Ok(Some(Lesson {
            gateway: gateway.clone(),
            before: before.routes.len(),
            routes,
            draft,
        }))
    }

    /// Brings into force what [`Self::draft_learned`] made ready.
    ///
    /// # Errors
    ///
    /// As [`Fabric::enact`]; what was learned before stays in force.
    pub fn enact_learned(&mut self, lesson: Lesson) -> Result<Applied, FabricError> {
        let Lesson {
            gateway,
            before,
            routes,
            draft,
        } = lesson;
        let Some(draft) = draft else {
            self.learned.set(&gateway, routes);
            return Ok(Applied::Unchanged);
        };
        let applied = self.enact(&draft)?;
        let (epoch, now) = (self.epoch().0, routes.routes.len());
        info!(gateway, epoch, before, now, "learned routes");
        Ok(applied)
    }

    /// Brings into force what a source has now, as the two halves do.
    #[cfg(test)]
    pub(super) fn learn(
        &mut self,
        source: &Source,
        routes: GatewayRoutes,
    ) -> Result<Option<Applied>, FabricError> {
        let lesson = self.draft_learned(source, routes)?;
        let applied = lesson.map(|lesson| self.enact_learned(lesson));
        applied.transpose()
    }

    /// Returns what of the learned stays under a new model: what comes from where it came from.
    pub(super) fn still_learned(
        &self,
        learned: &Learned,
        model: &Model,
        stranded: &[PortId],
    ) -> Learned {
        let gateway_in = |model: &Model, name: &str| {
            let mut gateways = model.gateways.iter();
            gateways.find(|gateway| gateway.name == name).cloned()
        };
        let mut learned = learned.clone();
        learned.retain(|name| {
            let (old, new) = (gateway_in(&self.model, name), gateway_in(model, name));
            let (Some(old), Some(new)) = (old, new) else {
                return false;
            };
            let is_there = self
                .gateway_port(&old)
                .is_some_and(|spec| !stranded.contains(&spec.id));
            is_there
                && new.learned_routes.is_some()
                && old.learned_routes == new.learned_routes
                && old.device.namespace == new.device.namespace
                && old.device.name == new.device.name
        });
        learned
    }

    /// Returns what every gateway that learns has learned.
    #[must_use]
    pub fn learned_view(&self) -> LearnedView {
        let learning = self.model.gateways.iter();
        let learning = learning.filter_map(|gateway| {
            let from = gateway.learned_routes.as_ref()?;
            Some((gateway, from, self.learned.of(&gateway.name)))
        });
        let mut view = LearnedView {
            value: Vec::new(),
            next_link: None,
            gateways: Vec::new(),
        };
        for (gateway, from, learned) in learning {
            view.gateways.push(LearningView {
                name: gateway.name.clone(),
                virtual_network: gateway.vnet.clone(),
                namespace: gateway.device.namespace.to_string(),
                source: from.to_string(),
                learned: learned.map_or(0, |learned| learned.routes.len()),
                left_out: learned.map_or(0, |learned| learned.left_out),
            });
            let routes = learned.into_iter().flat_map(|learned| &learned.routes);
            view.value.extend(routes.map(|route| LearnedRouteView {
                network: route.prefix.to_string(),
                next_hop: route.next_hop.map(|router| router.to_string()),
                gateway: gateway.name.clone(),
                protocol: route.protocol.to_string(),
                metric: route.metric,
            }));
        }
        view
    }
}
