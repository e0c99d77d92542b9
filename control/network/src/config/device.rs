//! The device of a port: namespace, name, MTU, offloads.

use super::loader::Loader;
use super::problem::Problem;
use super::section::Section;
use crate::model::{Device, NamespaceRef};
use std::collections::HashMap;

const A_NAMESPACE: &str =
    "a namespace: a name without spaces and slashes, an absolute path, or \"pid:N\"";
const A_DEVICE: &str = "a device name of 1 to 15 letters, digits, \".\", \"_\" and \"-\"";
const SMALLEST_MTU: u16 = 576;

/// The devices that services share, by their namespace, with the section that came first.
#[derive(Default)]
pub(super) struct Shared(HashMap<NamespaceRef, (String, Device)>);

/// Reads a device.
fn device(section: &Section<'_>) -> Option<Device> {
    let namespace = section.parse_required("namespace", A_NAMESPACE);
    device_in(section, namespace)
}

/// Reads what a device is besides its namespace.
pub(super) fn device_in(section: &Section<'_>, namespace: Option<NamespaceRef>) -> Option<Device> {
    let name = section
        .text("device", A_DEVICE)
        .unwrap_or(Device::DEFAULT_NAME);
    if !is_device(name) {
        section.refuse("device", Problem::Malformed(A_DEVICE));
    }
    let mtu = section.number("mtu", u32::from(SMALLEST_MTU), u32::from(u16::MAX));
    let mtu = mtu
        .and_then(|mtu| u16::try_from(mtu).ok())
        .unwrap_or(Device::DEFAULT_MTU);
    let switch = [("on", true), ("off", false)];
    let offload = section
        .choice("offload", &switch, "\"on\" or \"off\"")
        .unwrap_or(true);
    Some(Device {
        namespace: namespace?,
        name: name.to_owned(),
        mtu,
        offload,
    })
}

fn is_device(name: &str) -> bool {
    const LONGEST: usize = 15;
    (1..=LONGEST).contains(&name.len())
        && !matches!(name, "." | "..")
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
}

impl Loader<'_> {
    /// Reads a device whose namespace no other port may be in.
    pub(super) fn own_device(&mut self, section: &Section<'_>) -> Option<Device> {
        let device = device(section)?;
        self.claim_namespace(section, &device);
        Some(device)
    }

    /// Reads a device that is in `namespace` where the section names none.
    pub(super) fn own_device_or(
        &mut self,
        section: &Section<'_>,
        namespace: NamespaceRef,
    ) -> Option<Device> {
        if section.has("namespace") {
            self.own_device(section)
        } else {
            device_in(section, Some(namespace))
        }
    }

    /// Reads the device of a service, which other services of its namespace have too. One that names no
    /// namespace has no device, which only a front cannot do without.
    pub(super) fn shared_device(
        &mut self,
        section: &Section<'_>,
        shared: &mut Shared,
    ) -> Option<Device> {
        if !section.has("namespace") && !section.has("front") {
            return device_in(section, Some(NamespaceRef::Unattached));
        }
        let device = device(section)?;
        match shared.0.get(&device.namespace) {
            None => {
                self.claim_namespace(section, &device);
                let first = (section.key(""), device.clone());
                shared.0.insert(device.namespace.clone(), first);
            }
            Some((other, first)) => same(section, other, first, &device),
        }
        Some(device)
    }

    fn claim_namespace(&mut self, section: &Section<'_>, device: &Device) {
        let key = section.key("namespace");
        if let Err(other) = self.namespaces.claim(device.namespace.clone(), &key) {
            section.refuse("namespace", Problem::NamespaceInUse(other));
        }
    }
}

/// Refuses what differs between two devices that have to be one. `other` is the path of the first
/// section, with its dot.
fn same(section: &Section<'_>, other: &str, first: &Device, device: &Device) {
    let switch = |on| format!("{:?}", if on { "on" } else { "off" });
    for (key, wanted, found) in [
        (
            "device",
            format!("{:?}", first.name),
            format!("{:?}", device.name),
        ),
        ("mtu", first.mtu.to_string(), device.mtu.to_string()),
        ("offload", switch(first.offload), switch(device.offload)),
    ] {
        if wanted != found {
            let other = format!("{other}{key}");
            section.refuse(
                key,
                Problem::DeviceDiffers {
                    other,
                    value: wanted,
                },
            );
        }
    }
}
