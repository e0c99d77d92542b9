//! Templates that people have, unmodified, deployed by `az` and by `postern deploy`: what packets do
//! afterwards. The cases named `tNN_` are the lines of the conformance checklist.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Azure, Certificate, Connection, Fabric, INTERNET, PUBLIC_DEFAULT, Server, TcpServer, at,
    azure_head, azurite, bind, privileged, python_client, run,
};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const NIC: &str = "Microsoft.Network/networkInterfaces";
/// Where every subnet finds the resolver.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
/// How long a connection that must be lost is tried.
const SOON: Duration = Duration::from_secs(1);

const ACCOUNTS: &str = "201-vnet-2subnets-service-endpoints-storage-integration";

/// The values of the quickstart's parameters that have no default.
const ADMIN: &[&str] = &["adminUsername=someone", "adminPassword=Secret-2026"];

/// A fabric whose resources come from a template.
struct Quickstart {
    fabric: Fabric,
    azure: Azure,
}

impl Quickstart {
    /// Starts a fabric whose file says only where NICs are (one namespace for each, by its name) and
    /// `tables`, and makes the resource group.
    fn start(nics: &[&str], tables: &str) -> Self {
        let mut file = format!(
            "{}[publicIPPool]\nprefixes = [\"20.0.0.0/27\"]\n\
             [internet]\naddresses = [\"{INTERNET}/24\"]\nnamespace = \"inet\"\n\
             [defaultOutbound]\npublicIPAddress = \"{PUBLIC_DEFAULT}\"\n",
            azure_head()
        );
        for nic in nics {
            file += &bind(NIC, nic, nic);
        }
        let fabric = Fabric::start(&(file + tables));
        let azure = Azure::setup(&fabric);
        azure.az("group create -n rg -l koreacentral");
        Self { fabric, azure }
    }

    fn deploy_by_az(&self, template: &str, parameters: &[&str]) {
        let file = template_file(template);
        let line = format!(
            "deployment group create -g rg -n quickstart --template-file {} --parameters",
            file.display()
        );
        let done = self.azure.az_with(&line, parameters);
        let state = &done["properties"]["provisioningState"];
        assert_eq!(state, "Succeeded", "{done}");
    }

    fn deploy_by_verb(&self, template: &str, parameters: &[&str]) {
        let file = template_file(template);
        let file = file.to_string_lossy();
        let mut arguments = vec!["deploy", &file, "--resource-group", "rg"];
        for parameter in parameters {
            arguments.extend(["--parameters", parameter]);
        }
        self.fabric.postern(&arguments).expect_success();
    }

    /// As whom `from` is seen by a server at port 80 on the Internet.
    #[track_caller]
    fn seen_outside(&self, from: &str) -> Ipv4Addr {
        let web = at(INTERNET, 80);
        let _server = TcpServer::start(self.fabric.namespace("inet"), web);
        let connection = Connection::open(self.fabric.namespace(from), web);
        *connection.expect("a connection").source.ip()
    }
}

/// Returns the file of a template, as it was found.
fn template_file(template: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data/arm")
        .join(template);
    let names = ["azuredeploy.json", "main.json"];
    let mut file = names.map(|name| dir.join(name)).into_iter();
    file.find(|file| file.exists())
        .unwrap_or_else(|| panic!("no template {template}"))
}

/// What stands behind every storage account: Azurite, which knows nothing of rules, behind a front.
const FRONT: &str =
    "[bind.front]\nports = [443]\nconnect = \"127.0.0.1:10000\"\nnamespace = \"store\"\n";

/// Starts Azurite for one account, with a certificate of the fabric's own authority.
fn store(fabric: &Fabric, account: &str) -> (Server, PathBuf) {
    let at = |name: &str| fabric.dir().path().join(name);
    let certificate = Certificate {
        chain: at("store.pem"),
        key: at("store.key"),
    };
    let (chain, key) = (&certificate.chain, &certificate.key);
    let files = [chain, key].map(|file| file.to_string_lossy());
    let host = "*.blob.core.windows.net";
    fabric
        .postern(&["ca", "issue", host, "--cert", &files[0], "--key", &files[1]])
        .expect_success();
    let ca = fabric.postern(&["ca"]).expect_success();
    let store = fabric.namespace("store");
    let server = azurite(store, fabric.dir(), &[account], &certificate);
    (server, ca.stdout.trim().into())
}

/// T26: VM0 reaches the account from its private address, VM1 hears 403.
fn expect_t26(quickstart: &Quickstart) {
    let Quickstart { fabric, azure } = quickstart;
    let accounts = azure.az("storage account list -g rg");
    let account = accounts[0]["name"].as_str().expect("one account");
    let (_server, ca) = store(fabric, account);
    let host = format!("{account}.blob.core.windows.net");
    let use_blobs = |from: &str| -> Value {
        fabric.namespace(from).resolve_by(RESOLVER);
        let mut client = python_client(fabric.namespace(from), "blob.py");
        let output = run(client.args([&host]).arg(&ca).arg("1")).expect_success();
        serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output}"))
    };
    let said = use_blobs("nic0");
    assert_eq!(said["bytes"], json!(1 << 20), "{said}");
    assert_eq!(said["sent"], said["received"], "{said}");
    let said = use_blobs("nic1");
    let refusal = (&said["status"], &said["code"]);
    assert_eq!(
        refusal,
        (&json!(403), &json!("AuthorizationFailure")),
        "{said}"
    );
    let log = fabric.json(&["service", "log", account]);
    let calls = log.as_array().expect("a log");
    let let_in = calls
        .iter()
        .find(|call| call["verdict"] == "Allow")
        .expect("a call");
    assert_eq!(let_in["caller"], "VNet1/subnet1 10.0.1.4", "{log}");
    // The resources without an effect here are there too.
    let all = azure.az("resource list -g rg");
    let kinds: Vec<_> = all
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["type"])
        .collect();
    assert!(
        kinds.contains(&&json!("Microsoft.Compute/availabilitySets")),
        "{all}"
    );
}

#[test]
fn t26_the_named_quickstart_by_az() {
    if !privileged() {
        return;
    }
    let account = bind("Microsoft.Storage/storageAccounts", "*", "svc");
    let quickstart = Quickstart::start(&["nic0", "nic1"], &(account + FRONT));
    quickstart.deploy_by_az(ACCOUNTS, ADMIN);
    expect_t26(&quickstart);
    // Once more, it changes nothing.
    let epoch = quickstart.fabric.epoch();
    quickstart.deploy_by_az(ACCOUNTS, ADMIN);
    assert_eq!(quickstart.fabric.epoch(), epoch);
}

#[test]
fn t26_the_named_quickstart_by_postern_deploy() {
    if !privileged() {
        return;
    }
    let account = bind("Microsoft.Storage/storageAccounts", "*", "svc");
    let quickstart = Quickstart::start(&["nic0", "nic1"], &(account + FRONT));
    quickstart.deploy_by_verb(ACCOUNTS, ADMIN);
    expect_t26(&quickstart);
    let epoch = quickstart.fabric.epoch();
    quickstart.deploy_by_verb(ACCOUNTS, ADMIN);
    assert_eq!(quickstart.fabric.epoch(), epoch);
}

#[test]
fn a_nat_gateway_of_a_template_is_seen_outside() {
    if !privileged() {
        return;
    }
    let quickstart = Quickstart::start(&["myvmNIC"], "");
    let template = "101-nat-gateway-1-vm";
    let parameters = template_file(template).with_file_name("azuredeploy.parameters.json");
    quickstart.deploy_by_az(template, &[&format!("@{}", parameters.display())]);
    let azure = &quickstart.azure;
    let address = azure.az("network public-ip show -g rg -n myPublicIP");
    let prefix = azure.az("network public-ip prefix show -g rg -n myPublicIPPrefix");
    let own = azure.az("network public-ip show -g rg -n myPublicIPVM");
    let prefix = prefix["ipPrefix"].as_str().expect("a prefix");
    let (base, length) = prefix.split_once('/').expect("a prefix");
    assert_eq!(length, "31");
    let base: u32 = base.parse::<Ipv4Addr>().expect("an address").into();
    let seen = quickstart.seen_outside("myvmNIC");
    let is_of_prefix = u32::from(seen) & !1 == base;
    assert!(
        is_of_prefix || address["ipAddress"] == seen.to_string(),
        "{seen}: neither of {prefix} nor {address}"
    );
    assert_ne!(own["ipAddress"], seen.to_string());
}

#[test]
fn an_appliance_of_a_template_sees_the_packets() {
    if !privileged() {
        return;
    }
    let quickstart = Quickstart::start(&["Nic0", "Nic1", "Nic2"], "");
    let template = "201-userdefined-routes-appliance";
    let parameters = template_file(template).with_file_name("azuredeploy.parameters.json");
    quickstart.deploy_by_az(template, &[&format!("@{}", parameters.display())]);
    let fabric = &quickstart.fabric;
    let back_end = at(Ipv4Addr::new(10, 1, 2, 4), 8080);
    let _server = TcpServer::start(fabric.namespace("Nic2"), back_end);
    let connect = |from: &str| Connection::open_within(fabric.namespace(from), back_end, SOON);
    // An appliance that does not forward: the packets went there and no further.
    let lost = connect("Nic0").map(|connection| connection.source);
    assert_eq!(lost.map_err(|error| error.kind()), Err(ErrorKind::TimedOut));
    let appliance = fabric.namespace("Nic1");
    let forwarded = || appliance.snmp("Ip", "ForwDatagrams");
    appliance.forward();
    let before = forwarded();
    let mut through = connect("Nic0").expect("a way through the appliance");
    assert_eq!(*through.source.ip(), Ipv4Addr::new(10, 1, 0, 4));
    through.expect_alive();
    assert!(forwarded() > before, "the appliance passed them on");
    // The subnet of the appliance has no such route.
    let before = forwarded();
    connect("Nic1").expect("a way of its own").expect_alive();
    assert_eq!(forwarded(), before);
}

#[test]
fn a_service_bus_of_a_compiled_template_lets_in_its_subnet_alone() {
    if !privileged() {
        return;
    }
    // An address of ServiceBus.KoreaCentral.
    let address = Ipv4Addr::new(20, 200, 192, 130);
    let namespace = bind("Microsoft.ServiceBus/namespaces", "*", "svc");
    let bus = format!("{namespace}address = \"{address}\"\ndelivery = \"native\"\n");
    let quickstart = Quickstart::start(&["near", "far"], &bus);
    let parameters = [
        "serviceBusNamespaceName=letters",
        "virtualNetworkName=vn",
        "subnetName=sn",
    ];
    quickstart.deploy_by_az("bicep-servicebus-namespace-vnet", &parameters);
    // The template brings no NIC: one in its subnet, one in another network with the endpoint.
    let azure = &quickstart.azure;
    azure.az("network nic create -g rg -n near --vnet-name vn --subnet sn");
    azure.az("network vnet create -g rg -n other --address-prefixes 10.8.0.0/16");
    azure.az(
        "network vnet subnet create -g rg --vnet-name other -n sn --address-prefixes 10.8.0.0/24 \
         --service-endpoints Microsoft.ServiceBus",
    );
    azure.az("network nic create -g rg -n far --vnet-name other --subnet sn");
    let fabric = &quickstart.fabric;
    let _server = TcpServer::start(fabric.namespace("svc"), at(address, 5671));
    let connect = |from: &str| {
        let connection = Connection::open_within(fabric.namespace(from), at(address, 5671), SOON);
        connection
            .map(|connection| *connection.source.ip())
            .map_err(|error| error.kind())
    };
    assert_eq!(connect("near"), Ok(Ipv4Addr::new(10, 0, 0, 4)));
    assert_eq!(connect("far"), Err(ErrorKind::ConnectionRefused));
    assert_eq!(connect("inet"), Err(ErrorKind::ConnectionRefused));
}
