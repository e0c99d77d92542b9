//! What the daemon tells: the shapes of its answers, written by the server, read by the client.
//!
//! Addresses, names and states are text here, as people and programs read them.

use super::front::FrontsView;
use serde::{Deserialize, Serialize};

/// What an `apply` or an endpoint switch did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedView {
    /// The epoch that is in force now.
    pub epoch: u32,
    /// Whether anything changed.
    pub changed: bool,
    /// What changed, resource by resource.
    pub changes: Vec<ChangeView>,
    /// What became of the live flows; none if nothing changed or the sweep is still under way.
    pub sweep: Option<SweepView>,
    /// The ports of the policy that wait for their device.
    #[serde(default)]
    pub detached: Vec<DetachedView>,
}

/// A port that waits for its device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DetachedView {
    /// Its name.
    pub port: String,
    /// Its namespace.
    pub namespace: String,
    /// Why it has none.
    pub reason: String,
}

/// One change of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeView {
    /// `add`, `remove` or `change`.
    pub action: String,
    /// The kind of the resource.
    pub kind: String,
    /// Its name; empty for what there is one of.
    pub name: String,
    /// The values that differ.
    pub detail: String,
}

impl ChangeView {
    /// Returns the change as a line, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        let Self {
            action,
            kind,
            name,
            detail,
        } = self;
        let words = [action, kind, name, detail].map(String::as_str);
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.join(" ")
    }
}

/// What became of the live flows under a new policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepView {
    /// Flows that go on undisturbed.
    pub kept: u64,
    /// TCP flows whose path changed.
    pub closed: u64,
    /// Other flows whose path changed, and that go on with a new source.
    pub rebound: u64,
    /// Flows that the new rules forbid, where they act on live flows.
    pub denied: u64,
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The program's version.
    pub version: String,
    /// The daemon's process.
    pub pid: u32,
    /// Seconds since packets flow.
    pub uptime_seconds: u64,
    /// The policy in force.
    pub epoch: u32,
    /// Whether live flows are still being looked at under it.
    pub sweeping: bool,
    /// Where the service prefixes come from.
    pub service_tags: ServiceTagsView,
    /// Flows in the table, resting ones included.
    pub flows: u64,
    /// The most that there can be.
    pub max_flows: u64,
    /// The workers, which share the packets.
    pub workers: Vec<WorkerView>,
    /// The ports, in the order of their numbers.
    pub ports: Vec<PortView>,
    /// The subnets, in the order of the configuration.
    pub subnets: Vec<SubnetView>,
}

/// A thread that moves packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerView {
    /// Frames that it read and handed to the worker that has their flow: few, if the kernel delivers
    /// each flow to its worker.
    pub handed_over: u64,
}

/// A subnet and what its packets carry where a service sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubnetView {
    /// The virtual network.
    pub virtual_network: String,
    /// The subnet.
    pub subnet: String,
    /// Its addresses.
    pub address_prefix: String,
    /// The key of the network.
    pub vnet_key: u32,
    /// The key of the subnet in the network.
    pub subnet_key: u16,
    /// The number of the region in the service-tag file; 0 where it has none.
    pub region_id: u16,
    /// The IPv6 prefix that bears the identity.
    pub identity: String,
}

/// What gateways have learned: Azure's list of a gateway's learned routes, of which the kernel
/// knows `network` and `nextHop`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LearnedView {
    /// The routes, gateway by gateway, in the order of their networks.
    pub value: Vec<LearnedRouteView>,
    /// Always null: the answer is whole.
    pub next_link: Option<String>,
    /// The gateways that learn.
    pub gateways: Vec<LearningView>,
}

/// One learned route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LearnedRouteView {
    /// What it covers.
    pub network: String,
    /// The router behind the gateway; none if the route leads to a device.
    pub next_hop: Option<String>,
    /// The gateway that learned it.
    pub gateway: String,
    /// Who put it into the kernel, such as `bird`.
    pub protocol: String,
    /// The kernel's metric.
    pub metric: u32,
}

/// A gateway that learns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LearningView {
    /// Its name.
    pub name: String,
    /// Its virtual network.
    pub virtual_network: String,
    /// The namespace that it learns in.
    pub namespace: String,
    /// The table there, and the protocols where they are listed.
    pub source: String,
    /// How many prefixes it has learned.
    pub learned: usize,
    /// How many more there are than it takes.
    pub left_out: usize,
}

/// The service-tag file in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceTagsView {
    /// The file.
    pub source: String,
    /// Its cloud.
    pub cloud: String,
    /// Its change number.
    pub change_number: u32,
}

/// What a `tags reload` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagsReloadedView {
    /// The epoch that is in force now.
    pub epoch: u32,
    /// Whether anything changed.
    pub changed: bool,
    /// What differs between the files.
    #[serde(flatten)]
    pub tags: TagsChangesView,
    /// What became of the live flows; none if nothing changed or the sweep is still under way.
    pub sweep: Option<SweepView>,
}

/// What differs between two service-tag files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagsChangesView {
    /// The file that was in use.
    pub before: ServiceTagsView,
    /// The file that is in use.
    pub after: ServiceTagsView,
    /// The services whose tags differ.
    pub services: Vec<TagServiceView>,
    /// The tags that security rules name and that differ.
    pub rules: Vec<TagChangeView>,
}

/// A service whose tags differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagServiceView {
    /// The service.
    pub service: String,
    /// Prefixes that came, over all of its tags.
    pub added: Vec<String>,
    /// Prefixes that went.
    pub removed: Vec<String>,
    /// The tags that differ.
    pub tags: Vec<TagChangeView>,
}

/// A tag that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagChangeView {
    /// Its name.
    pub name: String,
    /// Whether it supplies an endpoint that is on.
    pub in_use: bool,
    /// Its change number before; none if it is new.
    pub change_number_before: Option<u64>,
    /// Its change number now; none if it is gone.
    pub change_number_after: Option<u64>,
    /// IPv4 prefixes that came.
    pub added: Vec<String>,
    /// IPv4 prefixes that went.
    pub removed: Vec<String>,
}

/// A port as it is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortView {
    /// Its number.
    pub number: u16,
    /// Its name, such as `nic/vm0`.
    pub name: String,
    /// `attached`, `detached` for one that waits for its device, or `unattached` for one that no
    /// namespace is known of.
    pub state: String,
    /// Why it is detached, or what is wrong with its device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The namespace of its device.
    pub namespace: String,
    /// Its device.
    pub device: String,
    /// The device's MTU.
    pub mtu: u16,
    /// Whether super-frames and partial checksums pass.
    pub offload: bool,
    /// The device's addresses.
    pub addresses: Vec<String>,
}

/// The counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatsView {
    /// By port, in the order of their numbers.
    pub ports: Vec<PortStatsView>,
    /// Ports of shared public addresses that are leased.
    pub snat: Vec<PoolStatsView>,
    /// Of the flow table.
    pub flows: FlowStatsView,
    /// Fronts of services.
    #[serde(default)]
    pub fronts: FrontsView,
    /// What the packet path decided, by service without a front.
    #[serde(default)]
    pub services: Vec<DecisionsView>,
}

/// What the packet path decided about the connections to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionsView {
    /// The service.
    pub name: String,
    /// Let in.
    pub allowed: u64,
    /// Of those: an endpoint policy would have refused, but only audits.
    pub audited: u64,
    /// Refused by network rules.
    pub denied_by_rules: u64,
    /// Refused by an endpoint policy.
    pub denied_by_policy: u64,
}

/// The counters of one port. Frames count once, super-frames too; bytes with the IP header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortStatsView {
    /// The port's name.
    pub name: String,
    /// Frames that came from its device.
    pub received_frames: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames forwarded to its device.
    pub sent_frames: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Resets and ICMP errors that Postern made and sent to it.
    pub made_frames: u64,
    /// Flows that it opened and that are in the table now, to the platform's addresses or not.
    #[serde(default)]
    pub flows: u64,
    /// Those of them that nobody has answered: they give way when the table is full.
    #[serde(default)]
    pub unanswered: u64,
    /// Flows that it opened and that gave way.
    #[serde(default)]
    pub evicted: u64,
    /// Frames that were not forwarded, by direction and reason, without the zeros.
    pub drops: Vec<DropView>,
}

/// One drop counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DropView {
    /// `Outbound`, from what is behind the port, or `Inbound`, towards it.
    pub direction: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub frames: u64,
}

/// Leased ports of one shared public address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatsView {
    /// The address.
    #[serde(rename = "publicIPAddress")]
    pub public_address: String,
    /// TCP ports.
    pub tcp: u32,
    /// UDP ports.
    pub udp: u32,
    /// ICMP identifiers.
    pub icmp: u32,
}

/// The flow table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowStatsView {
    /// In the table now: live ones, and those whose tuple still rests.
    pub count: u64,
    /// The most that there can be.
    pub max: u64,
    /// Ever opened.
    pub opened: u64,
    /// Ended by themselves.
    pub ended: u64,
    /// Closed by a policy change.
    pub closed: u64,
    /// Unanswered ones that gave way to others in a full table.
    #[serde(default)]
    pub evicted: u64,
}

/// Some of the flows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowsView {
    /// The flows.
    pub value: Vec<FlowRow>,
    /// How many are in the table in all, on every NIC; resting ones included.
    pub count: u64,
    /// Whether some that were asked for are left out because of the limit.
    pub truncated: bool,
}

/// One flow, and why it goes where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowRow {
    /// `tcp`, `udp`, `icmp`, `esp`, `ah` or a number.
    pub protocol: String,
    /// The state of the connection.
    pub state: String,
    /// The port that it came from.
    pub ingress: String,
    /// The port that it goes to.
    pub egress: String,
    /// The source as the initiator sends it.
    pub source: String,
    /// The destination as the initiator sends it.
    pub destination: String,
    /// The source as the responder sees it.
    pub translated_source: String,
    /// The destination as the responder sees it.
    pub translated_destination: String,
    /// `VnetLocal`, `VnetPeering`, `VirtualAppliance`, `VirtualNetworkGateway`, `Internet`,
    /// `ServiceEndpoint`, `Inbound` or `Platform`.
    pub route: String,
    /// The service, on an endpoint's route.
    pub service: Option<String>,
    /// `private`, `oneToOne` or `shared`.
    pub source_kind: String,
    /// The security rules that let it pass.
    pub rules: FlowRules,
    /// How a resource of a service let it in; none where a front decides, or nothing does.
    #[serde(default)]
    pub admission: Option<AdmissionView>,
    /// What the service sees of the initiator, where it gets an identity.
    #[serde(default)]
    pub identity: Option<IdentityView>,
    /// The policy that it was last judged by.
    pub epoch: u32,
    /// Milliseconds since it was opened.
    pub age_ms: u64,
    /// Milliseconds since its last packet.
    pub idle_ms: u64,
    /// Frames and bytes from the initiator.
    pub forward: TrafficView,
    /// Frames and bytes from the responder.
    pub reply: TrafficView,
}

/// How a resource of a service let a flow in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionView {
    /// The ID of the resource.
    pub resource: String,
    /// The network rule; none where that is the default.
    pub rule: Option<String>,
    /// Whether an endpoint policy would have refused it, but only audits.
    pub audited: bool,
}

/// The identity that a flow reaches its service with: the names, and the raw form, which is what
/// turns up in the service's own logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityView {
    /// The initiator, as `vnet/subnet address`.
    pub caller: String,
    /// The address that the service sees it by.
    pub raw_address: String,
    /// The address that the service is called at.
    pub raw_destination: String,
}

/// The rules that let a flow pass, as `nsg/rule`; none where there is no group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowRules {
    /// Of the sender's NIC.
    pub outbound_nic: Option<String>,
    /// Of the sender's subnet.
    pub outbound_subnet: Option<String>,
    /// Of the receiver's subnet.
    pub inbound_subnet: Option<String>,
    /// Of the receiver's NIC.
    pub inbound_nic: Option<String>,
}

/// Traffic of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficView {
    /// Frames; a super-frame counts once.
    pub frames: u64,
    /// Bytes, IP header included.
    pub bytes: u64,
}

/// An endpoint that is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointView {
    /// The virtual network.
    pub virtual_network: String,
    /// The subnet.
    pub subnet: String,
    /// The service.
    pub service: String,
    /// The regions that it covers; `*` is all.
    pub locations: Vec<String>,
    /// How many prefixes that makes.
    pub prefixes: usize,
    /// Always `Succeeded`: a change is in force when it is answered.
    pub provisioning_state: String,
}

/// What a change would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviewView {
    /// Whether anything would change.
    pub changed: bool,
    /// The resources that would be made, changed or removed.
    pub resources: Vec<ResourceChangeView>,
    /// What would change of the policy, resource by resource.
    pub changes: Vec<ChangeView>,
    /// The routes and rules of NICs that would be other ones.
    pub effects: serde_json::Value,
}

/// Where a file and what runs differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiffView {
    /// What applying the file would change.
    #[serde(flatten)]
    pub preview: PreviewView,
    /// The IDs of resources that requests made, which the file does not have and `apply` leaves.
    pub only_running: Vec<String>,
}

/// A resource that would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceChangeView {
    /// `create`, `modify` or `delete`.
    pub action: String,
    /// Its ID.
    pub id: String,
}

/// Where resources are filed that do not say so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DefaultsView {
    /// The subscription.
    pub subscription: String,
    /// The resource group.
    pub resource_group: String,
    /// The region.
    pub location: String,
}
