//! The vectors of the wire-identity reference, sections 1 and 8, and what a receiver refuses.

use super::*;
use proptest::prelude::*;

fn identity(vnet: u32, subnet: u16, region: u16) -> Identity {
    Identity {
        vnet: VnetKey::new(vnet).unwrap(),
        subnet: SubnetKey::new(subnet).unwrap(),
        region,
    }
}

fn service(code: u16, region: u16) -> ServicePrefix {
    ServicePrefix {
        service: ServiceCode::new(code).unwrap(),
        region,
    }
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// The address with its word `at` replaced.
fn with_word(address: Ipv6Addr, at: usize, word: u16) -> Ipv6Addr {
    let mut words = address.segments();
    words[at] = word;
    Ipv6Addr::from(words)
}

const CA: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
const VIP: Ipv4Addr = Ipv4Addr::new(20, 60, 16, 5);

#[test]
fn identities_of_the_reference() {
    for (identity, ca, text) in [
        (identity(42, 7, 26), CA, "fd40:0:2a:7:1a:274:a00:104"),
        (identity(43, 7, 26), CA, "fd40:0:2b:7:1a:273:a00:104"),
        // The largest value.
        (
            identity(0xff_fffe, 0xffff, 105),
            Ipv4Addr::new(255, 255, 255, 254),
            "fd40:ff:fffe:ffff:69:158:ffff:fffe",
        ),
        // The other words sum to 0xffff.
        (identity(0x200, 0x8f, 48), CA, "fd40:0:200:8f:30:0:a00:104"),
        // Adding the carry back carries again.
        (
            identity(0x11ff, 0xf0a0, 32),
            CA,
            "fd40:0:11ff:f0a0:20:fffe:a00:104",
        ),
    ] {
        assert_eq!(identity.address(ca), v6(text));
        assert_eq!(Identity::parse(v6(text)), Ok((identity, ca)));
    }
}

#[test]
fn service_of_the_reference() {
    let storage = service(1, 26);
    let address = v6("fd41:1:1a:2a3::143c:1005");
    assert_eq!(storage.address(VIP), address);
    assert_eq!(ServicePrefix::parse(address), Ok((storage, VIP)));
}

#[test]
fn the_other_zero_is_refused() {
    let found = Identity::parse(v6("fd40:0:200:8f:30:ffff:a00:104"));
    assert_eq!(
        found,
        Err(BadIdentity::Neutral {
            found: 0xffff,
            wanted: 0
        })
    );
}

#[test]
fn every_wrong_neutral_word_is_refused() {
    let right = identity(42, 7, 26).address(CA);
    let accepted: Vec<u16> = (0..=u16::MAX)
        .filter(|&word| Identity::parse(with_word(right, 5, word)).is_ok())
        .collect();
    assert_eq!(accepted, [0x274]);

    let right = service(1, 26).address(VIP);
    let accepted: Vec<u16> = (0..=u16::MAX)
        .filter(|&word| ServicePrefix::parse(with_word(right, 3, word)).is_ok())
        .collect();
    assert_eq!(accepted, [0x2a3]);
}

/// An address with the right neutral word for whatever its other words are.
fn made_neutral(mut words: [u16; 8], at: usize) -> Ipv6Addr {
    words[at] = 0;
    let sum = words[..6].iter().fold(0u32, |sum, &word| {
        let sum = sum + u32::from(word);
        (sum & 0xffff) + (sum >> 16)
    });
    words[at] = !u16::try_from(sum).unwrap();
    Ipv6Addr::from(words)
}

#[test]
fn keys_out_of_range_are_refused_though_the_word_is_right() {
    for (vnet, subnet, error) in [
        (0u32, 7, BadIdentity::VnetKey(0)),
        (0xff_ffff, 7, BadIdentity::VnetKey(0xff_ffff)),
        (0x100_0000, 7, BadIdentity::VnetKey(0x100_0000)),
        (u32::MAX, 7, BadIdentity::VnetKey(u32::MAX)),
        (42, 0, BadIdentity::SubnetKey),
    ] {
        let [v0, v1] = halves(vnet);
        let address = made_neutral([0xfd40, v0, v1, subnet, 26, 0, 0xa00, 0x104], 5);
        assert_eq!(Identity::parse(address), Err(error));
    }
    let no_service = made_neutral([0xfd41, 0, 26, 0, 0, 0, 0x143c, 0x1005], 3);
    assert_eq!(
        ServicePrefix::parse(no_service),
        Err(BadIdentity::ServiceCode)
    );
    // Neutral as a whole, but not zero where it has to be.
    for words in [
        [0xfd41, 1, 26, 0, 5, 0, 0x143c, 0x1005],
        [0xfd41, 1, 26, 0, 0, 5, 0x143c, 0x1005],
    ] {
        assert_eq!(
            ServicePrefix::parse(made_neutral(words, 3)),
            Err(BadIdentity::NotZero)
        );
    }
}

#[test]
fn one_kind_of_address_is_not_taken_for_the_other() {
    let (subnet, service) = (identity(42, 7, 26).address(CA), service(1, 26).address(VIP));
    assert!(matches!(
        Identity::parse(service),
        Err(BadIdentity::Prefix { found: 0xfd41, .. })
    ));
    assert!(matches!(
        ServicePrefix::parse(subnet),
        Err(BadIdentity::Prefix { found: 0xfd40, .. })
    ));
    assert!(is_reserved(subnet) && is_reserved(service));
    assert!(!is_reserved(v6("fd3f:ffff::1")) && !is_reserved(v6("fd42::1")));
}

#[test]
fn keys_are_in_their_ranges() {
    assert_eq!(VnetKey::new(0), None);
    assert_eq!(VnetKey::new(0xff_ffff), None);
    assert_eq!(VnetKey::new(0xff_fffe), Some(VnetKey::MAX));
    assert_eq!(VnetKey::new(1), Some(VnetKey::MIN));
    assert_eq!(SubnetKey::new(0), None);
    assert_eq!(SubnetKey::new(0xffff), Some(SubnetKey::MAX));
    assert_eq!(ServiceCode::new(0), None);
}

proptest! {
    #[test]
    fn what_is_made_is_read_back_and_is_invisible_to_checksums(
        vnet in 1u32..=0xff_fffe, subnet in 1u16.., region: u16, code in 1u16.., v4: u32,
    ) {
        let v4 = Ipv4Addr::from(v4);
        let (identity, service) = (identity(vnet, subnet, region), service(code, region));
        prop_assert_eq!(Identity::parse(identity.address(v4)), Ok((identity, v4)));
        prop_assert_eq!(ServicePrefix::parse(service.address(v4)), Ok((service, v4)));
        for address in [identity.address(v4), service.address(v4)] {
            let prefix = Sum::default().bytes(&address.octets()[..12]).fold();
            prop_assert_eq!(prefix, 0xffff);
            prop_assert_ne!(address.segments()[if is_subnet(address) { 5 } else { 3 }], 0xffff);
        }
    }

    #[test]
    fn any_address_is_either_refused_or_the_one_that_is_made(words: [u16; 8], kind in 0u16..3) {
        let address = with_word(Ipv6Addr::from(words), 0, 0xfd40 + kind);
        if let Ok((identity, ca)) = Identity::parse(address) {
            prop_assert_eq!(identity.address(ca), address);
        }
        if let Ok((service, vip)) = ServicePrefix::parse(address) {
            prop_assert_eq!(service.address(vip), address);
        }
    }

    #[test]
    fn damage_within_a_word_is_found(at in 0usize..6, word: u16, vnet in 1u32..=0xff_fffe) {
        let right = identity(vnet, 7, 26).address(CA);
        let damaged = with_word(right, at, word);
        let old = right.segments()[at];
        // Both are zero to a ones' complement sum.
        let is_invisible = at != 5 && [(0, 0xffff), (0xffff, 0)].contains(&(old, word));
        prop_assume!(word != old && !is_invisible);
        prop_assert!(Identity::parse(damaged).is_err());
    }
}

fn is_subnet(address: Ipv6Addr) -> bool {
    address.segments()[0] == SUBNET_WORD
}
