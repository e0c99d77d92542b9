//! What happened, so that the test cannot pass because nothing did.

use super::oracle::{Answer, DEFAULT, DEFAULTS, Note, Source};
use super::topology::{Flow, Port, Precedence, Topology};
use postern_dataplane::flow::RouteKind;
use postern_dataplane::stats::DropReason;
use std::collections::BTreeMap;
use std::fmt;

/// How often each kind of thing has to happen at least.
const ENOUGH: usize = 100;

/// How often each kind of thing happened.
#[derive(Debug, Default)]
pub struct Tally {
    flows: usize,
    counts: BTreeMap<String, usize>,
}

impl Tally {
    pub fn flows(&self) -> usize {
        self.flows
    }

    pub fn add(&mut self, other: &Self) {
        self.flows += other.flows;
        for (name, count) in &other.counts {
            *self.counts.entry(name.clone()).or_default() += count;
        }
    }

    fn bump(&mut self, name: &str) {
        match self.counts.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(name.to_owned(), 1);
            }
        }
    }

    pub fn count(&mut self, topology: &Topology, flow: &Flow, answer: &Answer, notes: u32) {
        self.flows += 1;
        let precedence = precedence_name(topology.settings.precedence);
        for note in Note::ALL
            .into_iter()
            .filter(|note| notes & 1 << *note as u32 != 0)
        {
            match note {
                Note::EndpointLost | Note::EndpointWonAgainstLonger | Note::EndpointTied => {
                    self.bump(&format!("{note:?} {precedence}"));
                }
                _ => self.bump(&format!("{note:?}")),
            }
        }
        let from = match flow.ingress {
            Port::Nic(_) => "nic",
            Port::Internet => "internet",
            Port::Gateway(_) => "gateway",
            Port::Services(_) => "service",
            Port::Platform => "platform",
        };
        let rules = match answer {
            Ok(pass) => {
                self.bump(&format!("pass from {from} by {:?}", pass.route));
                self.bump(match pass.source {
                    Source::Unchanged => "source unchanged",
                    Source::OneToOne(_) => "source one-to-one",
                    Source::Shared(at) if at < topology.nat_gateways.len() => "source gateway",
                    Source::Shared(_) => "source default",
                });
                if let Some(service) = pass.service {
                    self.bump(service);
                }
                for (place, _) in pass
                    .rules
                    .iter()
                    .enumerate()
                    .filter(|(_, rule)| rule.is_some())
                {
                    self.bump(&format!("allowed by group {place}"));
                }
                pass.rules
            }
            Err(drop) => {
                self.bump(&format!("drop {:?}", drop.reason));
                [drop.rule, None, None, None]
            }
        };
        for rule in rules.into_iter().flatten() {
            match rule.rule.checked_sub(DEFAULT) {
                Some(at) => self.bump(DEFAULTS[at]),
                None => self.bump("own rule"),
            }
        }
    }

    /// Fails unless everything that can happen did.
    pub fn expect_everything(&self) {
        let mut wanted: Vec<String> = Vec::new();
        let routes = [
            ("nic", RouteKind::VnetLocal),
            ("nic", RouteKind::VnetPeering),
            ("nic", RouteKind::VirtualAppliance),
            ("nic", RouteKind::VirtualNetworkGateway),
            ("nic", RouteKind::Internet),
            ("nic", RouteKind::ServiceEndpoint),
            ("nic", RouteKind::Platform),
            ("internet", RouteKind::Internet),
            ("internet", RouteKind::Inbound),
            ("gateway", RouteKind::VnetLocal),
            ("gateway", RouteKind::VirtualAppliance),
        ];
        wanted.extend(routes.map(|(from, route)| format!("pass from {from} by {route:?}")));
        let reasons = [
            DropReason::SourceNotOwned,
            DropReason::SourceNotOutside,
            DropReason::Land,
            DropReason::ReservedPort,
            DropReason::NsgDeniedOut,
            DropReason::NsgDeniedIn,
            DropReason::RouteNone,
            DropReason::NoAppliance,
            DropReason::NoGateway,
            DropReason::RouteLoop,
            DropReason::ForwardedNotAllowed,
            DropReason::ReturnElsewhere,
            DropReason::NoSuchNic,
            DropReason::NoSuchService,
            DropReason::NoPublicSource,
            DropReason::NotTranslatable,
            DropReason::NoFlow,
            DropReason::ServiceInitiated,
            DropReason::PlatformInitiated,
        ];
        wanted.extend(reasons.map(|reason| format!("drop {reason:?}")));
        for precedence in [Precedence::Strict, Precedence::Tie, Precedence::Observed] {
            let name = precedence_name(precedence);
            wanted.push(format!("EndpointLost {name}"));
            wanted.push(format!("EndpointTied {name}"));
            if precedence != Precedence::Tie {
                wanted.push(format!("EndpointWonAgainstLonger {name}"));
            }
        }
        let plain = [
            Note::GatewayHidden,
            Note::TagRank,
            Note::NotTcpToEndpoint,
            Note::ServicesTied,
            Note::Exempt,
            Note::LateRule,
            Note::ByGroups,
            Note::ByTag,
            Note::WideTag,
            Note::PeerAppliance,
        ];
        wanted.extend(plain.map(|note| format!("{note:?}")));
        // Nobody sends from the platform's addresses, and it opens no flow.
        let never = "AllowAzureLoadBalancerInBound";
        assert!(!self.counts.contains_key(never));
        let defaults = DEFAULTS.into_iter().filter(|name| *name != never);
        wanted.extend(defaults.map(str::to_owned));
        wanted.extend((0..4).map(|place| format!("allowed by group {place}")));
        let sources = ["unchanged", "one-to-one", "gateway", "default"];
        wanted.extend(sources.map(|source| format!("source {source}")));
        let families = super::topology::SERVICES.iter().map(|kind| kind.family);
        wanted.extend(families.map(str::to_owned));
        let count = |name: &String| self.counts.get(name).copied().unwrap_or(0);
        wanted.retain(|name| count(name) < ENOUGH);
        assert!(
            wanted.is_empty(),
            "less than {ENOUGH} times: {wanted:?}\n{self}"
        );
    }
}

fn precedence_name(precedence: Precedence) -> &'static str {
    match precedence {
        Precedence::Strict => "strict",
        Precedence::Tie => "tie",
        Precedence::Observed => "observed",
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in &self.counts {
            writeln!(f, "{count:>9}  {name}")?;
        }
        Ok(())
    }
}
