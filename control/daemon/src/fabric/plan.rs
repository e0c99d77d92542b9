//! What changes at the devices between two policies: pure, decided before anything is touched.

use postern_network::compile::PortSpec;
use std::collections::BTreeMap;

/// A port that stays attached and whose addresses, routes or MTU change.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Update {
    /// As it is.
    pub(super) old: PortSpec,
    /// As it shall be.
    pub(super) new: PortSpec,
}

/// The steps from the attached ports to the wanted ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Ports whose namespace is free: attached first, since that disturbs nobody.
    pub(super) attach: Vec<PortSpec>,
    /// Ports whose namespace still holds a port of `evict`.
    pub(super) replace: Vec<PortSpec>,
    /// Ports that must go before `replace` can be attached; they come back if that fails.
    pub(super) evict: Vec<PortSpec>,
    /// Ports that change in place.
    pub(super) update: Vec<Update>,
    /// Ports that go once the new policy is in, besides those of `evict`.
    pub(super) detach: Vec<PortSpec>,
}

/// Returns whether the device of `old` can serve as that of `new`.
pub(super) fn same_device(old: &PortSpec, new: &PortSpec) -> bool {
    old.namespace == new.namespace && old.device == new.device && old.offload == new.offload
}

impl Plan {
    /// Compares the ports by number: a port whose device cannot be kept has a new number.
    pub(super) fn new(old: &[PortSpec], new: &[PortSpec]) -> Self {
        let wanted: BTreeMap<_, _> = new.iter().map(|spec| (spec.id, spec)).collect();
        let attached: BTreeMap<_, _> = old.iter().map(|spec| (spec.id, spec)).collect();
        let leaving = || {
            old.iter()
                .filter(|spec| !wanted.contains_key(&spec.id))
                .collect::<Vec<_>>()
        };
        let coming = || new.iter().filter(|spec| !attached.contains_key(&spec.id));

        let (evict, detach): (Vec<&PortSpec>, Vec<&PortSpec>) = leaving()
            .into_iter()
            .partition(|gone| coming().any(|spec| spec.namespace == gone.namespace));
        let (replace, attach): (Vec<&PortSpec>, Vec<&PortSpec>) =
            coming().partition(|spec| evict.iter().any(|gone| gone.namespace == spec.namespace));
        let update = new
            .iter()
            .filter_map(|spec| Some((*attached.get(&spec.id)?, spec)))
            .filter(|(before, after)| before != after)
            .map(|(before, after)| Update {
                old: before.clone(),
                new: after.clone(),
            })
            .collect();
        let cloned = |specs: Vec<&PortSpec>| specs.into_iter().cloned().collect();
        Self {
            attach: cloned(attach),
            replace: cloned(replace),
            evict: cloned(evict),
            update,
            detach: cloned(detach),
        }
    }
}
