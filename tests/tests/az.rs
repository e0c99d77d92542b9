//! The real `az` against a fabric, from an empty subscription to an empty one. Where a command changes
//! policy, a packet proves it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Azure, Connection, Fabric, INTERNET, PUBLIC_DEFAULT, STORAGE, TcpServer, at, azure_head, bind,
    group_id, network_id, privileged,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

const APP: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
const JOB: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 4);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 4, 0, 4);

/// How long a connection that must be lost is tried.
const SOON: Duration = Duration::from_secs(1);

/// A fabric with no resource in its file: only where resources that come will be, and what is not
/// Azure's.
struct Tour {
    fabric: Fabric,
    azure: Azure,
    _storage: TcpServer,
    _internet: TcpServer,
}

impl Tour {
    fn start() -> Self {
        let nics = bind("Microsoft.Network/networkInterfaces", "app", "app")
            + &bind("Microsoft.Network/networkInterfaces", "job", "job")
            + &bind("Microsoft.Network/networkInterfaces", "far", "far");
        let account = bind("Microsoft.Storage/storageAccounts", "contosodata", "svc");
        let fabric = Fabric::start(&format!(
            "{}[publicIPPool]\nprefixes = [\"20.0.0.0/27\"]\n\
             [internet]\naddresses = [\"{INTERNET}/24\"]\nnamespace = \"inet\"\n\
             [defaultOutbound]\npublicIPAddress = \"{PUBLIC_DEFAULT}\"\n\
             {nics}{account}address = \"{STORAGE}\"\ndelivery = \"native\"\n",
            azure_head()
        ));
        let internet = TcpServer::start(fabric.namespace("inet"), at(INTERNET, 80));
        let azure = Azure::setup(&fabric);
        azure.az("account show");
        azure.az("group create -n rg -l koreacentral");
        azure.az(
            "network vnet create -g rg -n hub --address-prefixes 10.0.0.0/16 --subnet-name apps \
             --subnet-prefixes 10.0.1.0/24",
        );
        azure.az("network vnet subnet create -g rg --vnet-name hub -n jobs --address-prefixes 10.0.2.0/24");
        azure.az("network public-ip create -g rg -n pip --sku Standard --allocation-method Static");
        let app = azure.az(
            "network nic create -g rg -n app --vnet-name hub --subnet apps --public-ip-address pip",
        );
        assert_eq!(private_address(&app["NewNIC"]), APP.to_string(), "{app}");
        azure.az("network nic create -g rg -n job --vnet-name hub --subnet jobs");
        azure.az("storage account create -g rg -n contosodata --sku Standard_LRS -l koreacentral");
        let storage = TcpServer::start(fabric.namespace("svc"), at(STORAGE, 443));
        Self {
            fabric,
            azure,
            _storage: storage,
            _internet: internet,
        }
    }

    fn az(&self, line: &str) -> Value {
        self.azure.az(line)
    }

    /// Changes a subnet of `hub`.
    fn subnet(&self, name: &str, change: &str) {
        self.az(&format!(
            "network vnet subnet update -g rg --vnet-name hub -n {name} {change}"
        ));
    }

    /// The address that `az network public-ip show` tells.
    fn public_address(&self, name: &str) -> Ipv4Addr {
        let shown = self.az(&format!("network public-ip show -g rg -n {name}"));
        let address = shown["ipAddress"].as_str().unwrap_or_default();
        address.parse().unwrap_or_else(|_| panic!("{shown}"))
    }

    /// As whom `from` is seen there; why not, if it is not.
    fn try_reach(&self, from: &str, to: SocketAddrV4) -> Result<Ipv4Addr, ErrorKind> {
        let connection = Connection::open_within(self.fabric.namespace(from), to, SOON);
        connection
            .map(|connection| *connection.source.ip())
            .map_err(|error| error.kind())
    }

    #[track_caller]
    fn expect_seen(&self, from: &str, to: SocketAddrV4, source: Ipv4Addr) {
        assert_eq!(self.try_reach(from, to), Ok(source), "{from} to {to}");
    }

    #[track_caller]
    fn expect_lost(&self, from: &str, to: SocketAddrV4) {
        let lost = self.try_reach(from, to);
        assert_eq!(lost, Err(ErrorKind::TimedOut), "{from} to {to}");
    }

    #[track_caller]
    fn expect_refused(&self, from: &str) {
        let refused = self.try_reach(from, at(STORAGE, 443));
        assert_eq!(refused, Err(ErrorKind::ConnectionRefused), "{from}");
    }
}

/// The private address of a NIC as `az` shows it.
fn private_address(nic: &Value) -> &str {
    let configuration = &nic["ipConfigurations"][0];
    configuration["privateIPAddress"]
        .as_str()
        .unwrap_or_else(|| panic!("{nic}"))
}

/// What a list has under a key, in order.
fn column(list: &Value, key: &str) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    let mut column: Vec<_> = list
        .iter()
        .map(|item| item[key].as_str().unwrap_or_default().to_owned())
        .collect();
    column.sort();
    column
}

impl Tour {
    /// An endpoint, the rules of an account, and an endpoint policy.
    fn endpoints(&self) {
        let storage = at(STORAGE, 443);
        let services = self.az("network vnet list-endpoint-services -l koreacentral");
        let names = column(&services, "name");
        assert!(names.contains(&"Microsoft.Storage".to_owned()), "{names:?}");
        let taken = self.az("storage account check-name -n contosodata");
        assert_eq!(taken["nameAvailable"], json!(false), "{taken}");
        self.expect_seen("app", storage, self.public_address("pip"));
        self.expect_seen("job", storage, PUBLIC_DEFAULT);
        self.subnet("apps", "--service-endpoints Microsoft.Storage");
        self.expect_seen("app", storage, APP);
        self.expect_seen("job", storage, PUBLIC_DEFAULT);

        self.az("storage account update -g rg -n contosodata --default-action Deny --bypass None");
        self.expect_refused("app");
        let rule = "network-rule add -g rg -n contosodata";
        self.az(&format!(
            "storage account {rule} --vnet-name hub --subnet apps"
        ));
        self.expect_seen("app", storage, APP);
        self.expect_refused("job");
        self.expect_refused("inet");
        self.az(&format!("storage account {rule} --ip-address {INTERNET}"));
        self.expect_seen("inet", storage, INTERNET);
        let rules = self.az("storage account network-rule list -g rg -n contosodata");
        let ids = column(&rules["virtualNetworkRules"], "virtualNetworkResourceId");
        assert_eq!(ids, [network_id("rg", "virtualNetworks/hub/subnets/apps")]);
        self.az(&format!(
            "storage account network-rule remove -g rg -n contosodata --ip-address {INTERNET}"
        ));
        self.expect_refused("inet");
        let shown = self.az("storage account show -g rg -n contosodata");
        assert_eq!(shown["networkRuleSet"]["ipRules"], json!([]), "{shown}");
        self.az("storage account keys list -g rg -n contosodata");

        self.az("network service-endpoint policy create -g rg -n only -l koreacentral");
        self.az_definition("create", "elsewhere");
        self.subnet("apps", "--service-endpoint-policy only");
        self.expect_refused("app");
        self.az_definition("update", "rg");
        self.expect_seen("app", storage, APP);
        let definitions =
            "network service-endpoint policy-definition list -g rg --policy-name only";
        assert_eq!(column(&self.az(definitions), "name"), ["accounts"]);
        self.azure.az_refused(
            "network service-endpoint policy delete -g rg -n only",
            "InUse",
        );
        self.subnet("apps", "--remove serviceEndpointPolicies");
        self.az("network service-endpoint policy delete -g rg -n only");
        self.expect_seen("app", storage, APP);
    }

    /// Makes or changes the definition of the endpoint policy: the accounts of this group.
    fn az_definition(&self, verb: &str, group: &str) {
        self.az(&format!(
            "network service-endpoint policy-definition {verb} -g rg --policy-name only -n accounts \
             --service Microsoft.Storage --service-resources {}",
            group_id(group)
        ));
    }

    /// Groups of rules, by prefix, by tag and by application security group.
    fn security(&self) {
        let web = at(INTERNET, 80);
        let public = self.public_address("pip");
        self.expect_seen("app", web, public);
        self.az("network nsg create -g rg -n nsg");
        self.az(
            "network nsg rule create -g rg --nsg-name nsg -n no-web --priority 200 --direction \
             Outbound --access Deny --protocol Tcp --destination-address-prefixes Internet \
             --destination-port-ranges 80",
        );
        self.expect_seen("app", web, public);
        self.subnet("apps", "--network-security-group nsg");
        self.expect_lost("app", web);
        self.az("network nsg rule update -g rg --nsg-name nsg -n no-web --access Allow");
        self.expect_seen("app", web, public);
        self.az("network asg create -g rg -n workers");
        self.az(
            "network nic ip-config update -g rg --nic-name app -n ipconfig1 \
             --application-security-groups workers",
        );
        self.az(
            "network nsg rule create -g rg --nsg-name nsg -n no-workers --priority 100 --direction \
             Outbound --access Deny --protocol Tcp --source-asgs workers \
             --destination-address-prefixes Internet --destination-port-ranges 80",
        );
        self.expect_lost("app", web);
        let rules = self.az("network nsg rule list -g rg --nsg-name nsg");
        assert_eq!(column(&rules, "name"), ["no-web", "no-workers"]);
        let effective = self.az("network nic list-effective-nsg -g rg -n app");
        assert!(effective.to_string().contains("no-workers"), "{effective}");
        self.az("network nsg rule delete -g rg --nsg-name nsg -n no-workers");
        self.expect_seen("app", web, public);
        self.azure
            .az_refused("network nsg delete -g rg -n nsg", "InUse");
        let shown = self.az("network nsg show -g rg -n nsg");
        let defaults = shown["defaultSecurityRules"].as_array().map(Vec::len);
        assert_eq!(defaults, Some(6), "{shown}");
    }

    /// A route through an appliance, what the platform says of it, and a NAT gateway.
    fn routing(&self) {
        let web = at(INTERNET, 80);
        self.az("network route-table create -g rg -n rt");
        self.az(&format!(
            "network route-table route create -g rg --route-table-name rt -n all --address-prefix \
             0.0.0.0/0 --next-hop-type VirtualAppliance --next-hop-ip-address {JOB}"
        ));
        self.az("network nic update -g rg -n job --ip-forwarding true");
        self.fabric.namespace("job").masquerade();
        self.subnet("apps", "--route-table rt");
        self.expect_seen("app", web, PUBLIC_DEFAULT);

        let routes = self.az("network nic show-effective-route-table -g rg -n app");
        let routes = routes["value"].as_array().expect("routes");
        let row = |source: &str, hop: &str, state: &str| {
            let is = |route: &&Value| {
                route["source"] == source && route["nextHopType"] == hop && route["state"] == state
            };
            routes.iter().filter(is).count()
        };
        // T27: one row for the service, and the beaten route of the platform is there, invalid.
        assert_eq!(row("Default", "VirtualNetworkServiceEndpoint", "Active"), 1);
        assert_eq!(row("User", "VirtualAppliance", "Active"), 1, "{routes:?}");
        assert_eq!(row("Default", "Internet", "Invalid"), 1, "{routes:?}");

        let nics = json!({ "networkProfile": { "networkInterfaces": [
            { "id": network_id("rg", "networkInterfaces/app") }
        ] } });
        self.azure.az_with(
            "resource create -g rg -n vm --resource-type Microsoft.Compute/virtualMachines -p",
            &[&nics.to_string()],
        );
        self.az("network watcher configure -g rg -l koreacentral --enabled true");
        let hop = self.az(&format!(
            "network watcher show-next-hop -g rg --vm vm --source-ip {APP} --dest-ip {INTERNET}"
        ));
        assert_eq!(hop["nextHopType"], "VirtualAppliance", "{hop}");
        assert_eq!(hop["nextHopIpAddress"], JOB.to_string(), "{hop}");
        let verdict = self.az(&format!(
            "network watcher test-ip-flow -g rg --vm vm --direction Outbound --protocol TCP \
             --local {APP}:50000 --remote {INTERNET}:80"
        ));
        assert_eq!(verdict["access"], "Allow", "{verdict}");
        // The table's 0.0.0.0/0 puts every address into the tag VirtualNetwork.
        let rule = verdict["ruleName"].as_str().unwrap_or_default();
        assert!(rule.ends_with("/AllowVnetOutBound"), "{verdict}");

        self.az("network public-ip create -g rg -n nat-ip --sku Standard");
        self.az("network nat gateway create -g rg -n nat --public-ip-addresses nat-ip");
        self.subnet("jobs", "--nat-gateway nat");
        let translated = self.public_address("nat-ip");
        self.expect_seen("job", web, translated);
        self.expect_seen("app", web, translated);
        self.subnet("apps", "--remove routeTable");
        self.az("network route-table delete -g rg -n rt");
        self.expect_seen("app", web, self.public_address("pip"));
    }

    /// Another network, joined and parted again.
    fn peering(&self) {
        let far = at(FAR, 8080);
        self.az(
            "network vnet create -g rg -n spoke --address-prefixes 10.4.0.0/16 --subnet-name s \
             --subnet-prefixes 10.4.0.0/24",
        );
        self.az("network nic create -g rg -n far --vnet-name spoke --subnet s");
        let _far = TcpServer::start(self.fabric.namespace("far"), far);
        self.expect_lost("app", far);
        let peering = "network vnet peering create -g rg --allow-vnet-access";
        self.az(&format!(
            "{peering} -n out --vnet-name hub --remote-vnet spoke"
        ));
        self.expect_lost("app", far);
        self.az(&format!(
            "{peering} -n back --vnet-name spoke --remote-vnet hub"
        ));
        self.expect_seen("app", far, APP);
        let peerings = self.az("network vnet peering list -g rg --vnet-name hub");
        assert_eq!(column(&peerings, "peeringState"), ["Connected"]);
        self.az("network vnet peering delete -g rg --vnet-name hub -n out");
        self.expect_lost("app", far);
    }
}

#[test]
fn az_drives_endpoints_rules_routes_and_addresses() {
    if !privileged() {
        return;
    }
    let tour = Tour::start();
    tour.endpoints();
    tour.security();
    tour.routing();
    tour.peering();
    assert!(tour.azure.count() >= 40, "{} commands", tour.azure.count());
}

/// T20, T21, T27: the PUT of a subnet replaces it, what is only spelled in another way is no change, and
/// every service has one row in the effective routes.
#[test]
fn t20_t21_t27_a_put_replaces_and_order_is_no_change() {
    if !privileged() {
        return;
    }
    let tour = Tour::start();
    let storage = at(STORAGE, 443);
    tour.subnet(
        "apps",
        "--service-endpoints Microsoft.Storage Microsoft.Sql",
    );
    tour.expect_seen("app", storage, APP);
    let routes = tour.az("network nic show-effective-route-table -g rg -n app");
    let hops = column(&routes["value"], "nextHopType");
    let endpoints = hops
        .iter()
        .filter(|hop| *hop == "VirtualNetworkServiceEndpoint");
    assert_eq!(endpoints.count(), 2, "{routes}");
    let id = network_id("rg", "virtualNetworks/hub/subnets/apps");
    let url = format!("{}{id}?api-version=2024-05-01", tour.azure.url());
    let put = |services: &[&str], locations: &Value| {
        let endpoint = |service: &&str| json!({ "service": service, "locations": locations });
        let endpoints: Vec<_> = services.iter().map(endpoint).collect();
        let body = json!({ "properties": {
            "addressPrefix": "10.0.1.0/24", "serviceEndpoints": endpoints
        } });
        let body = body.to_string();
        tour.azure
            .az_with("rest --method put --url", &[&url, "--body", &body])
    };
    let epoch = tour.fabric.epoch();
    let spellings: [&[&str]; 2] = [
        &["Microsoft.Sql", "Microsoft.Storage"],
        &["microsoft.storage", "microsoft.sql"],
    ];
    for services in spellings {
        for locations in [
            json!(["koreasouth", "koreacentral"]),
            json!(["*"]),
            json!([]),
        ] {
            put(services, &locations);
            assert_eq!(tour.fabric.epoch(), epoch, "{services:?} {locations}");
        }
    }
    let shown = tour.az("network vnet subnet show -g rg --vnet-name hub -n apps");
    let services = column(&shown["serviceEndpoints"], "service");
    assert_eq!(services, ["Microsoft.Sql", "Microsoft.Storage"]);
    tour.expect_seen("app", storage, APP);

    // What `create` of a subnet that is there does to people: the endpoints are gone.
    tour.az(
        "network vnet subnet create -g rg --vnet-name hub -n apps --address-prefixes 10.0.1.0/24",
    );
    assert_ne!(tour.fabric.epoch(), epoch);
    tour.expect_seen("app", storage, tour.public_address("pip"));
}

/// Makes a template that puts an endpoint and a rule of an account.
fn template() -> Value {
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": { "port": { "type": "string", "defaultValue": "80" } },
        "resources": [
            {
                "type": "Microsoft.Network/networkSecurityGroups",
                "apiVersion": "2023-09-01",
                "name": "deployed",
                "location": "[resourceGroup().location]",
                "properties": { "securityRules": [{ "name": "closed", "properties": {
                    "priority": 150, "direction": "Outbound", "access": "Deny", "protocol": "Tcp",
                    "sourceAddressPrefix": "*", "sourcePortRange": "*",
                    "destinationAddressPrefix": "Internet",
                    "destinationPortRange": "[parameters('port')]"
                } }] }
            },
            {
                "type": "Microsoft.Network/virtualNetworks/subnets",
                "apiVersion": "2023-09-01",
                "name": "hub/apps",
                "dependsOn": ["deployed"],
                "properties": {
                    "addressPrefix": "10.0.1.0/24",
                    "networkSecurityGroup": {
                        "id": "[resourceId('Microsoft.Network/networkSecurityGroups', 'deployed')]"
                    }
                }
            }
        ],
        "outputs": { "port": { "type": "string", "value": "[parameters('port')]" } }
    })
}

#[test]
fn az_deploys_tags_lists_and_deletes_and_a_crash_loses_nothing() {
    if !privileged() {
        return;
    }
    let mut tour = Tour::start();
    let web = at(INTERNET, 80);
    let file = tour
        .fabric
        .dir()
        .write("template.json", template().to_string());
    let deploy = |verb: &str| format!("deployment group {verb} -g rg -n d1");
    let given = format!("--template-file {}", file.display());
    let valid = tour.az(&format!("{} {given}", deploy("validate")));
    assert_eq!(
        valid["properties"]["provisioningState"], "Succeeded",
        "{valid}"
    );
    let epoch = tour.fabric.epoch();
    let planned = tour.az(&format!("{} {given} --no-pretty-print", deploy("what-if")));
    assert_eq!(
        postern_tests::planned(&planned["changes"]),
        ["Create", "Modify"]
    );
    assert_eq!(tour.fabric.epoch(), epoch, "what-if changes nothing");
    tour.expect_seen("app", web, tour.public_address("pip"));
    let done = tour.az(&format!("{} {given}", deploy("create")));
    assert_eq!(
        done["properties"]["outputs"]["port"]["value"], "80",
        "{done}"
    );
    tour.expect_lost("app", web);
    let epoch = tour.fabric.epoch();
    tour.az(&format!("{} {given}", deploy("create")));
    assert_eq!(tour.fabric.epoch(), epoch, "the same again changes nothing");
    tour.az(&format!(
        "{} {given} --parameters port=81",
        deploy("create")
    ));
    tour.expect_seen("app", web, tour.public_address("pip"));
    tour.az(&format!("{} {given}", deploy("create")));
    let shown = tour.az(&deploy("show"));
    assert_eq!(
        shown["properties"]["provisioningState"], "Succeeded",
        "{shown}"
    );
    assert_eq!(
        column(&tour.az("deployment group list -g rg"), "name"),
        ["d1"]
    );
    tour.az("deployment operation group list -g rg -n d1");

    let tags = tour.az("network list-service-tags -l koreacentral");
    assert!(column(&tags["values"], "name").contains(&"Storage.KoreaCentral".to_owned()));
    tour.az("network list-usages -l koreacentral");
    tour.az("network vnet update -g rg -n hub --set tags.team=net");
    let hub = network_id("rg", "virtualNetworks/hub");
    tour.az(&format!(
        "tag update --resource-id {hub} --operation Merge --tags cost=1"
    ));
    let shown = tour.az("network vnet show -g rg -n hub");
    assert_eq!(
        shown["tags"],
        json!({ "team": "net", "cost": "1" }),
        "{shown}"
    );

    // A crash: everything is there, and is obeyed as before.
    let before = tour.az("resource list -g rg");
    assert_eq!(before.as_array().map(Vec::len), Some(6), "{before}");
    let subnet = || tour.az("network vnet subnet show -g rg --vnet-name hub -n apps");
    let subnet_before = subnet();
    tour.fabric.stop(Signal::KILL);
    tour.fabric.run();
    assert_eq!(tour.az("resource list -g rg"), before);
    let subnet_after = tour.az("network vnet subnet show -g rg --vnet-name hub -n apps");
    assert_eq!(subnet_after, subnet_before);
    // The servers hold their addresses over the time without.
    tour.expect_lost("app", web);
    tour.expect_seen("job", web, PUBLIC_DEFAULT);
    tour.subnet("apps", "--remove networkSecurityGroup");
    tour.expect_seen("app", web, tour.public_address("pip"));

    tour.az("network nsg delete -g rg -n deployed");
    tour.az("network nic delete -g rg -n job");
    assert!(!tour.fabric.has_device("job"), "the NIC's device is gone");
    tour.az("group show -n rg");
    tour.az("group delete -n rg --yes");
    assert_eq!(tour.az("group exists -n rg"), json!(false));
    assert_eq!(tour.az("network vnet list"), json!([]));
    assert!(!tour.fabric.has_device("app"), "the NIC's device is gone");
}
