//! Resources: where they are filed, and every dialect of network rules.

use super::*;
use crate::model::{ResourceRules, RuleCallers};
use postern_dataplane::policy::{Access, Refusal};

/// The good configuration with `text` behind the service `name`.
fn with(name: &str, text: &str) -> String {
    let head = format!("name = \"{name}\"\n");
    GOOD.replacen(&head, &format!("{head}{text}\n"), 1)
}

/// The good configuration with another service in the place of the storage account.
fn of(service: &str, address: &str, text: &str) -> String {
    let own = "service = \"Microsoft.Storage\"\naddress = \"20.60.16.5\"\n";
    let other = format!("service = \"{service}\"\naddress = \"{address}\"\n{text}\n");
    GOOD.replacen(own, &other, 1)
}

fn rules(text: &str) -> ResourceRules {
    let model = read(text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    model.services[0].resource.rules.clone()
}

fn refused(text: &str, wanted: &str) {
    let error = read(text).expect_err(wanted).to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 1, "{error}");
    assert!(lines[0].contains(wanted), "{wanted}\n{error}");
    assert!(lines[0].contains("; accepted: "), "{error}");
}

#[test]
fn a_resource_has_its_arm_shape() {
    let model = read(&with("fabrikam", "type = \"microsoft.dbforpostgresql/servers\"\nsubscription = \"S2\"\nrefusal = \"silent\"\nhost = \"DB.example\"\npublicNetworkAccess = \"Disabled\"")).unwrap();
    let account = &model.services[0];
    assert_eq!(
        account.id(),
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/postern/providers/\
         Microsoft.Storage/storageAccounts/contoso"
    );
    assert_eq!(account.resource.host, "contoso.blob.core.windows.net");
    assert!(account.resource.public_network_access);
    assert_eq!(account.resource.rules, ResourceRules::default());
    let server = &model.services[1];
    assert_eq!(
        server.id(),
        "/subscriptions/S2/resourceGroups/postern/providers/Microsoft.DBforPostgreSQL/servers/fabrikam"
    );
    let resource = &server.resource;
    assert_eq!(
        (
            resource.host.as_str(),
            resource.refusal,
            resource.public_network_access
        ),
        ("db.example", Refusal::Silent, false)
    );
    refused(
        &with("contoso", "type = \"Microsoft.Sql/servers\""),
        "service[0].type",
    );
    refused(&with("contoso", "host = \"a..b\""), "service[0].host");
    refused(&with("contoso", "tenant = \"a/b\""), "service[0].tenant");
    refused(
        &with("contoso", "firewallRules = []"),
        "Microsoft.Storage has other network rules; accepted: networkAcls",
    );
}

#[test]
fn storage_rules_are_read_and_held_against_the_documented_limits() {
    let acls = |text: &str| with("contoso", &format!("networkAcls = {{ {text} }}"));
    let read = rules(&acls(
        "defaultAction = \"deny\", bypass = \"Logging,azureservices\", \
         virtualNetworkRules = [{ id = \"vnet1/subnet1\" }, { id = \"/subscriptions/S/resourceGroups/\
         G/providers/microsoft.network/virtualNetworks/V/subnets/s\", action = \"Allow\" }], \
         ipRules = [{ value = \"16.17.18.0/24\" }, { value = \"20.0.0.9\", action = \"Allow\" }]",
    ));
    assert_eq!(
        (read.otherwise, read.default_action),
        (Access::Deny, Some(Access::Deny))
    );
    assert_eq!(read.bypass.as_deref(), Some("Logging, AzureServices"));
    let who: Vec<_> = read.rules.iter().map(|rule| rule.who.to_string()).collect();
    assert_eq!(
        who,
        [
            "VNet1/subnet1",
            "V/s",
            "16.17.18.0-16.17.18.255",
            "20.0.0.9"
        ]
    );
    for (value, wanted) in [
        ("10.0.0.0/24", "it lies in 10.0.0.0/8"),
        ("192.168.1.7", "it lies in 192.168.0.0/16"),
        (
            "20.0.0.8/31",
            "/31 and /32 are not accepted as prefixes; accepted: the bare address",
        ),
        (
            "20.0.0.9/32",
            "accepted: the bare address, such as 20.0.0.9",
        ),
        (
            "20.0.0.9/24",
            "bits are set behind the prefix length; accepted: 20.0.0.0/24",
        ),
        ("2001:db8::1", "not a value of this key"),
        ("storage", "not a value of this key"),
    ] {
        refused(
            &acls(&format!("ipRules = [{{ value = \"{value}\" }}]")),
            wanted,
        );
    }
    rules(&acls("ipRules = [{ value = \"0.0.0.0/0\" }]"));
    let many = |count: u32| {
        let rules =
            (0..count).map(|at| format!("{{ value = \"20.1.{}.{}\" }}", at / 250, at % 250));
        acls(&format!(
            "ipRules = [{}]",
            rules.collect::<Vec<_>>().join(", ")
        ))
    };
    assert_eq!(rules(&many(400)).rules.len(), 400);
    refused(&many(401), "401 are too many; accepted: at most 400");
    refused(&acls("bypass = \"Backup\""), "networkAcls.bypass");
    refused(
        &acls("virtualNetworkRules = [{ id = \"subnet1\" }]"),
        "virtualNetworkRules[0].id",
    );
    refused(
        &acls("virtualNetworkRules = [{ id = \"a/b\", action = \"Deny\" }]"),
        "action",
    );
    let ignoring =
        "virtualNetworkRules = [{ id = \"a/b\", ignoreMissingVnetServiceEndpoint = true }]";
    refused(&acls(ignoring), "unknown key; accepted: id, action");
}

#[test]
fn servers_have_named_rules_and_deny_the_rest() {
    let read = rules(&of(
        "Microsoft.Sql",
        "52.231.17.5",
        "virtualNetworkRules = [{ name = \"v\", virtualNetworkSubnetId = \"VNet1/subnet1\", ignoreMissingVnetServiceEndpoint = true }]\n\
         firewallRules = [{ name = \"all\", startIpAddress = \"0.0.0.0\", endIpAddress = \"0.0.0.0\" }, { name = \"r\", startIpAddress = \"20.0.0.4\", endIpAddress = \"20.0.0.9\" }]",
    ));
    assert_eq!(read.otherwise, Access::Deny);
    let who: Vec<_> = read
        .rules
        .iter()
        .map(|rule| {
            (
                rule.name.as_str(),
                rule.who.to_string(),
                rule.ignore_missing_endpoint,
            )
        })
        .collect();
    assert_eq!(
        who,
        [
            ("virtualNetworkRules/v", "VNet1/subnet1".to_owned(), true),
            ("firewallRules/all", "any Azure source".to_owned(), false),
            ("firewallRules/r", "20.0.0.4-20.0.0.9".to_owned(), false),
        ]
    );
    let sql = |text: &str| of("Microsoft.Sql", "52.231.17.5", text);
    assert_eq!(
        rules(&sql("")).otherwise,
        Access::Allow,
        "nothing is said of it"
    );
    assert_eq!(rules(&sql("firewallRules = []")).otherwise, Access::Deny);
    let range = |first: &str, last: &str| {
        sql(&format!(
            "firewallRules = [{{ name = \"r\", startIpAddress = \"{first}\", endIpAddress = \"{last}\" }}]"
        ))
    };
    refused(
        &range("20.0.0.9", "20.0.0.4"),
        "accepted: from 20.0.0.4 to 20.0.0.9",
    );
    refused(&range("10.0.0.1", "10.0.0.9"), "it lies in 10.0.0.0/8");
}

#[test]
fn namespaces_do_not_deny_while_both_lists_are_empty() {
    let hub = |text: &str| {
        rules(&of(
            "Microsoft.EventHub",
            "20.44.31.128",
            &format!("networkRuleSets = {{ {text} }}"),
        ))
    };
    let read = hub("defaultAction = \"Deny\"");
    assert_eq!(
        (read.otherwise, read.default_action),
        (Access::Allow, Some(Access::Deny))
    );
    let read = hub("defaultAction = \"Deny\", ipRules = [{ ipMask = \"20.0.0.9\" }]");
    assert_eq!(read.otherwise, Access::Deny);
    let read = hub(
        "defaultAction = \"Deny\", virtualNetworkRules = [{ subnet = { id = \"VNet1/subnet1\" }, ignoreMissingVnetServiceEndpoint = true }]",
    );
    assert_eq!(read.otherwise, Access::Deny);
    assert!(read.rules[0].ignore_missing_endpoint);
}

#[test]
fn restrictions_are_ordered_and_deny_the_rest() {
    let web = |text: &str| {
        of(
            "Microsoft.Web",
            "20.200.196.128",
            &format!("ipSecurityRestrictions = [{text}]"),
        )
    };
    let read = rules(&web(
        "{ name = \"last\", priority = 300, ipAddress = \"Any\", action = \"Deny\" }, \
         { name = \"first\", priority = 100, vnetSubnetResourceId = \"VNet1/subnet2\" }, \
         { name = \"tag\", priority = 200, ipAddress = \"azurekeyvault\", tag = \"ServiceTag\" }",
    ));
    let order: Vec<_> = read
        .rules
        .iter()
        .map(|rule| (rule.who.to_string(), rule.access))
        .collect();
    assert_eq!(
        order,
        [
            ("VNet1/subnet2".to_owned(), Access::Allow),
            ("AzureKeyVault".to_owned(), Access::Allow),
            ("Any".to_owned(), Access::Deny),
        ]
    );
    assert_eq!(read.otherwise, Access::Deny);
    assert_eq!(
        rules(&web("")).otherwise,
        Access::Allow,
        "without a rule everyone is let in"
    );
    refused(
        &web("{ name = \"a\", ipAddress = \"Nowhere\", tag = \"ServiceTag\" }"),
        "a service tag",
    );
    refused(&web("{ name = \"a\", priority = 1 }"), "ipAddress: missing");
}

#[test]
fn the_filter_of_an_account_decides_whether_subnets_count() {
    let cosmos = |text: &str| of("Microsoft.AzureCosmosDB", "20.44.26.5", text);
    let lists = "virtualNetworkRules = [{ id = \"VNet1/subnet1\", ignoreMissingVNetServiceEndpoint = true }]";
    assert_eq!(rules(&cosmos(lists)), ResourceRules::default());
    let read = rules(&cosmos(&format!(
        "isVirtualNetworkFilterEnabled = true\n{lists}"
    )));
    assert_eq!((read.otherwise, read.rules.len()), (Access::Deny, 1));
    let read = rules(&cosmos(&format!(
        "{lists}\nipRules = [{{ ipAddressOrRange = \"20.0.0.0/24\" }}]"
    )));
    assert_eq!(read.otherwise, Access::Deny);
    assert!(matches!(read.rules[..], [ref rule] if matches!(rule.who, RuleCallers::Addresses(_))));
}

#[test]
fn endpoint_policies_are_read_and_checked() {
    let policy = |text: &str| {
        let table =
            format!("[[serviceEndpointPolicy]]\nname = \"sep1\"\n{text}\n[[virtualNetwork]]");
        GOOD.replacen("[[virtualNetwork]]", &table, 1).replacen(
            "networkSecurityGroup = \"nsg1\"",
            "networkSecurityGroup = \"nsg1\"\nserviceEndpointPolicies = [\"SEP1\"]",
            1,
        )
    };
    let definition = |service: &str, resources: &str| {
        policy(&format!(
            "[[serviceEndpointPolicy.definition]]\nname = \"d1\"\nservice = \"{service}\"\nserviceResources = [{resources}]"
        ))
    };
    let model = read(&definition("microsoft.storage", "\"subscriptions/S\", \"/SUBSCRIPTIONS/S/resourcegroups/G\", \"/subscriptions/S/resourceGroups/G/providers/Microsoft.Storage/storageAccounts/acct\"")).unwrap();
    assert_eq!(model.policies[0].definitions[0].resources.len(), 3);
    let subnet = &model.vnets[0].subnets[0];
    assert_eq!(subnet.endpoint_policies, ["sep1"]);
    let locations = subnet.locations(subnet.service_endpoints[0], &model.vnets[0].location);
    assert_eq!(
        locations.values(),
        ["*"],
        "a policy makes the endpoint reach every region"
    );
    assert!(
        read(&policy("")).unwrap().policies[0]
            .definitions
            .is_empty()
    );
    read(&definition("Global", "\"/services/Azure/databricks\"")).unwrap();
    for resource in [
        "/subscriptions/S/resourceGroups",
        "/subscriptions//resourceGroups/G",
        "/subscriptions/S/resourceGroups/G/providers/Microsoft.Sql/servers/s",
        "/services/Azure",
    ] {
        refused(
            &definition("Microsoft.Storage", &format!("\"{resource}\"")),
            "definition[0].serviceResources[0]",
        );
    }
    refused(
        &definition("Global", "\"/services/Azure/Nothing\""),
        "serviceResources[0]",
    );
    refused(&definition("Microsoft.Sql", ""), "definition[0].service");
    refused(
        &policy("location = \"eastus\""),
        "the policy is in eastus; accepted: a policy in koreacentral",
    );
    refused(
        &policy("").replace("\"Microsoft.Storage\"]", "\"Microsoft.KeyVault\"]"),
        "the subnet has no endpoint Microsoft.Storage",
    );
    refused(
        &policy("").replace("\"SEP1\"", "\"sep2\""),
        "there is no such serviceEndpointPolicy; accepted: sep1",
    );
    let many: Vec<_> = (0..201)
        .map(|at| format!("\"/subscriptions/{at}\""))
        .collect();
    refused(
        &definition("Microsoft.Storage", &many.join(", ")),
        "201 are too many; accepted: at most 200",
    );
}

#[test]
fn two_services_are_never_called_alike() {
    let second = |keys: &str| {
        format!(
            "{GOOD}\n[[service]]\nname = \"second\"\nservice = \"Microsoft.Storage\"\n\
             address = \"20.60.16.6\"\nnamespace = \"svc\"\n{keys}\n"
        )
    };
    for host in [
        "contoso.blob.core.windows.net",
        "CONTOSO.Blob.core.windows.NET",
    ] {
        let error = read(&second(&format!("host = \"{host}\""))).unwrap_err();
        let wanted = "service[2].host = \"contoso.blob.core.windows.net\": service contoso has the \
                      same host name; accepted: ";
        assert!(error.to_string().contains(wanted), "{error}");
    }
    let dotted = second("host = \"contoso.blob.core.windows.net.\"");
    let error = read(&dotted).unwrap_err().to_string();
    assert!(error.contains("service[2].host"), "{error}");
    // One that only follows from being of storage is the file's to give away.
    assert!(read(&second("host = \"contoso.dfs.core.windows.net\"")).is_ok());
    assert!(read(&second("host = \"www.example.com\"")).is_ok());
}
