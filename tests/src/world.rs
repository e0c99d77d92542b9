//! The network that most cases run in, as the file that a user would write.
//!
//! One VNet in Korea Central: subnet1 with `vm0`, which has a public address of its own, subnet2 with
//! `vm1` and `vm2`, which share the default one. The services have real addresses of Korea Central.

use std::env;
use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};

/// The NIC of subnet1.
pub const VM0: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
/// A NIC of subnet2.
pub const VM1: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 4);
/// Another NIC of subnet2.
pub const VM2: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 5);
/// The public address of `vm0` alone.
pub const PUBLIC_VM0: Ipv4Addr = Ipv4Addr::new(20, 0, 0, 9);
/// The public address that all others share.
pub const PUBLIC_DEFAULT: Ipv4Addr = Ipv4Addr::new(20, 200, 0, 1);
/// A host on the Internet.
pub const INTERNET: Ipv4Addr = Ipv4Addr::new(93, 184, 216, 34);
/// An address of `Storage.KoreaCentral`.
pub const STORAGE: Ipv4Addr = Ipv4Addr::new(20, 60, 16, 5);
/// An address of `AzureKeyVault.KoreaCentral`.
pub const KEY_VAULT: Ipv4Addr = Ipv4Addr::new(20, 44, 29, 113);
/// An address of `Sql.KoreaCentral`.
pub const SQL: Ipv4Addr = Ipv4Addr::new(20, 44, 24, 5);

/// Returns an address with a port.
#[must_use]
pub const fn at(address: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address, port)
}

/// The configuration file; its `Display` is the TOML. Namespaces are named `vm0`, `vm1`, `vm2`,
/// `inet` and `svc`; the fabric puts its own, unique ones in their place.
#[derive(Clone, Debug)]
pub struct World {
    /// Endpoints that are on at the start in subnet1.
    pub endpoints1: Vec<&'static str>,
    /// Endpoints that are on at the start in subnet2.
    pub endpoints2: Vec<&'static str>,
    /// The MTU of every device.
    pub mtu: u16,
    /// Devices without offload, by the name of their namespace.
    pub offload_off: Vec<&'static str>,
    /// Whether `vm0` has a public address of its own.
    pub instance_address: bool,
    /// The NSG of subnet1.
    pub nsg1: Option<&'static str>,
    /// The NSG of subnet2.
    pub nsg2: Option<&'static str>,
    /// Tables to put in front: `[settings]`, `[timers]`.
    pub head: String,
    /// Tables to append.
    pub tail: String,
}

impl Default for World {
    /// The devices are as `POSTERN_TEST_MTU` and `POSTERN_TEST_OFFLOAD` say where those are set, so that
    /// `scripts/matrix.sh` can run the same cases over devices of every kind.
    fn default() -> Self {
        Self {
            endpoints1: Vec::new(),
            endpoints2: Vec::new(),
            mtu: mtu_of_the_run(),
            offload_off: offload_off_in_the_run(),
            instance_address: true,
            nsg1: None,
            nsg2: None,
            head: String::new(),
            tail: String::new(),
        }
    }
}

/// Returns the MTU that this run of the tests is to use.
fn mtu_of_the_run() -> u16 {
    match env::var("POSTERN_TEST_MTU") {
        Ok(mtu) => mtu.parse().expect("POSTERN_TEST_MTU is a number of bytes"),
        Err(_) => 1500,
    }
}

/// Returns the devices that are to have no offload in this run of the tests.
fn offload_off_in_the_run() -> Vec<&'static str> {
    match env::var("POSTERN_TEST_OFFLOAD").as_deref() {
        Ok("off") => vec!["vm0", "vm1", "vm2", "inet", "svc"],
        Ok("on") | Err(_) => Vec::new(),
        Ok(other) => panic!("POSTERN_TEST_OFFLOAD is `{other}`, neither `on` nor `off`"),
    }
}

impl World {
    fn device(&self, namespace: &str) -> String {
        let offload = if self.offload_off.contains(&namespace) {
            "off"
        } else {
            "on"
        };
        format!(
            "namespace = \"{namespace}\"\nmtu = {}\noffload = \"{offload}\"\n",
            self.mtu
        )
    }

    fn nic(&self, name: &str, subnet: &str, address: Ipv4Addr, public: Option<Ipv4Addr>) -> String {
        let mut text = format!(
            "[[networkInterface]]\nname = \"{name}\"\nvirtualNetwork = \"VNet1\"\n\
             subnet = \"{subnet}\"\nprivateIPAddress = \"{address}\"\n"
        );
        if let Some(public) = public {
            let _ = writeln!(text, "publicIPAddress = \"{public}\"");
        }
        text + &self.device(name)
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "location = \"koreacentral\"\n{}", self.head)?;
        writeln!(
            f,
            "[internet]\naddresses = [\"{INTERNET}/24\"]\n{}",
            self.device("inet")
        )?;
        writeln!(
            f,
            "[defaultOutbound]\npublicIPAddress = \"{PUBLIC_DEFAULT}\"\n"
        )?;
        writeln!(
            f,
            "[[virtualNetwork]]\nname = \"VNet1\"\naddressPrefixes = [\"10.0.0.0/16\"]\n"
        )?;
        for (number, endpoints, nsg) in [
            (1, &self.endpoints1, self.nsg1),
            (2, &self.endpoints2, self.nsg2),
        ] {
            writeln!(f, "[[virtualNetwork.subnet]]\nname = \"subnet{number}\"")?;
            writeln!(
                f,
                "addressPrefix = \"10.0.{number}.0/24\"\nserviceEndpoints = {endpoints:?}"
            )?;
            if let Some(nsg) = nsg {
                writeln!(f, "networkSecurityGroup = {nsg:?}")?;
            }
            writeln!(f)?;
        }
        let own = self.instance_address.then_some(PUBLIC_VM0);
        writeln!(f, "{}", self.nic("vm0", "subnet1", VM0, own))?;
        writeln!(f, "{}", self.nic("vm1", "subnet2", VM1, None))?;
        writeln!(f, "{}", self.nic("vm2", "subnet2", VM2, None))?;
        for (name, service, address) in [
            ("contoso", "Microsoft.Storage", STORAGE),
            ("vault", "Microsoft.KeyVault", KEY_VAULT),
            ("database", "Microsoft.Sql", SQL),
        ] {
            writeln!(f, "[[service]]\nname = \"{name}\"\nservice = \"{service}\"")?;
            writeln!(f, "address = \"{address}\"\n{}", self.device("svc"))?;
        }
        f.write_str(&self.tail)
    }
}
