//! Resources of services, with their network rules in the configuration's dialects.

use super::{Lowerer, copy, declared, place, put_list, put_text};
use crate::spelling::dialect::{Dialect, OPEN, ServiceType};
use crate::spelling::json::{self, Object};
use postern_arm::document::{Document, Origin};
use toml::{Table, Value};

const VNET_RULES: &str = "virtualNetworkRules";
/// The state of a rule whose subnet went.
const GONE: &str = "NetworkSourceDeleted";
const IGNORE: &str = "ignoreMissingVnetServiceEndpoint";

impl Lowerer<'_> {
    pub(super) fn service(&self, kind: ServiceType, id: &str, document: &Document) -> Value {
        let properties = json::properties(&document.body);
        let mut section = declared(document);
        put_text(&mut section, "service", kind.service);
        put_text(&mut section, "type", kind.arm);
        place(document, &mut section);
        let access = json::text(properties, "publicNetworkAccess");
        if let Some(access) = access.filter(|access| !access.eq_ignore_ascii_case("NotSpecified")) {
            // From memory: a perimeter that a resource is secured by closes it as far as no perimeter is
            // known, which is so here.
            let is_perimeter = access.eq_ignore_ascii_case("SecuredByPerimeter");
            let access = if is_perimeter { "Disabled" } else { access };
            put_text(&mut section, "publicNetworkAccess", access);
        }
        let mut bound = self.bindings(id, document);
        let is_open = bound.remove(OPEN).is_some();
        match kind.dialect {
            Dialect::Acls(key) => self.acls(document, key, &mut section),
            Dialect::Server => self.server(kind, properties, is_open, &mut section),
            Dialect::Account => self.account(properties, &mut section),
            Dialect::RuleSet => self.rule_set(properties, &mut section),
            Dialect::Site => self.site(properties, &mut section),
        }
        section.extend(json::table_from(&bound));
        Value::Table(section)
    }

    fn acls(&self, document: &Document, key: &str, into: &mut Table) {
        let Some(acls) = json::object(json::properties(&document.body), key) else {
            return;
        };
        let mut section = Table::new();
        copy(acls, &["defaultAction", "bypass"], &mut section);
        // A rule of a request whose subnet went is forgotten, so that it is granted anew when it is written
        // for the next one of the name. The file cannot tell the two apart: its rule stays with the old.
        let is_file = document.origin == Origin::File;
        let counts = |rule: &&Object| is_file || json::text(rule, "state") != Some(GONE);
        let rules = json::objects(acls, VNET_RULES).filter(counts).map(|rule| {
            let keys = &["action", IGNORE];
            self.subnet_rule(rule, &["id", "virtualNetworkResourceId"], "id", keys)
        });
        put_list(&mut section, VNET_RULES, rules.collect());
        let rules = json::objects(acls, "ipRules").map(|rule| part(rule, &["value", "action"]));
        put_list(&mut section, "ipRules", rules.collect());
        into.insert(key.to_owned(), Value::Table(section));
    }

    /// Says the rules of a server. ARM lets nobody in where there is no rule; the configuration
    /// wants an empty list for that.
    fn server(&self, kind: ServiceType, properties: &Object, is_open: bool, into: &mut Table) {
        let key = "virtualNetworkSubnetId";
        let rules = json::objects(properties, VNET_RULES).map(|rule| {
            let mut section = self.subnet_rule(json::properties(rule), &[key], key, &[IGNORE]);
            if let (Some(name), Value::Table(section)) = (json::text(rule, "name"), &mut section) {
                put_text(section, "name", name);
            }
            section
        });
        put_list(into, VNET_RULES, rules.collect());
        let firewall = "firewallRules";
        let rules = json::objects(properties, firewall).map(|rule| {
            let mut section = Table::new();
            copy(rule, &["name"], &mut section);
            let keys = &["startIpAddress", "endIpAddress"];
            copy(json::properties(rule), keys, &mut section);
            Value::Table(section)
        });
        put_list(into, firewall, rules.collect());
        let has_list = |key| json::list(properties, key).is_some();
        let is_server = kind.service == "Microsoft.Sql";
        let is_closed = has_list(VNET_RULES) || has_list(firewall) || (is_server && !is_open);
        if is_closed && !into.contains_key(VNET_RULES) && !into.contains_key(firewall) {
            into.insert(firewall.to_owned(), Value::Array(Vec::new()));
        }
    }

    fn account(&self, properties: &Object, into: &mut Table) {
        copy(properties, &["isVirtualNetworkFilterEnabled"], into);
        let ignore = "ignoreMissingVNetServiceEndpoint";
        let rules = json::objects(properties, VNET_RULES)
            .map(|rule| self.subnet_rule(rule, &["id"], "id", &[ignore]));
        put_list(into, VNET_RULES, rules.collect());
        let rules = json::objects(properties, "ipRules");
        let rules = rules.map(|rule| part(rule, &["ipAddressOrRange"]));
        put_list(into, "ipRules", rules.collect());
    }

    /// Says the rule set of a namespace. Before there were rule sets, each rule was a child: where there
    /// are such, whoever none of them names is denied. From memory: such a rule for addresses could
    /// reject them too, which no rule set can; it is left out, so that they are denied with the rest.
    fn rule_set(&self, properties: &Object, into: &mut Table) {
        let sets: Vec<&Object> = json::objects(properties, "networkRuleSets").collect();
        let is_default = |set: &&&Object| {
            let name = json::text(set, "name");
            name.is_none_or(|name| name.eq_ignore_ascii_case("default"))
        };
        let set = sets
            .iter()
            .find(is_default)
            .map(|set| json::properties(set));
        let mut section = Table::new();
        let mut rules = Vec::new();
        if let Some(set) = set {
            let keys = &["defaultAction", "trustedServiceAccessEnabled"];
            copy(set, keys, &mut section);
            for rule in json::objects(set, VNET_RULES) {
                let subnet = json::object(rule, "subnet").unwrap_or(rule);
                let subnet = self.subnet_rule(subnet, &["id"], "id", &[]);
                let mut section = Table::new();
                section.insert("subnet".to_owned(), subnet);
                copy(rule, &[IGNORE], &mut section);
                rules.push(Value::Table(section));
            }
            let ip_rules = json::objects(set, "ipRules");
            let ip_rules = ip_rules.map(|rule| part(rule, &["ipMask", "action"]));
            put_list(&mut section, "ipRules", ip_rules.collect());
        }
        let old_ip: Vec<_> = json::objects(properties, "ipFilterRules")
            .map(json::properties)
            .filter(|rule| json::text(rule, "action") != Some("Reject"))
            .map(|rule| part(rule, &["ipMask"]))
            .collect();
        let old: Vec<_> = json::objects(properties, VNET_RULES)
            .map(json::properties)
            .map(|rule| self.subnet_rule(rule, &["virtualNetworkSubnetId"], "id", &[]))
            .map(|subnet| Value::Table(Table::from_iter([("subnet".to_owned(), subnet)])))
            .collect();
        let is_old = !old.is_empty() || !old_ip.is_empty();
        if is_old && !section.contains_key("defaultAction") {
            put_text(&mut section, "defaultAction", "Deny");
        }
        rules.extend(old);
        if !old_ip.is_empty() {
            let list = section.entry("ipRules").or_insert(Value::Array(Vec::new()));
            list.as_array_mut()
                .into_iter()
                .for_each(|list| list.extend(old_ip.clone()));
        }
        if set.is_some() || is_old {
            put_list(&mut section, VNET_RULES, rules);
            into.insert("networkRuleSets".to_owned(), Value::Table(section));
        }
    }

    /// Says the restrictions of a site, which are in its configuration; that can be a child too.
    fn site(&self, properties: &Object, into: &mut Table) {
        let key = "ipSecurityRestrictions";
        let is_web = |child: &&Object| {
            json::text(child, "name").is_some_and(|name| name.eq_ignore_ascii_case("web"))
        };
        let child = json::objects(properties, "config").find(is_web);
        let child = child
            .map(json::properties)
            .filter(|it| json::list(it, key).is_some());
        let Some(config) = child.or_else(|| json::object(properties, "siteConfig")) else {
            return;
        };
        let subnet = "vnetSubnetResourceId";
        let rules = json::objects(config, key).enumerate().map(|(at, rule)| {
            let keys = &["name", "priority", "action", "ipAddress", "tag"];
            let Value::Table(mut section) = self.subnet_rule(rule, &[subnet], subnet, keys) else {
                return Value::Table(Table::new());
            };
            if !section.contains_key("name") {
                put_text(
                    &mut section,
                    "name",
                    format!("rule{}", at.saturating_add(1)),
                );
            }
            // A rule for a subnet has no address, and no tag but the usual one.
            if section.contains_key(subnet) {
                section.remove("tag");
            }
            Value::Table(section)
        });
        put_list(into, key, rules.collect());
    }

    /// Returns the table of a rule, with the subnet that one of `from` holds the ID of as `key`, and
    /// with `others` as they are.
    fn subnet_rule(&self, rule: &Object, from: &[&str], key: &str, others: &[&str]) -> Value {
        let mut section = Table::new();
        if let Some(id) = from.iter().find_map(|key| json::text(rule, key)) {
            put_text(&mut section, key, self.subnet_of_rule(id));
        }
        copy(rule, others, &mut section);
        Value::Table(section)
    }
}

fn part(of: &Object, keys: &[&str]) -> Value {
    let mut section = Table::new();
    copy(of, keys, &mut section);
    Value::Table(section)
}
