//! What fronts tell: their counters, and the last calls of a resource.

use super::read::ReadError;
use super::{Fabric, LinuxHost};
use crate::protocol::front::{CallView, DeniedView, DeskView, FrontsView, ListenerView};
use postern_dataplane::policy::Ruling;
use postern_host::front::counters::Desk;
use postern_host::front::date::Date;
use postern_host::front::log::Call;
use postern_host::front::{Front, ListenerReport};

impl Fabric<LinuxHost> {
    /// Returns the counters of every front.
    #[must_use]
    pub fn front_stats(&self) -> FrontsView {
        self.host
            .fronts()
            .with(|front| fronts_view(front))
            .unwrap_or_default()
    }

    /// Returns the last calls of a service, oldest first: those that its front decided, or the
    /// connections that the packet path did where there is none.
    ///
    /// # Errors
    ///
    /// There is no such service, or the worker has ended.
    pub fn service_log(&self, name: &str) -> Result<Vec<CallView>, ReadError> {
        let found = self.model.service(name).ok_or_else(|| {
            let services = self.model.services.iter();
            let known: Vec<_> = services.map(|service| service.name.as_str()).collect();
            ReadError::NotFound {
                kind: "service",
                name: name.to_owned(),
                known: known.join(", "),
            }
        })?;
        if found.front.is_none() {
            return self.decisions(found);
        }
        let calls = self
            .host
            .fronts()
            .with(|front| front.desk(&found.name).log.calls());
        Ok(calls.unwrap_or_default().iter().map(call_view).collect())
    }
}

fn fronts_view(front: &Front) -> FrontsView {
    let mut listeners: Vec<_> = front.listeners().iter().map(listener_view).collect();
    listeners.sort_by(|one, other| {
        let key = |view: &ListenerView| (view.namespace.clone(), view.port);
        key(one).cmp(&key(other))
    });
    let doors = front.doors();
    let names = doors.iter().map(|door| door.name.as_str());
    FrontsView {
        listeners,
        resources: names
            .map(|name| desk_view(name, &front.desk(name)))
            .collect(),
    }
}

fn listener_view(report: &ListenerReport) -> ListenerView {
    let counters = &report.counters;
    ListenerView {
        namespace: report.namespace.to_string(),
        port: report.port,
        accepted: counters.accepted.get(),
        over_limit: counters.over_limit.get(),
        evicted: counters.evicted.get(),
        bad_identity: counters.bad_identity.get(),
        timed_out: counters.timed_out.get(),
        too_large: counters.too_large.get(),
        malformed: counters.malformed.get(),
        hung_up: counters.hung_up.get(),
        unknown_name: counters.unknown_name.get(),
    }
}

fn desk_view(name: &str, desk: &Desk) -> DeskView {
    DeskView {
        name: name.to_owned(),
        allowed: desk.allowed.get(),
        audited: desk.audited.get(),
        denied: DeniedView {
            network_rules: desk.denied_network_rules.get(),
            hidden_source: desk.denied_hidden_source.get(),
            public_network_access: desk.denied_public_access.get(),
            endpoint_policy: desk.denied_endpoint_policy.get(),
        },
        backend_failed: desk.backend_failed.get(),
        unheard: desk.unheard.get(),
        idle: desk.idle.get(),
        to_backend_bytes: desk.to_backend.get(),
        to_client_bytes: desk.to_client.get(),
    }
}

fn call_view(call: &Call) -> CallView {
    let address = call.caller.address();
    let caller = match &call.subnet {
        Some(subnet) => format!("{subnet} {address}"),
        None => call.caller.to_string(),
    };
    let verdict = match call.ruling {
        Ruling::Allow { .. } => "Allow",
        Ruling::Deny(_) => "Deny",
    };
    CallView {
        time: Date::of(call.at).to_string(),
        verdict: verdict.to_owned(),
        reason: call.reason().to_owned(),
        rule: call.rule.clone(),
        caller,
        caller_ip_address: format!("{address}:{}", call.caller_port),
        raw_address: call.caller.raw().to_string(),
        host: call.host.clone(),
        port: call.port,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::moment;
    use crate::fixtures::subnet_caller;
    use postern_dataplane::policy::DeniedBy;

    #[test]
    fn a_call_tells_names_and_the_raw_address_together() {
        let mut call = Call {
            at: moment(),
            caller: subnet_caller(),
            caller_port: 50_312,
            subnet: Some("VNet1/subnet1".to_owned()),
            port: 443,
            host: None,
            ruling: Ruling::Deny(DeniedBy::EndpointPolicy),
            slip: None,
            rule: None,
        };
        let view = call_view(&call);
        assert_eq!(view.caller, "VNet1/subnet1 10.0.1.4");
        assert_eq!(view.raw_address, "fd40:0:2a:7:1a:274:a00:104");
        assert_eq!(view.caller_ip_address, "10.0.1.4:50312");
        assert_eq!(
            (view.verdict.as_str(), view.reason.as_str()),
            ("Deny", "endpointPolicy")
        );
        // A subnet that has left the model since is told by its keys.
        call.subnet = None;
        assert_eq!(call_view(&call).caller, "42/7 10.0.1.4");
    }
}
