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

/// From how many rules of a direction on the index is faster than the scan. Measured with
/// `cargo bench -p postern-dataplane --bench nsg`.
const INDEXED_FROM: usize = 12;

/// What an NSG decided, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Allow or deny.
    pub access: Access,
    /// The rule that matched; none if no rule did, which denies.
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
}

impl Nsg {
    /// Builds the group from rules in any order.
    #[must_use]
    pub fn new(inbound: Vec<Rule>, outbound: Vec<Rule>) -> Self {
        Self {
            inbound: Chain::new(inbound),
            outbound: Chain::new(outbound),
        }
    }

    /// Returns the decision of the first rule that matches; deny if none does.
    #[must_use]
    pub fn evaluate(&self, direction: Direction, tuple: &Tuple) -> Decision {
        let chain = match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        };
        match chain.first_match(tuple) {
            Some(rule) => Decision {
                access: rule.access,
                rule: Some(rule.id),
            },
            None => Decision {
                access: Access::Deny,
                rule: None,
            },
        }
    }

    /// Returns the memory that the indices take, in bytes: nothing for a group with few rules, and
    /// never more than [`Self::MAX_INDEX_BYTES`] for one within Azure's limits.
    #[must_use]
    pub fn index_bytes(&self) -> usize {
        [&self.inbound, &self.outbound]
            .into_iter()
            .filter_map(|chain| chain.index.as_ref())
            .map(Index::size_bytes)
            .sum()
    }

    /// The most memory that the indices of a group with 1,000 rules and the default ones take.
    pub const MAX_INDEX_BYTES: usize = 2 * Index::max_bytes(1_003);
}
