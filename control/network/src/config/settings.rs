//! Switches and timers.

use super::problem::Problem;
use super::section::Section;
use crate::model::{CrossTenant, Settings, VsePrecedence};
use postern_dataplane::policy::{CloseMode, Timers};
use std::time::Duration;

const SETTINGS_KEYS: &[&str] = &[
    "closeMode",
    "reevaluateOnChange",
    "vsePrecedence",
    "sharedSnatIcmp",
    "sharedSnatFragments",
    "vnetTagIncludesDefaultRoute",
    "learnedDefaultRemovesNone",
    "sameRegionPublicSourceHidden",
    "crossTenantRules",
    "maxFlowsPerNic",
    "natGatewayFlowsPerDestination",
    "natGatewayFlows",
    "natGatewayPortsPerNic",
    "defaultOutboundPortsPerNic",
    "maxFlows",
];

const TIMER_KEYS: &[&str] = &[
    "tcpHalfOpen",
    "tcpIdle",
    "tcpClosing",
    "tcpFinHold",
    "tcpRstHold",
    "udpIdle",
    "udpHold",
    "icmpIdle",
    "unanswered",
    "tombstone",
];

/// The most flows that a NIC opens, and the most that are opened to it (reference section 4.3).
const MOST_NIC_FLOWS: u32 = 500_000;

/// The ports that one public address has for a destination; Azure uses fewer (reference section 9).
const MOST_DESTINATION_FLOWS: u32 = 64_512;

/// The most flows that a table can be asked to hold.
const MOST_FLOWS: u32 = 1 << 26;

const A_DURATION: &str = "a duration such as \"500ms\", \"65s\", \"4m\" or \"1h\", from 1ms to 24h";
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn settings(root: &Section<'_>) -> Settings {
    let mut settings = Settings::default();
    let Some(section) = root.section("settings", SETTINGS_KEYS) else {
        return settings;
    };
    let modes = [("rst", CloseMode::Rst), ("silent", CloseMode::Silent)];
    if let Some(mode) = section.choice("closeMode", &modes, "\"rst\" or \"silent\"") {
        settings.close_mode = mode;
    }
    let accepted = "\"strict\", \"tie\" or \"observed\"";
    if let Some(rule) = section.choice("vsePrecedence", &VsePrecedence::ALL, accepted) {
        settings.vse_precedence = rule;
    }
    let flag = |key, flag: &mut bool| *flag = section.flag(key, *flag);
    flag("reevaluateOnChange", &mut settings.reevaluate_on_change);
    flag("sharedSnatIcmp", &mut settings.shared_snat_icmp);
    flag("sharedSnatFragments", &mut settings.shared_snat_fragments);
    let default_route = &mut settings.vnet_tag_includes_default_route;
    flag("vnetTagIncludesDefaultRoute", default_route);
    let removes_none = &mut settings.learned_default_removes_none;
    flag("learnedDefaultRemovesNone", removes_none);
    let hidden = &mut settings.same_region_public_source_hidden;
    flag("sameRegionPublicSourceHidden", hidden);
    let accepted = "\"never\", \"storage\" or \"storageAndKeyVault\"";
    if let Some(rule) = section.choice("crossTenantRules", &CrossTenant::ALL, accepted) {
        settings.cross_tenant_rules = rule;
    }
    if let Some(flows) = section.number("maxFlowsPerNic", 1, MOST_NIC_FLOWS) {
        settings.max_nic_flows = flows;
    }
    if let Some(flows) = section.number("natGatewayFlowsPerDestination", 1, MOST_DESTINATION_FLOWS)
    {
        settings.nat_gateway_flows_per_destination = flows;
    }
    settings.nat_gateway_ports_per_nic =
        section.number("natGatewayPortsPerNic", 1, MOST_DESTINATION_FLOWS);
    settings.default_outbound_ports_per_nic =
        section.number("defaultOutboundPortsPerNic", 1, MOST_DESTINATION_FLOWS);
    if let Some(flows) = section.number("natGatewayFlows", 1, MOST_FLOWS) {
        settings.nat_gateway_flows = flows;
    }
    if let Some(flows) = section.number("maxFlows", 1, MOST_FLOWS) {
        settings.max_flows = flows;
    }
    settings
}

pub(super) fn timers(root: &Section<'_>) -> Timers {
    let mut timers = Timers::default();
    let Some(section) = root.section("timers", TIMER_KEYS) else {
        return timers;
    };
    for (key, timer) in [
        ("tcpHalfOpen", &mut timers.tcp_half_open),
        ("tcpIdle", &mut timers.tcp_idle),
        ("tcpClosing", &mut timers.tcp_closing),
        ("tcpFinHold", &mut timers.tcp_fin_hold),
        ("tcpRstHold", &mut timers.tcp_rst_hold),
        ("udpIdle", &mut timers.udp_idle),
        ("udpHold", &mut timers.udp_hold),
        ("icmpIdle", &mut timers.icmp_idle),
        ("unanswered", &mut timers.unanswered),
        ("tombstone", &mut timers.tombstone),
    ] {
        let Some(text) = section.text(key, A_DURATION) else {
            continue;
        };
        match duration(text) {
            Some(duration) => *timer = duration,
            None => section.refuse(key, Problem::Malformed(A_DURATION)),
        }
    }
    timers
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (count, unit) = text.split_at_checked(digits)?;
    let millis_per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return None,
    };
    let millis = count.parse::<u64>().ok()?.checked_mul(millis_per_unit)?;
    let duration = Duration::from_millis(millis);
    (!duration.is_zero() && duration <= LONGEST).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_stay_in_range() {
        for (text, millis) in [
            ("1ms", 1),
            ("65s", 65_000),
            ("4m", 240_000),
            ("24h", 86_400_000),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        let too_long = format!("{}h", u64::MAX);
        for text in [
            "", "65", "s", "0s", "-1s", "1.5s", "25h", "4 m", "4d", &too_long,
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
