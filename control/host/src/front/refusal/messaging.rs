//! Event Hubs and Service Bus over HTTP.
//!
//! From memory: the whole text. The sentence is the one that clients of these services report for
//! an address outside of the rules.

use super::Refusal;
use super::reply::{Reply, escaped};
use crate::front::date::Date;

/// The sentence, over HTTP and AMQP.
pub(super) fn text(refusal: &Refusal<'_>) -> String {
    let (id, host) = (refusal.guid(), refusal.host);
    // To the second and without a zone, unlike the other services.
    let time = Date::of(refusal.at).precise();
    let time = time.split('.').next().unwrap_or_default();
    format!(
        "Ip has been prevented to connect to the endpoint. TrackingId:{id}, SystemTracker:{host}, \
         Timestamp:{time}"
    )
}

/// Returns the answer.
pub(super) fn reply(refusal: &Refusal<'_>) -> Reply {
    let text = escaped(&text(refusal));
    let body = format!("<Error><Code>403</Code><Detail>{text}</Detail></Error>");
    Reply::new("403 Forbidden", "application/xml; charset=utf-8", body)
        .field("Server", "Microsoft-HTTPAPI/2.0")
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::super::tests::{answer, get, refusal};

    #[test]
    fn a_namespace_refuses_to_the_byte() {
        let expected = "HTTP/1.1 403 Forbidden\r\n\
            Content-Length: 207\r\n\
            Content-Type: application/xml; charset=utf-8\r\n\
            Server: Microsoft-HTTPAPI/2.0\r\n\
            Date: Tue, 05 Nov 2019 10:12:03 GMT\r\n\
            Connection: close\r\n\r\n\
            <Error><Code>403</Code><Detail>Ip has been prevented to connect to the endpoint. \
            TrackingId:01234567-89ab-cdef-0123-456789abcdef, SystemTracker:contoso.example, \
            Timestamp:2019-11-05T10:12:03</Detail></Error>";
        assert_eq!(
            answer(&refusal(false), Dialect::Messaging, &get()),
            expected
        );
    }
}
