//! The front of a service: what it listens to, and the server behind it.

use super::NamespaceRef;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// What clients speak to a port of a front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TLS from the first byte, with HTTP inside.
    Tls,
    /// HTTP without TLS.
    Http,
    /// PostgreSQL.
    PostgreSql,
    /// MySQL and MariaDB.
    MySql,
    /// SQL Server.
    Tds,
}

impl Protocol {
    /// Every protocol with its name in configurations.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("tls", Self::Tls),
        ("http", Self::Http),
        ("postgresql", Self::PostgreSql),
        ("mysql", Self::MySql),
        ("tds", Self::Tds),
    ];

    /// Returns the name in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(_, protocol)| *protocol == self);
        named.map_or("", |(name, _)| name)
    }

    /// Returns what a port speaks for a resource of this ARM type, such as
    /// `Microsoft.DBforPostgreSQL/servers`, or of a service if it has no type.
    #[must_use]
    pub fn of(kind: &str, port: u16) -> Self {
        let provider = kind.split('/').next().unwrap_or_default();
        match (provider.to_ascii_lowercase().as_str(), port) {
            (_, 1433) => Self::Tds,
            (_, 3306) => Self::MySql,
            (_, 5432) => Self::PostgreSql,
            ("microsoft.dbforpostgresql", _) => Self::PostgreSql,
            ("microsoft.dbformysql" | "microsoft.dbformariadb", _) => Self::MySql,
            ("microsoft.sql" | "microsoft.synapse", _) => Self::Tds,
            (_, 80 | 8080) => Self::Http,
            _ => Self::Tls,
        }
    }

    /// Returns how long nothing may pass over a connection, where a front does not say: what the
    /// platform's balancers allow, and the gateways of databases.
    #[must_use]
    pub const fn idle_timeout(self) -> Duration {
        const MINUTE: u64 = 60;
        match self {
            Self::Tls | Self::Http => Duration::from_secs(4 * MINUTE),
            Self::PostgreSql | Self::MySql | Self::Tds => Duration::from_secs(30 * MINUTE),
        }
    }

    /// Returns whether a client says whom it calls before it is answered.
    #[must_use]
    pub const fn names_the_called(self) -> bool {
        matches!(self, Self::Tls | Self::Http)
    }
}

/// The server behind a front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its address.
    pub address: IpAddr,
    /// Its port; without one, that which was called.
    pub port: Option<u16>,
    /// The namespace that it is in; without one, that of the daemon.
    pub namespace: Option<NamespaceRef>,
    /// Whether it wants a PROXY header.
    pub proxy_protocol: bool,
    /// Whether the front speaks TLS with it, where it does not pass on that of the client.
    pub tls: bool,
}

/// A front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFront {
    /// The ports, each once, and what is spoken there.
    pub ports: Vec<(u16, Protocol)>,
    /// Whether it ends TLS, so that it reads each request, instead of passing it on.
    pub terminates: bool,
    /// How long nothing may pass over a connection, if it says so.
    pub idle: Option<Duration>,
    /// The server behind.
    pub backend: Backend,
}

impl ServiceFront {
    /// Returns what is spoken at a port; `None` if it is not the front's.
    #[must_use]
    pub fn protocol(&self, port: u16) -> Option<Protocol> {
        let mut ports = self.ports.iter();
        ports
            .find(|(own, _)| *own == port)
            .map(|(_, spoken)| *spoken)
    }

    /// Returns how long nothing may pass over a connection to a port.
    #[must_use]
    pub fn idle_timeout(&self, port: u16) -> Duration {
        let protocol = self.protocol(port).unwrap_or(Protocol::Tls);
        self.idle.unwrap_or_else(|| protocol.idle_timeout())
    }
}

impl fmt::Display for ServiceFront {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (port, protocol)) in self.ports.iter().enumerate() {
            let gap = if at > 0 { " " } else { "" };
            write!(f, "{gap}{}/{port}", protocol.name())?;
        }
        match (self.backend.address, self.backend.port) {
            (IpAddr::V6(address), Some(port)) => write!(f, " -> [{address}]:{port}")?,
            (address, Some(port)) => write!(f, " -> {address}:{port}")?,
            (address, None) => write!(f, " -> {address}")?,
        }
        if let Some(namespace) = &self.backend.namespace {
            write!(f, " in {namespace}")?;
        }
        if self.backend.tls {
            write!(f, " over TLS")?;
        }
        if self.backend.proxy_protocol {
            write!(f, " with PROXY header")?;
        }
        if self.terminates {
            write!(f, ", ends TLS")?;
        }
        if let Some(idle) = self.idle {
            write!(f, ", idle for {} min", idle.as_secs() / 60)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_and_port_tell_the_protocol() {
        for (kind, port, protocol) in [
            ("Microsoft.Storage/storageAccounts", 443, Protocol::Tls),
            ("Microsoft.Storage", 80, Protocol::Http),
            ("Microsoft.Sql/servers", 1433, Protocol::Tds),
            ("Microsoft.Sql/servers", 11_000, Protocol::Tds),
            ("Microsoft.Sql", 5432, Protocol::PostgreSql),
            (
                "microsoft.dbforpostgresql/servers",
                6432,
                Protocol::PostgreSql,
            ),
            ("Microsoft.DBforMariaDB/servers", 3307, Protocol::MySql),
            ("Microsoft.KeyVault", 8443, Protocol::Tls),
        ] {
            assert_eq!(Protocol::of(kind, port), protocol, "{kind} {port}");
        }
        assert_eq!(Protocol::Tds.name(), "tds");
    }

    #[test]
    fn a_front_is_told_in_one_line() {
        let mut front = ServiceFront {
            ports: vec![(80, Protocol::Http), (443, Protocol::Tls)],
            terminates: false,
            idle: None,
            backend: Backend {
                address: "127.0.0.1".parse().unwrap(),
                port: Some(10_000),
                namespace: None,
                proxy_protocol: false,
                tls: false,
            },
        };
        assert_eq!(front.to_string(), "http/80 tls/443 -> 127.0.0.1:10000");
        front.backend = Backend {
            address: "::1".parse().unwrap(),
            port: None,
            namespace: "back".parse().ok(),
            proxy_protocol: true,
            tls: true,
        };
        front.terminates = true;
        front.idle = Some(Duration::from_secs(600));
        let text = "http/80 tls/443 -> ::1 in back over TLS with PROXY header, ends TLS, idle for \
                    10 min";
        assert_eq!(front.to_string(), text);
        assert_eq!(front.idle_timeout(443).as_secs(), 600);
        front.idle = None;
        assert_eq!(front.idle_timeout(443).as_secs(), 240);
    }
}
