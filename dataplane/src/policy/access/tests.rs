use super::*;
use ipnet::Ipv4Net;
use proptest::prelude::*;

const STORAGE: ServiceId = ServiceId(0);
const SQL: ServiceId = ServiceId(1);
const PIP: Ipv4Addr = Ipv4Addr::new(20, 0, 0, 9);

fn subnet(vnet: u32, subnet: u16) -> SubnetId {
    (VnetKey::new(vnet).unwrap(), SubnetKey::new(subnet).unwrap())
}

fn by_endpoint((vnet, subnet): SubnetId) -> Caller {
    Caller::Subnet {
        vnet,
        subnet,
        address: Ipv4Addr::new(10, 0, 1, 4),
    }
}

fn addresses(prefixes: &[&str]) -> Arc<AddrSet> {
    let prefixes = prefixes.iter().map(|text| text.parse::<Ipv4Net>().unwrap());
    Arc::new(AddrSet::from_prefixes(prefixes))
}

fn allow(id: u32, who: Who) -> AccessRule {
    AccessRule {
        id: AccessRuleId(id),
        who,
        access: Access::Allow,
    }
}

fn deny(id: u32, who: Who) -> AccessRule {
    AccessRule {
        access: Access::Deny,
        ..allow(id, who)
    }
}

fn guarded(rules: Vec<AccessRule>) -> NetworkRules {
    NetworkRules {
        rules,
        otherwise: Access::Deny,
        ..NetworkRules::default()
    }
}

fn resource(service: ServiceId, rules: NetworkRules) -> Resource {
    Resource {
        service,
        address: Ipv4Addr::new(20, 60, 16, 5),
        rules,
        has_front: false,
        refusal: Refusal::default(),
    }
}

fn storage(rules: NetworkRules) -> AccessTable {
    AccessTable::new([(ResourceId(1), resource(STORAGE, rules))], [])
}

const ALLOWED: Ruling = Ruling::Allow {
    rule: None,
    audited: false,
};

fn allowed_by(rule: u32) -> Ruling {
    Ruling::Allow {
        rule: Some(AccessRuleId(rule)),
        audited: false,
    }
}

const BY_DEFAULT: Ruling = Ruling::Deny(DeniedBy::NetworkRules { rule: None });

/// Reference section 6.7: an account in koreacentral, Deny, VNet rule subnet1, IP rule 20.0.0.9.
/// Whether a caller with that address is in the account's region is what `hidden` says.
#[test]
fn worked_example_of_network_rules() {
    let rules = |hidden| NetworkRules {
        hidden,
        ..guarded(vec![
            allow(1, Who::Subnet(subnet(1, 1))),
            allow(2, Who::Addresses(addresses(&["20.0.0.9/32"]))),
        ])
    };
    let account = storage(rules(addresses(&["20.0.0.9/32"])));
    let decide = |table: &AccessTable, caller| table.decide(&caller, ResourceId(1));
    assert_eq!(decide(&account, by_endpoint(subnet(1, 1))), allowed_by(1));
    let by_own_address = Caller::Subnet {
        vnet: subnet(1, 2).0,
        subnet: subnet(1, 2).1,
        address: PIP,
    };
    assert_eq!(
        decide(&account, by_own_address),
        BY_DEFAULT,
        "identity: IP rules are skipped"
    );
    let rule = AccessRuleId(2);
    assert_eq!(
        decide(&account, Caller::Public(PIP)),
        Ruling::Deny(DeniedBy::HiddenSource { rule }),
        "a VM of the same region without an endpoint"
    );
    let account = storage(rules(Arc::default()));
    assert_eq!(
        decide(&account, Caller::Public(PIP)),
        allowed_by(2),
        "japaneast, or a laptop"
    );
    let other = Caller::Public(Ipv4Addr::new(20, 0, 0, 10));
    assert_eq!(decide(&account, other), BY_DEFAULT);
}

/// Reference section 8: the policy lists account A only.
#[test]
fn worked_example_of_endpoint_policies() {
    let (a, b, server) = (ResourceId(1), ResourceId(2), ResourceId(3));
    let open = |service| resource(service, NetworkRules::default());
    let policy = |audit| EndpointPolicy {
        service: STORAGE,
        allowed: HashSet::from([a]),
        audit,
    };
    let resources = || [(a, open(STORAGE)), (b, open(STORAGE)), (server, open(SQL))];
    let table = AccessTable::new(resources(), [(subnet(1, 1), policy(false))]);
    let caller = by_endpoint(subnet(1, 1));
    assert_eq!(table.decide(&caller, a), ALLOWED);
    assert_eq!(
        table.decide(&caller, b),
        Ruling::Deny(DeniedBy::EndpointPolicy)
    );
    assert_eq!(
        table.decide(&by_endpoint(subnet(1, 2)), b),
        ALLOWED,
        "a sibling subnet"
    );
    assert_eq!(
        table.decide(&by_endpoint(subnet(2, 1)), b),
        ALLOWED,
        "another network"
    );
    assert_eq!(
        table.decide(&Caller::Public(PIP), b),
        ALLOWED,
        "not by the endpoint"
    );
    assert_eq!(table.decide(&caller, server), ALLOWED, "storage only");
    let table = AccessTable::new(resources(), [(subnet(1, 1), policy(true))]);
    let audited = Ruling::Allow {
        rule: None,
        audited: true,
    };
    assert_eq!(table.decide(&caller, b), audited);
    assert_eq!(table.decide(&caller, a), ALLOWED);
}

#[test]
fn a_policy_that_lists_nothing_refuses_everything() {
    let policy = EndpointPolicy {
        service: STORAGE,
        allowed: HashSet::new(),
        audit: false,
    };
    let account = (ResourceId(1), resource(STORAGE, NetworkRules::default()));
    let table = AccessTable::new([account], [(subnet(1, 1), policy)]);
    let ruling = table.decide(&by_endpoint(subnet(1, 1)), ResourceId(1));
    assert_eq!(ruling, Ruling::Deny(DeniedBy::EndpointPolicy));
}

#[test]
fn both_rules_and_policy_must_allow() {
    let policy = |audit| EndpointPolicy {
        service: STORAGE,
        allowed: HashSet::from([ResourceId(1)]),
        audit,
    };
    for audit in [false, true] {
        let account = (ResourceId(1), resource(STORAGE, guarded(Vec::new())));
        let table = AccessTable::new([account], [(subnet(1, 1), policy(audit))]);
        let ruling = table.decide(&by_endpoint(subnet(1, 1)), ResourceId(1));
        assert_eq!(ruling, BY_DEFAULT);
    }
}

#[test]
fn ordered_rules_are_decided_by_the_first_match() {
    let office = || Who::Addresses(addresses(&["198.51.100.0/24"]));
    let table = storage(guarded(vec![
        deny(1, Who::Addresses(addresses(&["198.51.100.7/32"]))),
        allow(2, office()),
        deny(3, Who::Subnet(subnet(1, 1))),
        allow(4, Who::Anyone),
    ]));
    let decide = |caller| table.decide(&caller, ResourceId(1));
    let denied_by = |rule| {
        Ruling::Deny(DeniedBy::NetworkRules {
            rule: Some(AccessRuleId(rule)),
        })
    };
    assert_eq!(
        decide(Caller::Public(Ipv4Addr::new(198, 51, 100, 7))),
        denied_by(1)
    );
    assert_eq!(
        decide(Caller::Public(Ipv4Addr::new(198, 51, 100, 8))),
        allowed_by(2)
    );
    assert_eq!(decide(by_endpoint(subnet(1, 1))), denied_by(3));
    assert_eq!(decide(by_endpoint(subnet(1, 2))), allowed_by(4));
    assert_eq!(decide(Caller::Public(PIP)), allowed_by(4));
}

#[test]
fn disabled_public_access_outranks_every_rule() {
    let table = storage(NetworkRules {
        public_network_access: false,
        rules: vec![allow(1, Who::Anyone)],
        ..NetworkRules::default()
    });
    for caller in [by_endpoint(subnet(1, 1)), Caller::Public(PIP)] {
        let ruling = table.decide(&caller, ResourceId(1));
        assert_eq!(ruling, Ruling::Deny(DeniedBy::PublicAccessDisabled));
    }
}

#[test]
fn unknown_resources_are_refused() {
    let ruling = AccessTable::default().decide(&Caller::Public(PIP), ResourceId(7));
    assert_eq!(ruling, Ruling::Deny(DeniedBy::NoSuchResource));
}

#[test]
fn one_of_several_resources_at_an_address_is_enough() {
    let (a, b) = (ResourceId(1), ResourceId(2));
    let closed = || resource(STORAGE, guarded(Vec::new()));
    let open = || resource(STORAGE, NetworkRules::default());
    let address = closed().address;
    let caller = Caller::Public(PIP);
    let table = AccessTable::new([(a, closed()), (b, open())], []);
    assert_eq!(table.decide_at(&caller, address), Some((b, ALLOWED)));
    let table = AccessTable::new([(a, closed()), (b, closed())], []);
    assert_eq!(table.decide_at(&caller, address), Some((a, BY_DEFAULT)));
    assert_eq!(table.decide_at(&caller, PIP), None, "no resource is there");
    let fronted = Resource {
        has_front: true,
        ..closed()
    };
    let table = AccessTable::new([(a, closed()), (b, fronted)], []);
    assert_eq!(table.decide_at(&caller, address), None, "the front decides");
}

/// What a resource's owner writes down (reference section 6.1).
#[derive(Clone, Debug)]
struct Written {
    public_network_access: bool,
    default_allows: bool,
    subnets: Vec<SubnetId>,
    addresses: Vec<(Ipv4Addr, u8)>,
    hidden: Vec<Ipv4Addr>,
    /// Whether the address rules stand before the subnet rules.
    addresses_first: bool,
    policy: Option<(SubnetId, Vec<u32>)>,
}

impl Written {
    /// Section 6.1 line by line, then the endpoint policy of section 8.
    fn allows(&self, caller: &Caller, id: u32) -> bool {
        if !self.public_network_access {
            return false;
        }
        let by_rules = if self.default_allows {
            true
        } else {
            match caller {
                Caller::Subnet { vnet, subnet, .. } => self.subnets.contains(&(*vnet, *subnet)),
                Caller::Public(source) => {
                    let source_bits = u32::from(*source);
                    let listed = self.addresses.iter().any(|&(first, len)| {
                        let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
                        source_bits & mask == u32::from(first) & mask
                    });
                    listed && !self.hidden.contains(source)
                }
            }
        };
        let by_policy = match &self.policy {
            Some((subnet, ids)) if caller.subnet() == Some(*subnet) => ids.contains(&id),
            _ => true,
        };
        by_rules && by_policy
    }

    fn compiled(&self, id: ResourceId) -> AccessTable {
        let subnets = self.subnets.iter().map(|&subnet| Who::Subnet(subnet));
        let prefix = |&(first, len)| Ipv4Net::new(first, len).unwrap().trunc();
        let addresses = self
            .addresses
            .iter()
            .map(|rule| Who::Addresses(Arc::new(AddrSet::from_prefixes([prefix(rule)]))));
        let who: Vec<Who> = if self.addresses_first {
            addresses.chain(subnets).collect()
        } else {
            subnets.chain(addresses).collect()
        };
        let rules = NetworkRules {
            public_network_access: self.public_network_access,
            rules: who
                .into_iter()
                .zip(0..)
                .map(|(who, at)| allow(at, who))
                .collect(),
            otherwise: if self.default_allows {
                Access::Allow
            } else {
                Access::Deny
            },
            hidden: Arc::new(AddrSet::from_prefixes(
                self.hidden.iter().map(|&address| Ipv4Net::from(address)),
            )),
        };
        let policies = self.policy.iter().map(|(subnet, ids)| {
            let policy = EndpointPolicy {
                service: STORAGE,
                allowed: ids.iter().copied().map(ResourceId).collect(),
                audit: false,
            };
            (*subnet, policy)
        });
        AccessTable::new([(id, resource(STORAGE, rules))], policies)
    }
}

fn few_subnets() -> impl Strategy<Value = SubnetId> {
    (1u32..4, 1u16..4).prop_map(|(vnet, number)| subnet(vnet, number))
}

fn few_addresses() -> impl Strategy<Value = Ipv4Addr> {
    (0u8..3, 0u8..4).prop_map(|(net, host)| Ipv4Addr::new(20, 0, net, host))
}

fn callers() -> impl Strategy<Value = Caller> {
    prop_oneof![
        (few_subnets(), few_addresses()).prop_map(|((vnet, subnet), address)| Caller::Subnet {
            vnet,
            subnet,
            address,
        }),
        few_addresses().prop_map(Caller::Public),
    ]
}

prop_compose! {
    fn written()(
        public_network_access in prop::bool::weighted(0.9),
        default_allows in prop::bool::weighted(0.2),
        subnets in prop::collection::vec(few_subnets(), 0..4),
        addresses in prop::collection::vec((few_addresses(), 8u8..=32), 0..4),
        hidden in prop::collection::vec(few_addresses(), 0..3),
        addresses_first in any::<bool>(),
        policy in prop::option::of((few_subnets(), prop::collection::vec(0u32..3, 0..3))),
    ) -> Written {
        Written {
            public_network_access, default_allows, subnets, addresses, hidden, addresses_first, policy,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_the_literal_reading(
        written in written(),
        id in 0u32..3,
        callers in prop::collection::vec(callers(), 1..20),
    ) {
        let table = written.compiled(ResourceId(id));
        for caller in callers {
            let ruling = table.decide(&caller, ResourceId(id));
            prop_assert_eq!(ruling.is_allowed(), written.allows(&caller, id), "{:?}", caller);
        }
    }
}
