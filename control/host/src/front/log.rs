//! The last calls of a resource: who, whom, and what was decided by which rule.

use super::caller::Caller;
use postern_dataplane::policy::{DeniedBy, Ruling};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it was decided.
    pub at: SystemTime,
    /// Who called.
    pub caller: Caller,
    /// From which port.
    pub caller_port: u16,
    /// The subnet as `vnet/subnet`, as far as it is known by name.
    pub subnet: Option<String>,
    /// The port that was called.
    pub port: u16,
    /// The host that was asked for; absent if none was named.
    pub host: Option<String>,
    /// What was decided; of what nothing was decided about, that it does not pass.
    pub ruling: Ruling,
    /// What was wrong with it before anything was decided.
    pub slip: Option<Slip>,
    /// The name of the rule that decided.
    pub rule: Option<String>,
}

/// What is wrong with a request that reached a resource and is answered without a look at its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slip {
    /// It is for another host than its connection (421).
    Misdirected,
    /// It cannot be read, or names no host that there is (400).
    BadRequest,
}

impl Call {
    /// Returns why it was decided so, in one word.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self.slip {
            Some(Slip::Misdirected) => "misdirectedRequest",
            Some(Slip::BadRequest) => "badRequest",
            None => why(self.ruling),
        }
    }
}

/// Returns why it was decided so, in one word.
#[must_use]
pub const fn why(ruling: Ruling) -> &'static str {
    match ruling {
        Ruling::Allow { audited: true, .. } => "endpointPolicyAudited",
        Ruling::Allow { rule: Some(_), .. } => "networkRule",
        Ruling::Allow { rule: None, .. } => "defaultAction",
        Ruling::Deny(by) => reason(by),
    }
}

/// Returns who denied, in one word.
#[must_use]
pub const fn reason(by: DeniedBy) -> &'static str {
    match by {
        DeniedBy::NoSuchResource => "noSuchResource",
        DeniedBy::PublicAccessDisabled => "publicNetworkAccess",
        DeniedBy::NetworkRules { rule: Some(_) } => "networkRule",
        DeniedBy::NetworkRules { rule: None } => "defaultAction",
        DeniedBy::HiddenSource { .. } => "hiddenSource",
        DeniedBy::EndpointPolicy => "endpointPolicy",
    }
}

/// The last calls, oldest first; older ones than [`Log::LENGTH`] are forgotten.
#[derive(Debug, Default)]
pub struct Log(Mutex<VecDeque<Call>>);

impl Log {
    /// How many calls are kept.
    pub const LENGTH: usize = 256;

    /// Adds a call.
    pub fn add(&self, call: Call) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() >= Self::LENGTH {
            calls.pop_front();
        }
        calls.push_back(call);
    }

    /// Returns the calls, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::caller::tests::subnet_caller;
    use crate::front::date::tests::moment;

    fn call(port: u16) -> Call {
        Call {
            at: moment(),
            caller: subnet_caller(),
            caller_port: port,
            subnet: None,
            port: 443,
            host: None,
            ruling: Ruling::Deny(DeniedBy::EndpointPolicy),
            slip: None,
            rule: None,
        }
    }

    #[test]
    fn the_oldest_calls_are_forgotten() {
        let log = Log::default();
        for port in 0..1000 {
            log.add(call(port));
        }
        let ports: Vec<_> = log.calls().iter().map(|call| call.caller_port).collect();
        assert_eq!(ports, (744..1000).collect::<Vec<_>>());
        assert_eq!(log.calls()[0].reason(), "endpointPolicy");
    }
}
