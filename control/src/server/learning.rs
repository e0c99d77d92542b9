//! Keeps a follower at every gateway that learns.
//!
//! Looks again after every change of the model, and each second at the namespaces: where the one of
//! a gateway is gone, what it taught is withdrawn; where another one has come under its name, the
//! gateway moves there and learns anew.

use super::{Daemon, blocking};
use crate::attach::{self, NamespaceId};
use crate::learn::{Follower, Source, Told};
use crate::model::GatewayRoutes;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tracing::{debug, info, warn};

/// How often namespaces are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Follows, until it is dropped.
pub(super) async fn learn(daemon: &Arc<Daemon>) {
    let mut learning = Learning::default();
    loop {
        let asked = Arc::clone(daemon);
        let looked = blocking(move || {
            learning.look(&asked);
            learning
        });
        learning = match looked.await {
            Ok(learning) => learning,
            Err(error) => {
                debug!(%error, "looking at gateways was interrupted");
                Learning::default()
            }
        };
        tokio::select! {
            () = daemon.live.changed.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// The followers, and what was tried where none can be.
#[derive(Debug, Default)]
struct Learning {
    followers: Vec<(Source, Follower)>,
    /// Where each gateway without a follower was found last, to say so and to move it only once.
    away: HashMap<String, Option<NamespaceId>>,
}

impl Learning {
    fn look(&mut self, daemon: &Arc<Daemon>) {
        let mut sources = daemon.with(|fabric| fabric.learning());
        self.away
            .retain(|gateway, _| sources.iter().any(|source| source.gateway == *gateway));
        let found = |source: &Source| attach::identify(&source.namespace).ok();
        for source in sources.extract_if(.., |source| found(source) != Some(source.place)) {
            self.lose(&source, found(&source), daemon);
        }
        self.followers
            .retain(|(source, follower)| sources.contains(source) && !follower.has_ended());
        for source in sources {
            self.away.remove(&source.gateway);
            if !self.followers.iter().any(|(known, _)| *known == source) {
                self.follow(source, daemon);
            }
        }
    }

    /// Withdraws what was learned in a namespace that is not there any more, and moves the gateway
    /// into the one that has its name now.
    fn lose(&mut self, source: &Source, found: Option<NamespaceId>, daemon: &Daemon) {
        if self.away.insert(source.gateway.clone(), found) == Some(found) {
            return;
        }
        let gateway = &source.gateway;
        let done = daemon.with(|fabric| match found {
            // Attaches where the name leads now, and forgets what was learned elsewhere.
            Some(_) => fabric.apply(fabric.model().clone()).map(drop),
            None => fabric.learn(source, GatewayRoutes::default()).map(drop),
        });
        match (found, done) {
            (None, Ok(())) => warn!(gateway, "the namespace is gone: its routes are withdrawn"),
            (Some(_), Ok(())) => {
                info!(
                    gateway,
                    "the namespace is another one: the gateway is there now"
                );
                daemon.live.changed.notify_one();
            }
            (_, Err(error)) => {
                let error = crate::chain(&error);
                warn!(gateway, error, "cannot follow the gateway's namespace");
            }
        }
    }

    fn follow(&mut self, source: Source, daemon: &Arc<Daemon>) {
        let (told, from) = (Arc::downgrade(daemon), source.clone());
        match Follower::start(&source, move |routes| tell(&told, &from, routes)) {
            Ok(follower) => {
                debug!(gateway = source.gateway, source = %source.routes, "follows");
                self.followers.push((source, follower));
            }
            Err(error) => {
                let error = crate::chain(&error);
                warn!(
                    gateway = source.gateway,
                    error, "cannot follow the gateway's namespace"
                );
            }
        }
    }
}

/// Brings into force what a follower tells.
fn tell(daemon: &Weak<Daemon>, source: &Source, routes: GatewayRoutes) -> Told {
    let Some(daemon) = daemon.upgrade() else {
        return Told::Over;
    };
    match daemon.with(|fabric| fabric.learn(source, routes)) {
        Ok(Some(_)) => Told::Taken,
        Ok(None) => Told::Over,
        Err(error) => {
            let (gateway, error) = (&source.gateway, crate::chain(&error));
            warn!(gateway, error, "cannot bring the learned routes into force");
            Told::NotNow
        }
    }
}
