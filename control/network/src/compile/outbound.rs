//! How many public ports a NIC gets of an address that it shares.

/// Ports for a destination by how many NICs share the address, as a load balancer of the platform shares
/// them out beforehand (reference section 9): all of them together never need more than there are.
const PORTS: [(usize, u32); 6] = [
    (50, 1024),
    (100, 512),
    (200, 256),
    (400, 128),
    (800, 64),
    (usize::MAX, 32),
];

/// Returns how many ports each of so many NICs gets for a destination.
pub(super) fn ports_per_nic(nics: usize) -> u32 {
    let row = PORTS.iter().find(|&&(most, _)| nics <= most);
    row.map_or(32, |&(_, ports)| ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gets_its_part_and_all_together_no_more_than_there_are() {
        for (nics, ports) in [
            (1, 1024),
            (50, 1024),
            (51, 512),
            (100, 512),
            (101, 256),
            (400, 128),
            (800, 64),
            (801, 32),
            (1000, 32),
        ] {
            assert_eq!(ports_per_nic(nics), ports, "{nics}");
            assert!(nics * ports as usize <= 64_512, "{nics}");
        }
    }
}
