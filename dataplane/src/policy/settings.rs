//! Switches and timers of a policy.

use core::time::Duration;

/// What the packets of a closed TCP flow meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CloseMode {
    /// Both sides are reset at once, and so is every late segment.
    #[default]
    Rst,
    /// Packets are dropped without an answer.
    Silent,
}

/// Switches where the platform's behaviour is contested or can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How a TCP flow whose path changed is closed.
    pub close_mode: CloseMode,
    /// Whether NSG edits act on live flows too; off, they act on new flows only.
    pub reevaluate_on_change: bool,
    /// The most flows that a NIC opens at a time, and the most that are opened to it.
    pub max_nic_flows: u32,
    /// How long flows and leases live.
    pub timers: Timers,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            close_mode: CloseMode::default(),
            reevaluate_on_change: false,
            max_nic_flows: 500_000,
            timers: Timers::default(),
        }
    }
}

/// How long an idle flow lives, by its state, and how long a public port rests before another
/// flow to the same destination may have it. Sources: reference section 9, RFC 5382, RFC 4787.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// A TCP connection whose handshake is not done.
    pub tcp_half_open: Duration,
    /// An established TCP connection.
    pub tcp_idle: Duration,
    /// A TCP connection that one side has closed.
    pub tcp_closing: Duration,
    /// Rest after both sides closed.
    pub tcp_fin_hold: Duration,
    /// Rest after a reset.
    pub tcp_rst_hold: Duration,
    /// A UDP flow, or one of ESP or AH.
    pub udp_idle: Duration,
    /// Rest after a UDP flow went idle.
    pub udp_hold: Duration,
    /// An ICMP echo flow.
    pub icmp_idle: Duration,
    /// A flow that nobody answered, while such flows take more than half of the table.
    pub unanswered: Duration,
    /// A flow that the policy closed: how long late segments are answered.
    pub tombstone: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            tcp_half_open: Duration::from_secs(30),
            tcp_idle: Duration::from_secs(240),
            tcp_closing: Duration::from_secs(240),
            tcp_fin_hold: Duration::from_secs(65),
            tcp_rst_hold: Duration::from_secs(16),
            udp_idle: Duration::from_secs(240),
            udp_hold: Duration::from_secs(65),
            icmp_idle: Duration::from_secs(60),
            unanswered: Duration::from_secs(10),
            tombstone: Duration::from_secs(30),
        }
    }
}
