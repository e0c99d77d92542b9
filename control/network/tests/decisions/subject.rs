//! What is tested: the configuration through Postern's own reader, compiler and evaluation, and the
//! answers in the oracle's words.

use super::oracle::{Answer, DEFAULT, DEFAULTS, Drop, Pass, RuleAt, Source};
use super::render;
use super::topology::{Flow, Port, Topology};
use postern_dataplane::engine::evaluate::{self, NsgMode, Request};
use postern_dataplane::policy::{Direction, Epoch, PortId, RuleId, Tuple};
use postern_network::catalog::Catalog;
use postern_network::compile::{Compiled, PortNumbers, RuleName, compile};
use postern_network::config;
use std::collections::HashMap;
use std::path::Path;

/// A compiled topology.
pub struct Subject {
    compiled: Compiled,
    ids: HashMap<Port, PortId>,
    ports: HashMap<PortId, Port>,
    rules: Vec<RuleAt>,
    /// The shared sources by their first addresses.
    sources: HashMap<u32, usize>,
}

impl Subject {
    pub fn new(topology: &Topology, tags: &str) -> Self {
        let catalog = Catalog::from_bytes("tags.json", tags.as_bytes()).unwrap();
        let text = render::configuration(topology);
        let model = config::parse(Path::new("random.toml"), &text, &catalog)
            .unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let compiled = compile(&model, &catalog, Epoch(1), &mut PortNumbers::default()).unwrap();
        let ports: HashMap<PortId, Port> = compiled
            .ports
            .iter()
            .map(|spec| (spec.id, port(&spec.name)))
            .collect();
        let rules = (0..).map_while(|at| compiled.names.rule(RuleId(at)));
        let rules = rules.map(rule).collect();
        let gateways = topology.nat_gateways.iter().map(|addresses| addresses[0]);
        let sources = gateways.chain(topology.default_outbound);
        Self {
            ids: ports.iter().map(|(&id, &port)| (port, id)).collect(),
            sources: sources.zip(0..).collect(),
            compiled,
            ports,
            rules,
        }
    }

    /// Returns what Postern does with a flow.
    pub fn judge(&self, flow: &Flow) -> Answer {
        let request = Request {
            snapshot: &self.compiled.snapshot,
            ingress: self.ids[&flow.ingress],
            tuple: Tuple {
                protocol: flow.protocol,
                source: flow.source.into(),
                source_port: flow.source_port,
                destination: flow.destination.into(),
                destination_port: flow.destination_port,
            },
            is_fragment: flow.is_fragment,
            nsg: NsgMode::Enforce,
        };
        let rule = |id: RuleId| self.rules[id.0 as usize];
        match request.evaluate() {
            Ok(path) => Ok(Pass {
                route: path.route,
                service: path
                    .service
                    .map(|id| self.compiled.names.service(id).unwrap()),
                source: match path.source {
                    evaluate::Source::Unchanged => Source::Unchanged,
                    evaluate::Source::OneToOne(address) => Source::OneToOne(address.into()),
                    evaluate::Source::Shared(id) => {
                        let source = self.compiled.snapshot.source(id).unwrap();
                        Source::Shared(self.sources[&source.addresses[0].into()])
                    }
                },
                egress: self.ports[&path.egress],
                destination: path.destination.into(),
                rules: path.rules.map(|id| id.map(rule)),
            }),
            Err(denied) => Err(Drop {
                reason: denied.reason,
                port: self.ports[&denied.port],
                is_inbound: denied.direction == Direction::Inbound,
                rule: denied.rule.map(rule),
            }),
        }
    }
}

/// Returns the port that Postern's name for it means.
fn port(name: &str) -> Port {
    let (kind, name) = name.split_once('/').unwrap_or((name, ""));
    let number = || -> usize {
        let digits = name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
        digits.parse().unwrap()
    };
    match kind {
        "nic" => Port::Nic(number()),
        "internet" => Port::Internet,
        "gateway" => Port::Gateway(number()),
        "service" => Port::Services(number()),
        "platform" => Port::Platform,
        other => panic!("a port of the kind {other:?}"),
    }
}

/// Returns the rule that Postern's name for it means.
fn rule(name: &RuleName) -> RuleAt {
    let group = name.nsg.trim_start_matches('g').parse().unwrap();
    let (kind, rule) = name.rule.split_once('/').unwrap();
    let rule = match kind {
        "securityRules" => rule.trim_start_matches('r').parse().unwrap(),
        _ => DEFAULT + DEFAULTS.iter().position(|name| *name == rule).unwrap(),
    };
    RuleAt { group, rule }
}
