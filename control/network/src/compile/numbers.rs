//! Numbers that outlive a policy, and the names behind them.

use super::CompileError;
use super::interned::Interned;
use crate::catalog::Service;
use crate::keys::{Keys, Pins};
use postern_dataplane::policy::{AccessRuleId, PortId, ResourceId, RuleId, ServiceId};
use serde::Serialize;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

/// The most ports at a time, and the numbers that there are.
const MOST_PORTS: u16 = 4096;

/// The numbers of ports and rules, kept from one policy to the next.
///
/// A port keeps its number as long as it is there. The number of a port that went away rests until
/// no fresh one is left, and then the one that rested longest is given first, so that what the
/// packet path still holds of the old port is never taken for the new one. Rules and resources keep
/// theirs for long (`interned`), because a flow remembers the rule that let it in. The keys of
/// networks and subnets outlive even the process.
///
/// Compiling changes the numbers. Whoever may have to go back compiles with a clone and keeps it
/// once the policy stands.
#[derive(Clone, Debug, Default)]
pub struct PortNumbers {
    ports: HashMap<String, u16>,
    fresh: u16,
    resting: VecDeque<u16>,
    rules: Interned<RuleName>,
    resources: Interned<String>,
    access_rules: Interned<String>,
    pub(super) keys: Keys,
}

impl PortNumbers {
    /// Returns numbers that go on with these keys.
    #[must_use]
    pub fn with_keys(keys: Keys) -> Self {
        Self {
            keys,
            ..Self::default()
        }
    }

    /// Returns the keys of the networks and subnets of the last model.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Returns the processes that bindings were written for.
    pub fn pins(&mut self) -> &mut Pins {
        &mut self.keys.pins
    }

    /// Returns the numbers of these ports and of no others.
    pub(super) fn assign(
        &mut self,
        names: &[&str],
    ) -> Result<HashMap<String, PortId>, CompileError> {
        if names.len() > usize::from(MOST_PORTS) {
            let (count, most) = (names.len(), usize::from(MOST_PORTS));
            return Err(CompileError::TooMany {
                what: "ports",
                count,
                most,
            });
        }
        let wanted: HashSet<&str> = names.iter().copied().collect();
        let gone = |(name, _): &(&String, &u16)| !wanted.contains(name.as_str());
        let mut gone: Vec<u16> = self
            .ports
            .iter()
            .filter(gone)
            .map(|(_, &number)| number)
            .collect();
        gone.sort_unstable();
        self.resting.extend(gone);
        self.ports.retain(|name, _| wanted.contains(name.as_str()));
        for &name in names {
            if !self.ports.contains_key(name) {
                let number = self.next()?;
                self.ports.insert(name.to_owned(), number);
            }
        }
        Ok(self
            .ports
            .iter()
            .map(|(name, &number)| (name.clone(), PortId(number)))
            .collect())
    }

    /// Gives up the number of a port that stays but whose device does not: the next policy gives
    /// it another one, so that no flow of the old device is taken for one of the new.
    pub fn release(&mut self, port: &str) {
        self.resting.extend(self.ports.remove(port));
    }

    fn next(&mut self) -> Result<u16, CompileError> {
        if self.fresh < MOST_PORTS {
            let number = self.fresh;
            self.fresh = number.saturating_add(1);
            return Ok(number);
        }
        let most = usize::from(MOST_PORTS);
        let none_left = CompileError::TooMany {
            what: "ports",
            count: most.saturating_add(1),
            most,
        };
        self.resting.pop_front().ok_or(none_left)
    }

    /// Begins a policy, before anything is asked for a number.
    pub(super) fn begin(&mut self) {
        self.rules.begin();
        self.resources.begin();
        self.access_rules.begin();
    }

    /// Ends a policy that has all its numbers, and returns the names behind them.
    pub(super) fn end(&mut self) -> Names {
        self.rules.end();
        self.resources.end();
        self.access_rules.end();
        self.names()
    }

    /// Returns the number of a rule.
    pub(super) fn rule(&mut self, name: &RuleName) -> Result<RuleId, CompileError> {
        self.rules.number("security rules", name).map(RuleId)
    }

    /// Returns the number of the resource with this ID.
    pub(super) fn resource(&mut self, id: &str) -> Result<ResourceId, CompileError> {
        let number = self.resources.number("resources", &id.to_ascii_lowercase());
        number.map(ResourceId)
    }

    /// Returns the number of a network rule, by the names of its service, list and own.
    pub(super) fn access_rule(&mut self, name: &String) -> Result<AccessRuleId, CompileError> {
        let number = self.access_rules.number("network rules", name);
        number.map(AccessRuleId)
    }

    /// Returns the names behind the numbers.
    fn names(&self) -> Names {
        let ports = self
            .ports
            .iter()
            .map(|(name, &number)| (number, name.clone()))
            .collect();
        Names {
            ports,
            rules: self.rules.names(),
            resources: self.resources.names(),
            access_rules: self.access_rules.names(),
        }
    }
}

/// The name of a rule, as Azure's outputs spell it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RuleName {
    /// The network security group.
    pub nsg: String,
    /// `securityRules/NAME`, or `defaultSecurityRules/NAME` for the rules that every group has.
    pub rule: String,
}

impl RuleName {
    /// Returns the name of a rule of the group's own, or of a default one.
    pub(crate) fn new(nsg: &str, rule: &str, is_default: bool) -> Self {
        let kind = if is_default {
            "defaultSecurityRules"
        } else {
            "securityRules"
        };
        Self {
            nsg: nsg.to_owned(),
            rule: format!("{kind}/{rule}"),
        }
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.nsg, self.rule)
    }
}

/// The names behind the numbers of a policy.
#[derive(Clone, Debug, Default)]
pub struct Names {
    ports: HashMap<u16, String>,
    rules: HashMap<u32, RuleName>,
    resources: HashMap<u32, String>,
    access_rules: HashMap<u32, String>,
}

impl Names {
    /// Returns the resource ID behind a number, in lower case.
    #[must_use]
    pub fn resource(&self, id: ResourceId) -> Option<&str> {
        self.resources.get(&id.0).map(String::as_str)
    }

    /// Returns the number of the resource with this ID.
    #[must_use]
    pub fn resource_id(&self, id: &str) -> Option<ResourceId> {
        let mut names = self.resources.iter();
        let found = names.find(|(_, name)| name.eq_ignore_ascii_case(id))?;
        Some(ResourceId(*found.0))
    }

    /// Returns the name of a network rule, as `contoso/ipRules/20.0.0.9`.
    #[must_use]
    pub fn access_rule(&self, id: AccessRuleId) -> Option<&str> {
        self.access_rules.get(&id.0).map(String::as_str)
    }

    /// Returns the name of a port, such as `nic/vm0`, `internet` or `service/svc`.
    #[must_use]
    pub fn port(&self, id: PortId) -> Option<&str> {
        self.ports.get(&id.0).map(String::as_str)
    }

    /// Returns the name of a rule; those of earlier policies have theirs for long.
    #[must_use]
    pub fn rule(&self, id: RuleId) -> Option<&RuleName> {
        self.rules.get(&id.0)
    }

    /// Returns the name of a service.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> Option<&'static str> {
        Service::name_of(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_rests_until_none_is_left() {
        let mut numbers = PortNumbers::default();
        let first = numbers.assign(&["a", "b"]).unwrap();
        assert_eq!((first["a"], first["b"]), (PortId(0), PortId(1)));
        let second = numbers.assign(&["b", "c"]).unwrap();
        assert_eq!((second["b"], second["c"]), (PortId(1), PortId(2)));
        let third = numbers.assign(&["a", "b", "c"]).unwrap();
        assert_eq!(third["a"], PortId(3), "a came back, not to its old number");
        for round in 0..MOST_PORTS - 4 {
            numbers.assign(&["b", &format!("x{round}")]).unwrap();
        }
        let last = numbers.assign(&["b", "y"]).unwrap();
        assert_eq!(
            (last["b"], last["y"]),
            (PortId(1), PortId(0)),
            "the longest rest ends first"
        );
    }

    #[test]
    fn more_ports_than_numbers_are_refused() {
        let names: Vec<String> = (0..=MOST_PORTS).map(|at| at.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut numbers = PortNumbers::default();
        assert!(matches!(
            numbers.assign(&names),
            Err(CompileError::TooMany { what: "ports", .. })
        ));
        assert_eq!(
            numbers.assign(&names[1..]).unwrap().len(),
            usize::from(MOST_PORTS)
        );
    }

    #[test]
    fn a_rule_keeps_number_and_name() {
        let mut numbers = PortNumbers::default();
        let name = |rule| RuleName::new("nsg1", rule, false);
        numbers.begin();
        let ssh = numbers.rule(&name("ssh")).unwrap();
        let web = numbers.rule(&name("web")).unwrap();
        assert_ne!(ssh, web);
        assert_eq!(numbers.rule(&name("ssh")).unwrap(), ssh);
        assert_eq!(
            numbers.end().rule(ssh).unwrap().to_string(),
            "nsg1/securityRules/ssh"
        );
    }
}
