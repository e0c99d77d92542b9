//! Network security groups, as compiled: rules in order of priority, the first match decides.
//!
//! A direction with few rules is scanned rule by rule; one with many has an index over its fields
//! ([`compiled`]). Both give the decision of the literal reading.

mod addr_set;
mod compiled;
mod port_set;
mod rule;

pub use addr_set::AddrSet;
pub use port_set::PortSet;
pub use rule::{Access, Direction, Protocol, Rule, RuleId, Tuple};

use compiled::Index;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// From how many rules of a direction on the index is faster than the scan. Measured with
/// `cargo bench -p postern-dataplane --bench nsg`.
const INDEXED_FROM: usize = 12;

/// What an NSG decided, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Allow or deny.
    pub access: Access,
    /// The rule that matched; none if no rule did, which denies unless the destination is exempt.
    pub rule: Option<RuleId>,
}

/// The rules of one direction, in order of priority.
#[derive(Clone, Debug, Default)]
struct Chain {
    rules: Vec<Rule>,
    index: Option<Index>,
}

impl Chain {
    fn new(mut rules: Vec<Rule>) -> Self {
        rules.sort_by_key(|rule| rule.priority);
        let index = (rules.len() >= INDEXED_FROM).then(|| Index::new(&rules));
        Self { rules, index }
    }

    fn first_match(&self, tuple: &Tuple) -> Option<&Rule> {
        match &self.index {
            Some(index) => index.first_match(&self.rules, tuple),
            None => self.rules.iter().find(|rule| rule.matches(tuple)),
        }
    }
}

/// A network security group: the rules of both directions, default rules included.
#[derive(Clone, Debug, Default)]
pub struct Nsg {
    inbound: Chain,
    outbound: Chain,
    exempt: Option<Exempt>,
}

/// Outbound destinations that the rules of the group do not concern, but for some.
#[derive(Clone, Debug)]
struct Exempt {
    addresses: Arc<AddrSet>,
    rules: Chain,
}

impl Nsg {
    /// Builds the group from rules in any order.
    #[must_use]
    pub fn new(inbound: Vec<Rule>, outbound: Vec<Rule>) -> Self {
        Self {
            inbound: Chain::new(inbound),
            outbound: Chain::new(outbound),
            exempt: None,
        }
    }

    /// Takes `addresses` out of what the outbound rules concern: packets to them are decided by
    /// `rules` alone, and allowed where none of these matches.
    #[must_use]
    pub fn exempting(mut self, addresses: Arc<AddrSet>, rules: Vec<Rule>) -> Self {
        let rules = Chain::new(rules);
        self.exempt = Some(Exempt { addresses, rules });
        self
    }

    /// Returns the rules that decide on packets to `destination`, and what becomes of those that
    /// match none of them.
    fn chain(&self, direction: Direction, destination: Ipv4Addr) -> (&Chain, Access) {
        match (direction, &self.exempt) {
            (Direction::Inbound, _) => (&self.inbound, Access::Deny),
            (Direction::Outbound, Some(exempt)) if exempt.addresses.contains(destination) => {
                (&exempt.rules, Access::Allow)
            }
            (Direction::Outbound, _) => (&self.outbound, Access::Deny),
        }
    }

    /// Returns the decision of the first rule that matches; deny if none does.
    #[must_use]
    pub fn evaluate(&self, direction: Direction, tuple: &Tuple) -> Decision {
        let (chain, otherwise) = self.chain(direction, tuple.destination);
        match chain.first_match(tuple) {
            Some(rule) => Decision {
                access: rule.access,
                rule: Some(rule.id),
            },
            None => Decision {
                access: otherwise,
                rule: None,
            },
        }
    }

    /// Returns the memory that the indices take, in bytes: nothing for a group with few rules, and
    /// never more than [`Self::MAX_INDEX_BYTES`] for one within Azure's limits.
    #[must_use]
    pub fn index_bytes(&self) -> usize {
        let exempt = self.exempt.as_ref().map(|exempt| &exempt.rules);
        [&self.inbound, &self.outbound]
            .into_iter()
            .chain(exempt)
            .filter_map(|chain| chain.index.as_ref())
            .map(Index::size_bytes)
            .sum()
    }

    /// The most memory that the indices of a group with 1,000 rules and the default ones take.
    pub const MAX_INDEX_BYTES: usize = 3 * Index::max_bytes(1_003);
}
