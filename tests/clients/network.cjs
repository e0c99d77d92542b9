/*
 * Builds and reads a network as a program does, by the Azure SDKs for JavaScript; prints one JSON object.
 *
 *     network.cjs URL SUBSCRIPTION build     everything there, whether it was or not
 *     network.cjs URL SUBSCRIPTION remove    nothing of it there
 *
 * Who calls comes from the usual variables: AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET; the CA
 * to trust from NODE_EXTRA_CA_CERTS. `network.py` does the same in Python.
 */
"use strict";

const { ClientSecretCredential } = require("@azure/identity");
const { NetworkManagementClient } = require("@azure/arm-network");
const { DeploymentsClient } = require("@azure/arm-resourcesdeployments");
const { ResourceManagementClient } = require("@azure/arm-resources");
const { StorageManagementClient } = require("@azure/arm-storage");

const GROUP = "sdk";
const LOCATION = "koreacentral";
const ACCOUNT = "contosodata";

// What a deployment is asked for: an address of its own and what it was given.
const TEMPLATE = {
  $schema: "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  contentVersion: "1.0.0.0",
  parameters: { prefix: { type: "string" } },
  resources: [
    {
      type: "Microsoft.Network/publicIPAddresses",
      apiVersion: "2023-09-01",
      name: "[concat(parameters('prefix'), '-ip')]",
      location: "[resourceGroup().location]",
      sku: { name: "Standard" },
      properties: { publicIPAllocationMethod: "Static" },
    },
  ],
  outputs: {
    address: {
      type: "string",
      value: "[reference(concat(parameters('prefix'), '-ip')).ipAddress]",
    },
  },
};

/** The clients of the providers, all at one address and as one caller. */
class Clients {
  constructor(url, subscription) {
    const credential = new ClientSecretCredential(
      process.env.AZURE_TENANT_ID,
      process.env.AZURE_CLIENT_ID,
      process.env.AZURE_CLIENT_SECRET,
      { authorityHost: url, disableInstanceDiscovery: true },
    );
    const options = {
      endpoint: url,
      credentials: { scopes: [`${url}/.default`] },
      credentialScopes: [`${url}/.default`],
      retryOptions: { maxRetries: 0 },
    };
    const client = (Kind) => new Kind(credential, subscription, options);
    this.network = client(NetworkManagementClient);
    this.storage = client(StorageManagementClient);
    this.resource = client(ResourceManagementClient);
    this.deployments = client(DeploymentsClient).deployments;
    this.scope = `/subscriptions/${subscription}/resourceGroups/${GROUP}/providers`;
  }

  /** Returns a reference to a resource of the network in the group. */
  id(kind, name) {
    return { id: `${this.scope}/Microsoft.Network/${kind}/${name}` };
  }
}

/** Makes what subnets and NICs refer to. */
async function buildParts(clients) {
  const { network } = clients;
  const here = { location: LOCATION };
  const rule = {
    priority: 200,
    direction: "Outbound",
    access: "Deny",
    protocol: "Tcp",
    sourceAddressPrefix: "*",
    sourcePortRange: "*",
    destinationAddressPrefix: "Internet",
    destinationPortRange: "81",
  };
  // A group or a table that is put without its children has none afterwards.
  await network.networkSecurityGroups.beginCreateOrUpdateAndWait(GROUP, "web", {
    ...here,
    securityRules: [{ name: "no-81", ...rule }],
  });
  await network.securityRules.beginCreateOrUpdateAndWait(GROUP, "web", "no-81", rule);
  const route = { addressPrefix: "198.51.100.0/24", nextHopType: "None" };
  await network.routeTables.beginCreateOrUpdateAndWait(GROUP, "rt", {
    ...here,
    routes: [{ name: "nowhere", ...route }],
  });
  await network.routes.beginCreateOrUpdateAndWait(GROUP, "rt", "nowhere", route);
  await network.publicIPAddresses.beginCreateOrUpdateAndWait(GROUP, "nat-ip", {
    location: LOCATION,
    sku: { name: "Standard" },
    publicIPAllocationMethod: "Static",
  });
  await network.natGateways.beginCreateOrUpdateAndWait(GROUP, "nat", {
    location: LOCATION,
    sku: { name: "Standard" },
    publicIpAddresses: [clients.id("publicIPAddresses", "nat-ip")],
    idleTimeoutInMinutes: 10,
  });
}

/** Makes the virtual network and its NICs; returns their addresses. */
async function buildNetwork(clients) {
  const { network } = clients;
  try {
    await network.virtualNetworks.get(GROUP, "hub");
  } catch (error) {
    if (error.statusCode !== 404 || error.code !== "ResourceNotFound") {
      throw error;
    }
    await network.virtualNetworks.beginCreateOrUpdateAndWait(GROUP, "hub", {
      location: LOCATION,
      addressSpace: { addressPrefixes: ["10.0.0.0/16"] },
    });
  }
  await network.subnets.beginCreateOrUpdateAndWait(GROUP, "hub", "apps", {
    addressPrefix: "10.0.1.0/24",
    networkSecurityGroup: clients.id("networkSecurityGroups", "web"),
    serviceEndpoints: [{ service: "Microsoft.Storage" }],
  });
  await network.subnets.beginCreateOrUpdateAndWait(GROUP, "hub", "jobs", {
    addressPrefix: "10.0.2.0/24",
    natGateway: clients.id("natGateways", "nat"),
    routeTable: clients.id("routeTables", "rt"),
  });
  const addresses = {};
  for (const [name, subnet] of [
    ["app", "apps"],
    ["job", "jobs"],
  ]) {
    const nic = await network.networkInterfaces.beginCreateOrUpdateAndWait(GROUP, name, {
      location: LOCATION,
      ipConfigurations: [
        { name: "ipconfig1", subnet: clients.id("virtualNetworks", `hub/subnets/${subnet}`) },
      ],
    });
    addresses[name] = nic.ipConfigurations[0].privateIPAddress;
  }
  return addresses;
}

/** Makes the storage account that lets in one subnet; returns its default action. */
async function buildAccount(clients) {
  const made = await clients.storage.storageAccounts.create(GROUP, ACCOUNT, {
    location: LOCATION,
    kind: "StorageV2",
    sku: { name: "Standard_LRS" },
    networkRuleSet: {
      bypass: "None",
      defaultAction: "Deny",
      virtualNetworkRules: [
        { virtualNetworkResourceId: clients.id("virtualNetworks", "hub/subnets/apps").id },
      ],
    },
  });
  return made.networkRuleSet.defaultAction;
}

/** Returns all that a paged list gives. */
async function all(pages) {
  const found = [];
  for await (const item of pages) {
    found.push(item);
  }
  return found;
}

/** Returns what the platform says of the network. */
async function read(clients) {
  const { network } = clients;
  const nics = network.networkInterfaces;
  const routes = await nics.beginGetEffectiveRouteTableAndWait(GROUP, "app");
  const groups = await nics.beginListEffectiveNetworkSecurityGroupsAndWait(GROUP, "app");
  const subnet = await network.subnets.get(GROUP, "hub", "apps");
  const services = await all(network.availableEndpointServices.list(LOCATION));
  const tags = await network.serviceTags.list(LOCATION);
  const networks = await all(network.virtualNetworks.list(GROUP));
  const resources = await all(clients.resource.resources.listByResourceGroup(GROUP));
  const [endpoint] = subnet.serviceEndpoints;
  return {
    endpoint: { state: endpoint.provisioningState, locations: endpoint.locations },
    hops: routes.value.map((route) => route.nextHopType),
    groups: groups.value.length,
    services: services.map((service) => service.name).sort(),
    tags: (tags.values ?? []).some((tag) => tag.name === "Storage"),
    networks: networks.map((found) => found.name).sort(),
    resources: resources.length,
  };
}

/** Deploys the template, after validating it and asking what it would change. */
async function deploy(clients) {
  const { deployments } = clients;
  const body = {
    properties: {
      mode: "Incremental",
      template: TEMPLATE,
      parameters: { prefix: { value: "deployed" } },
    },
  };
  const valid = await deployments.validate(GROUP, "one", body);
  const changes = await deployments.whatIf(GROUP, "one", body);
  const done = await deployments.createOrUpdate(GROUP, "one", body);
  return {
    valid: valid.properties.provisioningState,
    changes: (changes.changes ?? []).map((change) => change.changeType),
    state: done.properties.provisioningState,
    outputs: done.properties.outputs,
  };
}

async function build(clients) {
  await clients.resource.resourceGroups.createOrUpdate(GROUP, { location: LOCATION });
  await buildParts(clients);
  return {
    addresses: await buildNetwork(clients),
    defaultAction: await buildAccount(clients),
    deployment: await deploy(clients),
    read: await read(clients),
  };
}

/** Deletes what holds the rest, and then the group with the rest. */
async function remove(clients) {
  const { network } = clients;
  let refused = null;
  try {
    await network.networkSecurityGroups.beginDeleteAndWait(GROUP, "web");
  } catch (error) {
    refused = error.code;
  }
  for (const name of ["app", "job"]) {
    await network.networkInterfaces.beginDeleteAndWait(GROUP, name);
  }
  await clients.storage.storageAccounts.delete(GROUP, ACCOUNT);
  await network.virtualNetworks.beginDeleteAndWait(GROUP, "hub");
  await clients.resource.resourceGroups.delete(GROUP);
  const { body } = await clients.resource.resourceGroups.checkExistence(GROUP);
  return { refused, exists: body };
}

async function main() {
  const [url, subscription, what] = process.argv.slice(2);
  const clients = new Clients(url, subscription);
  console.log(JSON.stringify(await { build, remove }[what](clients)));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
