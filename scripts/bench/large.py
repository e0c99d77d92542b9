"""The policy of the profile `big`."""

import ipaddress
import random

import policy

NICS, GROUPS, RULES, USER_ROUTES = 32, 320, 1_000, 400
# With all of them on, every subnet has about 5,000 prefixes of services.
SERVICES = (
    "Microsoft.AzureActiveDirectory",
    "Microsoft.AzureCosmosDB",
    "Microsoft.CognitiveServices",
    "Microsoft.ContainerRegistry",
    "Microsoft.EventHub",
    "Microsoft.KeyVault",
    "Microsoft.ServiceBus",
    "Microsoft.Sql",
    "Microsoft.Storage",
    "Microsoft.Web",
)


def prefix(chance):
    """A prefix outside the network and outside what the load goes to."""
    length = chance.randrange(16, 29)
    address = chance.randrange(0x0B000000, 0x5C000000) >> (32 - length) << (32 - length)
    return f"{ipaddress.IPv4Address(address)}/{length}"


def rule(chance, at):
    """A rule that the load does not meet; a port range makes it one of the slow kind."""
    direction, protocol = ("Inbound", "Outbound")[at % 2], ("Tcp", "Udp")[at // 2 % 2]
    access = ("Allow", "Deny")[at // 4 % 2]
    return (
        f'{{name="r{at}",priority={100 + at},direction="{direction}",access="{access}",'
        f'protocol="{protocol}",sourceAddressPrefix="{prefix(chance)}",'
        f'destinationAddressPrefix="{prefix(chance)}",destinationPortRange="{at}-{at + 9}"}}'
    )


def toml(lab):
    """The file: NIC n is 10.0.n.4 with a group of its own, its subnet has another, and the groups that
    are left over belong to nothing."""
    chance = random.Random(6)
    parts = [
        f"""location = "koreacentral"
[settings]
defaultOutboundPortsPerNic = 64512
[internet]
addresses = ["{policy.INTERNET}/24"]
{policy.device(lab, "inet", "on")}
[defaultOutbound]
publicIPAddress = "{policy.PUBLIC}"
"""
    ]
    for group in range(GROUPS):
        rules = ",\n".join(rule(chance, at) for at in range(RULES))
        parts.append(f'[[networkSecurityGroup]]\nname = "g{group}"\nsecurityRule = [\n{rules}]\n')
    for nic in range(NICS):
        hops = "nextHopType=\"VirtualAppliance\",nextHopIpAddress=\"10.0.0.4\""
        prefixes = set()
        while len(prefixes) < USER_ROUTES:
            prefixes.add(prefix(chance))
        routes = ",\n".join(
            f'{{name="r{at}",addressPrefix="{to}",{hops}}}' for at, to in enumerate(sorted(prefixes))
        )
        parts.append(f'[[routeTable]]\nname = "t{nic}"\nroute = [\n{routes}]\n')
    services = ", ".join(f'"{service}"' for service in SERVICES)
    parts.append('[[virtualNetwork]]\nname = "v"\naddressPrefixes = ["10.0.0.0/16"]\n')
    for nic in range(NICS):
        parts.append(f"""[[virtualNetwork.subnet]]
name = "n{nic}"
addressPrefix = "10.0.{nic}.0/24"
routeTable = "t{nic}"
networkSecurityGroup = "g{NICS + nic}"
serviceEndpoints = [{services}]
""")
    for nic in range(NICS):
        parts.append(f"""[[networkInterface]]
name = "vm{nic}"
virtualNetwork = "v"
subnet = "n{nic}"
privateIPAddress = "10.0.{nic}.4"
networkSecurityGroup = "g{nic}"
enableIPForwarding = true
{policy.device(lab, f"big{nic}", "on")}""")
    return "".join(parts)
