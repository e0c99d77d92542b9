"""Builds and reads a network as a program does, by the Azure SDKs for Python; prints one JSON object.

    network.py URL SUBSCRIPTION build     everything there, whether it was or not
    network.py URL SUBSCRIPTION remove    nothing of it there

Who calls comes from the usual variables: AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET; the CA
to trust from REQUESTS_CA_BUNDLE. `network.cjs` does the same in JavaScript.
"""

import json
import os
import sys

from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.storage import StorageManagementClient

GROUP = "sdk"
LOCATION = "koreacentral"
ACCOUNT = "contosodata"

# What a deployment is asked for: an address of its own and what it was given.
TEMPLATE = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "parameters": {"prefix": {"type": "string"}},
    "resources": [
        {
            "type": "Microsoft.Network/publicIPAddresses",
            "apiVersion": "2023-09-01",
            "name": "[concat(parameters('prefix'), '-ip')]",
            "location": "[resourceGroup().location]",
            "sku": {"name": "Standard"},
            "properties": {"publicIPAllocationMethod": "Static"},
        }
    ],
    "outputs": {
        "address": {
            "type": "string",
            "value": "[reference(concat(parameters('prefix'), '-ip')).ipAddress]",
        }
    },
}


class Clients:
    """The clients of the providers, all at one address and as one caller."""

    def __init__(self, url: str, subscription: str):
        credential = ClientSecretCredential(
            os.environ["AZURE_TENANT_ID"],
            os.environ["AZURE_CLIENT_ID"],
            os.environ["AZURE_CLIENT_SECRET"],
            authority=url,
            disable_instance_discovery=True,
        )

        def client(kind):
            return kind(
                credential,
                subscription,
                base_url=url,
                credential_scopes=[f"{url}/.default"],
                retry_total=0,
            )

        self.network = client(NetworkManagementClient)
        self.storage = client(StorageManagementClient)
        self.resource = client(ResourceManagementClient)
        self.deployments = client(DeploymentsMgmtClient).deployments
        self.scope = f"/subscriptions/{subscription}/resourceGroups/{GROUP}/providers"

    def id(self, kind: str, name: str) -> dict:
        """Returns a reference to a resource of the network in the group."""
        return {"id": f"{self.scope}/Microsoft.Network/{kind}/{name}"}


def build_parts(clients: Clients) -> None:
    """Makes what subnets and NICs refer to."""
    network = clients.network
    rule = {
        "priority": 200,
        "direction": "Outbound",
        "access": "Deny",
        "protocol": "Tcp",
        "sourceAddressPrefix": "*",
        "sourcePortRange": "*",
        "destinationAddressPrefix": "Internet",
        "destinationPortRange": "81",
    }
    # A group or a table that is put without its children has none afterwards.
    inline = [{"name": "no-81", "properties": rule}]
    network.network_security_groups.begin_create_or_update(
        GROUP, "web", {"location": LOCATION, "properties": {"securityRules": inline}}
    ).result()
    network.security_rules.begin_create_or_update(
        GROUP, "web", "no-81", {"properties": rule}
    ).result()
    route = {"addressPrefix": "198.51.100.0/24", "nextHopType": "None"}
    inline = [{"name": "nowhere", "properties": route}]
    network.route_tables.begin_create_or_update(
        GROUP, "rt", {"location": LOCATION, "properties": {"routes": inline}}
    ).result()
    network.routes.begin_create_or_update(
        GROUP, "rt", "nowhere", {"properties": route}
    ).result()
    address = {
        "location": LOCATION,
        "sku": {"name": "Standard"},
        "properties": {"publicIPAllocationMethod": "Static"},
    }
    network.public_ip_addresses.begin_create_or_update(
        GROUP, "nat-ip", address
    ).result()
    gateway = {
        "location": LOCATION,
        "sku": {"name": "Standard"},
        "properties": {
            "publicIpAddresses": [clients.id("publicIPAddresses", "nat-ip")],
            "idleTimeoutInMinutes": 10,
        },
    }
    network.nat_gateways.begin_create_or_update(GROUP, "nat", gateway).result()


def build_network(clients: Clients) -> dict:
    """Makes the virtual network and its NICs; returns their addresses."""
    network = clients.network
    vnet = {
        "location": LOCATION,
        "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}},
    }
    try:
        network.virtual_networks.get(GROUP, "hub")
    except HttpResponseError as error:
        if error.status_code != 404 or error.error.code != "ResourceNotFound":
            raise
        network.virtual_networks.begin_create_or_update(GROUP, "hub", vnet).result()
    apps = {
        "addressPrefix": "10.0.1.0/24",
        "networkSecurityGroup": clients.id("networkSecurityGroups", "web"),
        "serviceEndpoints": [{"service": "Microsoft.Storage"}],
    }
    jobs = {
        "addressPrefix": "10.0.2.0/24",
        "natGateway": clients.id("natGateways", "nat"),
        "routeTable": clients.id("routeTables", "rt"),
    }
    for name, subnet in (("apps", apps), ("jobs", jobs)):
        network.subnets.begin_create_or_update(
            GROUP, "hub", name, {"properties": subnet}
        ).result()
    addresses = {}
    for name, subnet in (("app", "apps"), ("job", "jobs")):
        configuration = {
            "name": "ipconfig1",
            "properties": {
                "subnet": clients.id("virtualNetworks", f"hub/subnets/{subnet}")
            },
        }
        nic = network.network_interfaces.begin_create_or_update(
            GROUP,
            name,
            {
                "location": LOCATION,
                "properties": {"ipConfigurations": [configuration]},
            },
        ).result()
        addresses[name] = nic.properties.ip_configurations[
            0
        ].properties.private_ip_address
    return addresses


def build_account(clients: Clients) -> str:
    """Makes the storage account that lets in one subnet; returns its default action."""
    accounts = clients.storage.storage_accounts
    account = {
        "location": LOCATION,
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS"},
        "properties": {
            "networkAcls": {
                "bypass": "None",
                "defaultAction": "Deny",
                "virtualNetworkRules": [
                    clients.id("virtualNetworks", "hub/subnets/apps")
                ],
            }
        },
    }
    made = accounts.begin_create(GROUP, ACCOUNT, account).result()
    return made.properties.network_rule_set.default_action


def read(clients: Clients) -> dict:
    """Returns what the platform says of the network."""
    network = clients.network
    nics = network.network_interfaces
    routes = nics.begin_get_effective_route_table(GROUP, "app").result()
    groups = nics.begin_list_effective_network_security_groups(GROUP, "app").result()
    subnet = network.subnets.get(GROUP, "hub", "apps")
    services = network.available_endpoint_services.list(LOCATION)
    tags = network.service_tags.list(LOCATION)
    endpoint = subnet.properties.service_endpoints[0]
    return {
        "endpoint": {"state": endpoint.provisioning_state, "locations": endpoint.locations},
        "hops": [route.next_hop_type for route in routes.value],
        "groups": len(groups.value),
        "services": sorted(service.name for service in services),
        "tags": any(tag.name == "Storage" for tag in tags.values_property or []),
        "networks": sorted(found.name for found in network.virtual_networks.list(GROUP)),
        "resources": sum(
            1 for _ in clients.resource.resources.list_by_resource_group(GROUP)
        ),
    }


def deploy(clients: Clients) -> dict:
    """Deploys the template, after validating it and asking what it would change."""
    deployments = clients.deployments
    body = {
        "properties": {
            "mode": "Incremental",
            "template": TEMPLATE,
            "parameters": {"prefix": {"value": "deployed"}},
        }
    }
    valid = deployments.begin_validate(GROUP, "one", body).result()
    changes = deployments.begin_what_if(GROUP, "one", body).result()
    done = deployments.begin_create_or_update(GROUP, "one", body).result()
    return {
        "valid": valid.properties.provisioning_state,
        "changes": [change.change_type for change in changes.properties.changes],
        "state": done.properties.provisioning_state,
        "outputs": done.properties.outputs,
    }


def build(clients: Clients) -> dict:
    clients.resource.resource_groups.create_or_update(GROUP, {"location": LOCATION})
    build_parts(clients)
    addresses = build_network(clients)
    return {
        "addresses": addresses,
        "defaultAction": build_account(clients),
        "deployment": deploy(clients),
        "read": read(clients),
    }


def remove(clients: Clients) -> dict:
    """Deletes what holds the rest, and then the group with the rest."""
    network = clients.network
    try:
        network.network_security_groups.begin_delete(GROUP, "web").result()
        refused = None
    except HttpResponseError as error:
        refused = error.error.code
    for name in ("app", "job"):
        network.network_interfaces.begin_delete(GROUP, name).result()
    clients.storage.storage_accounts.delete(GROUP, ACCOUNT)
    network.virtual_networks.begin_delete(GROUP, "hub").result()
    clients.resource.resource_groups.begin_delete(GROUP).result()
    exists = clients.resource.resource_groups.check_existence(GROUP)
    return {"refused": refused, "exists": exists}


def main() -> int:
    url, subscription, what = sys.argv[1:]
    clients = Clients(url, subscription)
    result = {"build": build, "remove": remove}[what](clients)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
