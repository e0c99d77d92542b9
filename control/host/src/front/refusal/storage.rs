//! Storage: `AuthorizationFailure`, in XML, or in JSON where the table and data lake services use it.
//!
//! The same whether a network rule or an endpoint policy refuses (reference, sections 6.2 and 8).
//! From memory: the form of the table and data lake bodies, the order of the fields, and the
//! version that answers a request which names none.

use super::Refusal;
use super::reply::Reply;
use crate::front::date::Date;
use crate::front::http::Head;

const STATUS: &str = "403 This request is not authorized to perform this operation.";
const CODE: &str = "AuthorizationFailure";
const TEXT: &str = "This request is not authorized to perform this operation.";
const VERSION: &str = "2019-02-02";
const XML: &str = "application/xml";

/// Returns the answer.
pub(super) fn reply(refusal: &Refusal<'_>, request: &Head) -> Reply {
    // The last part is the number of the request within a batch.
    let id = refusal.guid();
    let time = Date::of(refusal.at).precise();
    let message = format!("{TEXT}\nRequestId:{id}\nTime:{time}");
    let (kind, body) = match kind(refusal.host) {
        "dfs" => json(&serde_json::json!({ "error": { "code": CODE, "message": message } })),
        "table" if !wants_xml(request) => {
            let message = serde_json::json!({ "lang": "en-US", "value": message });
            json(&serde_json::json!({ "odata.error": { "code": CODE, "message": message } }))
        }
        "table" => (XML, table(&message)),
        _ => (XML, xml(&message)),
    };
    let version = request.version.as_deref().unwrap_or(VERSION);
    Reply::new(STATUS, kind, body)
        .field("Server", "Microsoft-HTTPAPI/2.0")
        .field("x-ms-request-id", id)
        .maybe(
            "x-ms-client-request-id",
            request.client_request_id.as_deref(),
        )
        .field("x-ms-version", version)
        .field("x-ms-error-code", CODE)
}

/// Returns which of the services a host is of: `blob` of `contoso.blob.core.windows.net`.
fn kind(host: &str) -> &str {
    host.split('.').nth(1).unwrap_or_default()
}

fn wants_xml(request: &Head) -> bool {
    request
        .accept
        .as_deref()
        .is_some_and(|accept| accept.contains("xml") && !accept.contains("json"))
}

fn json(body: &serde_json::Value) -> (&'static str, String) {
    ("application/json;charset=utf-8", body.to_string())
}

/// Blob, file and queue. The mark of the byte order in front is the service's.
fn xml(message: &str) -> String {
    format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\
         <Error><Code>{CODE}</Code><Message>{message}</Message></Error>"
    )
}

fn table(message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?>\
         <error xmlns=\"http://schemas.microsoft.com/ado/2007/08/dataservices/metadata\">\
         <code>{CODE}</code><message xml:lang=\"en-US\">{message}</message></error>"
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, get, refusal};
    use super::super::{Cause, Dialect};
    use super::*;

    fn of(host: &'static str, request: &Head) -> String {
        let refusal = Refusal {
            host,
            ..refusal(false)
        };
        answer(&refusal, Dialect::Storage, request)
    }

    #[test]
    fn a_blob_is_refused_to_the_byte() {
        let expected = "HTTP/1.1 403 This request is not authorized to perform this operation.\r\n\
            Content-Length: 246\r\n\
            Content-Type: application/xml\r\n\
            Server: Microsoft-HTTPAPI/2.0\r\n\
            x-ms-request-id: 01234567-89ab-cdef-0123-456789abcdef\r\n\
            x-ms-client-request-id: mine\r\n\
            x-ms-version: 2021-08-06\r\n\
            x-ms-error-code: AuthorizationFailure\r\n\
            Date: Tue, 05 Nov 2019 10:12:03 GMT\r\n\
            Connection: close\r\n\r\n\
            \u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>AuthorizationFailure</Code>\
            <Message>This request is not authorized to perform this operation.\n\
            RequestId:01234567-89ab-cdef-0123-456789abcdef\n\
            Time:2019-11-05T10:12:03.1234567Z</Message></Error>";
        let request = Head {
            version: Some("2021-08-06".to_owned()),
            client_request_id: Some("mine".to_owned()),
            ..get()
        };
        assert_eq!(of("contoso.blob.core.windows.net", &request), expected);
        for kind in ["file", "queue"] {
            let host: &'static str = format!("contoso.{kind}.core.windows.net").leak();
            assert_eq!(of(host, &request), expected);
        }
    }

    #[test]
    fn a_policy_of_the_subnet_is_not_told_apart() {
        let by_rules = answer(&refusal(true), Dialect::Storage, &get());
        let by_policy = Refusal {
            cause: Cause::EndpointPolicy,
            ..refusal(true)
        };
        assert_eq!(answer(&by_policy, Dialect::Storage, &get()), by_rules);
    }

    #[test]
    fn tables_and_data_lakes_use_their_own_forms() {
        let text = of("contoso.table.core.windows.net", &get());
        let body = r#"{"odata.error":{"code":"AuthorizationFailure","message":{"lang":"en-US","value":"This request is not authorized to perform this operation.\nRequestId:01234567-89ab-cdef-0123-456789abcdef\nTime:2019-11-05T10:12:03.1234567Z"}}}"#;
        assert!(text.ends_with(&format!("\r\n\r\n{body}")), "{text}");
        let xml = Head {
            accept: Some("application/atom+xml".to_owned()),
            ..get()
        };
        let text = of("contoso.table.core.windows.net", &xml);
        assert!(
            text.contains("<code>AuthorizationFailure</code><message xml:lang"),
            "{text}"
        );
        let text = of("contoso.dfs.core.windows.net", &get());
        assert!(
            text.contains("\r\n\r\n{\"error\":{\"code\":\"AuthorizationFailure\""),
            "{text}"
        );
    }
}
