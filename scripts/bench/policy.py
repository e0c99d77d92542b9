"""The policy of the profile `small`, and how each peer says it: two NICs, ten rules, the prefixes of one
service. What a peer cannot say is left out and named in docs/benchmarks.md."""

import json
import pathlib

from lab import MTU

NIC, NIC2, NETWORK = "10.0.1.4", "10.0.2.4", "10.0.0.0/16"
INTERNET, PUBLIC = "93.184.216.34", "20.200.0.1"
# Addresses of Storage.KoreaCentral: a service that sees addresses, and one that sees identities.
SERVICE, SERVICE6 = "20.60.16.5", "20.60.16.6"
# The namespace and the address of the server, by path. A service with identities is called by its IPv4
# address, and listens to IPv6.
TARGETS = {
    "internet": ("inet", INTERNET),
    "nic": ("vm2", NIC2),
    "native": ("svc", SERVICE),
    "st6": ("svc6", SERVICE6),
}
TAGS = ("Storage.KoreaCentral", "Storage.KoreaSouth")

# name, direction, access, protocol, source, destination, port. None decides a packet of the load before
# its last rule: a peer has to go through them all.
RULES = (
    ("deny-smtp", "Outbound", "Deny", "Tcp", "*", "*", 25),
    ("deny-bad", "Outbound", "Deny", "*", "*", "192.0.2.0/24", None),
    ("deny-telnet", "Outbound", "Deny", "Tcp", "*", "198.51.100.0/24", 23),
    ("deny-snmp", "Outbound", "Deny", "Udp", "*", "203.0.113.0/24", 161),
    ("allow-out", "Outbound", "Allow", "*", NETWORK, "*", None),
    ("deny-rdp", "Inbound", "Deny", "Tcp", "192.0.2.0/24", "*", 3389),
    ("deny-ssh", "Inbound", "Deny", "Tcp", "198.51.100.0/24", "*", 22),
    ("deny-dns", "Inbound", "Deny", "Udp", "203.0.113.0/24", "*", 53),
    ("deny-smb", "Inbound", "Deny", "Tcp", "198.18.0.0/15", "*", 445),
    ("allow-in", "Inbound", "Allow", "*", NETWORK, "*", None),
)


def service_prefixes():
    """The prefixes of the service endpoint, from the file that is built into Postern."""
    file = pathlib.Path(__file__).parents[2] / "config" / "service-tags.json"
    values = json.loads(file.read_text())["values"]
    return [p for tag in values if tag["name"] in TAGS for p in tag["properties"]["addressPrefixes"]]


def toml_rule(rule, priority):
    name, direction, access, protocol, source, destination, port = rule
    return f"""[[networkSecurityGroup.securityRule]]
name = "{name}"
priority = {priority}
direction = "{direction}"
access = "{access}"
protocol = "{protocol}"
sourceAddressPrefix = "{source}"
destinationAddressPrefix = "{destination}"
destinationPortRange = "{port or '*'}"
"""


def device(lab, name, offload):
    return f'namespace = "{lab.netns(name)}"\nmtu = {MTU}\noffload = "{offload}"\n'


def toml(lab, offload):
    """The file of `small`: every path that the columns take."""
    rules = "".join(toml_rule(rule, 100 + at) for at, rule in enumerate(RULES))
    text = f"""location = "koreacentral"
[settings]
defaultOutboundPortsPerNic = 64512
[internet]
addresses = ["{INTERNET}/24"]
{device(lab, "inet", offload)}
[defaultOutbound]
publicIPAddress = "{PUBLIC}"
[[networkSecurityGroup]]
name = "rules"
{rules}
[[virtualNetwork]]
name = "VNet1"
addressPrefixes = ["{NETWORK}"]
"""
    nics = ((1, "vm", NIC), (2, "vm2", NIC2))
    for number, _, _ in nics:
        text += f"""[[virtualNetwork.subnet]]
name = "subnet{number}"
addressPrefix = "10.0.{number}.0/24"
serviceEndpoints = ["Microsoft.Storage"]
networkSecurityGroup = "rules"
"""
    for number, nic, address in nics:
        text += f"""[[networkInterface]]
name = "{nic}"
virtualNetwork = "VNet1"
subnet = "subnet{number}"
privateIPAddress = "{address}"
{device(lab, nic, offload)}"""
    for name, address, delivery in (("svc", SERVICE, "native"), ("svc6", SERVICE6, "st6")):
        text += f"""[[service]]
name = "{name}"
service = "Microsoft.Storage"
address = "{address}"
delivery = "{delivery}"
{device(lab, name, offload)}"""
    return text


def nft_rule(rule):
    _, direction, access, protocol, source, destination, port = rule
    words = []
    if source != "*":
        words.append(f"ip saddr {source}")
    if destination != "*":
        words.append(f"ip daddr {destination}")
    if port:
        words.append(f"{protocol.lower()} dport {port}")
    elif protocol != "*":
        words.append(f"meta l4proto {protocol.lower()}")
    return " ".join([*words, "accept" if access == "Allow" and direction == "Inbound" else
                     "return" if access == "Allow" else "drop"])


def nft():
    """The same for the kernel: NICs own their address, rules judge new connections, TCP to the
    service keeps its source, and the rest gets the public one."""
    rules = {way: "\n".join(nft_rule(r) for r in RULES if r[1] == way) for way in ("Outbound", "Inbound")}
    return f"""table ip bench {{
    set service {{ type ipv4_addr; flags interval; elements = {{ {", ".join(service_prefixes())} }} }}
    chain outbound {{
        {rules["Outbound"]}
        drop
    }}
    chain inbound {{
        {rules["Inbound"]}
        drop
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        ct state invalid drop
        iifname "vm" ip saddr != {NIC} drop
        iifname "vm2" ip saddr != {NIC2} drop
        iifname {{ "vm", "vm2" }} jump outbound
        oifname {{ "vm", "vm2" }} jump inbound
        iifname {{ "vm", "vm2" }} accept
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        meta l4proto tcp ip daddr @service accept
        oifname "inet" snat to {PUBLIC}
    }}
}}
"""


def openflow():
    """The same for Open vSwitch, of one NIC and the Internet: ports 1 and 2."""
    flows = [
        f"table=0,priority=10,in_port=1,ip,nw_src={NIC},actions=ct(zone=1,nat,table=1)",
        f"table=0,priority=10,in_port=2,ip,nw_dst={PUBLIC},actions=ct(zone=1,nat,table=3)",
        "table=1,priority=10,ip,ct_state=+trk+est,actions=dec_ttl,output:2",
        "table=1,priority=10,ip,ct_state=+trk+new,actions=resubmit(,2)",
        "table=3,priority=10,ip,ct_state=+trk+est,actions=dec_ttl,output:1",
    ]
    # A flow without answers stays new, and its packets are translated before its rules are asked again:
    # these see the source that it came with.
    translate = f"ct(commit,zone=1,nat(src={PUBLIC})),dec_ttl,output:2"
    for at, rule in enumerate(r for r in RULES if r[1] == "Outbound"):
        _, _, access, protocol, source, destination, port = rule
        match = ["ip" if protocol == "*" else protocol.lower(), "ct_state=+trk+new"]
        match += [f"ct_nw_src={source}"] * (source != "*") + [f"nw_dst={destination}"] * (destination != "*")
        match += [f"tp_dst={port}"] * bool(port)
        action = translate if access == "Allow" else "drop"
        flows.append(f"table=2,priority={100 - at},{','.join(match)},actions={action}")
    return "\n".join(flows) + "\n"
