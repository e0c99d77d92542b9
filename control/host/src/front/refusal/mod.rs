//! What a refused caller hears: the service's own words, one file per service.
//!
//! A refusal is made of the protocol that the connection speaks (`reply` for HTTP, `postgresql`,
//! `mysql`, `tds`, and `alert` where TLS fails already) and, over HTTP, of the service's dialect.
//! Everything here makes bytes and does no I/O. Texts follow the semantics reference (sections 6.2
//! to 6.4); what that leaves open is written from memory of the real services and marked so where
//! it stands.

pub mod alert;
pub mod amqp;
mod app_service;
mod cognitive;
mod container_registry;
mod cosmos;
mod generic;
pub mod kafka;
mod key_vault;
mod messaging;
pub mod mysql;
pub mod postgresql;
pub mod reply;
mod storage;
pub mod tds;
mod unavailable;

use super::caller::Caller;
use super::http::Head;
use reply::Reply;
use std::time::SystemTime;
use uuid::Uuid;

/// The service whose words are used over HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Blob, file, queue, table and data lake storage.
    Storage,
    /// Key vaults.
    KeyVault,
    /// Cosmos DB.
    CosmosDb,
    /// Event Hubs and Service Bus.
    Messaging,
    /// App Service.
    AppService,
    /// Container registries.
    ContainerRegistry,
    /// Cognitive and AI services.
    Cognitive,
    /// Everything else.
    #[default]
    Generic,
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// No network rule allows the caller, or one denies it.
    NetworkRules,
    /// The resource takes no public call at all.
    PublicAccessDisabled,
    /// An endpoint policy of the caller's subnet leaves the resource out.
    EndpointPolicy,
}

/// A call that is refused.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// The name of the resource.
    pub resource: &'a str,
    /// The host that was called.
    pub host: &'a str,
    /// Who called.
    pub caller: Caller,
    /// Why it is refused.
    pub cause: Cause,
    /// When.
    pub at: SystemTime,
    /// A number that no other refusal has.
    pub id: u128,
}

impl Refusal<'_> {
    /// Returns the number as a GUID.
    #[must_use]
    pub fn guid(&self) -> String {
        Uuid::from_u128(self.id).to_string()
    }

    /// Returns the answer of a service to an HTTP request.
    #[must_use]
    pub fn reply(&self, dialect: Dialect, request: &Head) -> Reply {
        let reply = match dialect {
            Dialect::Storage => storage::reply(self, request),
            Dialect::KeyVault => key_vault::reply(self, request),
            Dialect::CosmosDb => cosmos::reply(self),
            Dialect::Messaging => messaging::reply(self),
            Dialect::AppService => app_service::reply(self),
            Dialect::ContainerRegistry => container_registry::reply(self),
            Dialect::Cognitive => cognitive::reply(self),
            Dialect::Generic => generic::reply(self),
        };
        if request.is_grpc {
            reply.for_grpc()
        } else {
            reply
        }
    }

    /// Returns the bytes of the answer of a service to an HTTP/1 request.
    #[must_use]
    pub fn http(&self, dialect: Dialect, request: &Head) -> Vec<u8> {
        let reply = self.reply(dialect, request);
        reply.encode(self.at, request.method == "HEAD")
    }
}

/// Returns the answer to a request for a host that is nobody's, or that is no request: what the
/// web server below the services says.
#[must_use]
pub fn bad_request(reason: &str) -> Reply {
    plain("400 Bad Request", reason)
}

/// Returns the answer to a request for another host than the connection was opened for (RFC 9110,
/// 15.5.20).
#[must_use]
pub fn misdirected() -> Reply {
    plain("421 Misdirected Request", "Invalid Hostname")
}

/// Returns the answer to a request whose backend does not answer: the service's own for a time in
/// which it cannot serve.
#[must_use]
pub fn unavailable(dialect: Dialect, request: &Head, id: u128, at: SystemTime) -> Reply {
    unavailable::reply(dialect, request, &Uuid::from_u128(id).to_string(), at)
}

/// Returns an answer of the web server below the services; the status is like `400 Bad Request`.
fn plain(status: &'static str, reason: &str) -> Reply {
    let (code, title) = status.split_once(' ').unwrap_or((status, ""));
    let body = format!(
        "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\"\
         \"http://www.w3.org/TR/html4/strict.dtd\">\r\n<HTML><HEAD><TITLE>{title}</TITLE>\r\n\
         <META HTTP-EQUIV=\"Content-Type\" Content=\"text/html; charset=us-ascii\"></HEAD>\r\n\
         <BODY><h2>{title} - {reason}</h2>\r\n\
         <hr><p>HTTP Error {code}.</p>\r\n</BODY></HTML>\r\n"
    );
    Reply::new(status, "text/html; charset=us-ascii", body).field("Server", "Microsoft-HTTPAPI/2.0")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::front::caller::tests::subnet_caller;
    use crate::front::date::tests::moment;
    use std::net::Ipv4Addr;

    /// A refused call from 20.0.0.9, or over an endpoint.
    pub(in crate::front) fn refusal(is_endpoint: bool) -> Refusal<'static> {
        let public = Caller::Public(Ipv4Addr::new(20, 0, 0, 9));
        Refusal {
            resource: "contoso",
            host: "contoso.example",
            caller: if is_endpoint { subnet_caller() } else { public },
            cause: Cause::NetworkRules,
            at: moment(),
            id: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        }
    }

    pub(in crate::front) fn get() -> Head {
        Head {
            method: "GET".to_owned(),
            ..Head::default()
        }
    }

    /// Returns the answer as text, its lines as in this source.
    pub(super) fn answer(refusal: &Refusal<'_>, dialect: Dialect, head: &Head) -> String {
        String::from_utf8(refusal.http(dialect, head)).unwrap()
    }

    #[test]
    fn a_number_is_written_as_a_guid() {
        assert_eq!(
            refusal(false).guid(),
            "01234567-89ab-cdef-0123-456789abcdef"
        );
    }

    #[test]
    fn a_host_of_nobody_is_a_bad_request() {
        let text = bad_request("Invalid Hostname").encode(moment(), false);
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\nContent-Length: "));
        assert!(text.contains("<h2>Bad Request - Invalid Hostname</h2>"));
    }

    #[test]
    fn no_dialect_has_a_body_for_head() {
        let head = Head {
            method: "HEAD".to_owned(),
            ..Head::default()
        };
        for dialect in [
            Dialect::Storage,
            Dialect::KeyVault,
            Dialect::CosmosDb,
            Dialect::Messaging,
            Dialect::AppService,
            Dialect::ContainerRegistry,
            Dialect::Cognitive,
            Dialect::Generic,
        ] {
            let whole = answer(&refusal(true), dialect, &get());
            let (fields, body) = whole.split_once("\r\n\r\n").unwrap();
            let length = format!("\r\nContent-Length: {}\r\n", body.len());
            assert!(fields.contains(&length), "{whole}");
            assert_eq!(
                answer(&refusal(true), dialect, &head),
                format!("{fields}\r\n\r\n")
            );
        }
    }
}
