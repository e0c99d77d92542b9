//! A service whose server does not answer.
//!
//! From memory: all texts but storage's code and sentence, which are those of its list of errors.

use super::Dialect;
use super::reply::Reply;
use crate::front::date::Date;
use crate::front::http::Head;
use serde_json::json;
use std::time::SystemTime;

/// Returns the answer.
pub(super) fn reply(dialect: Dialect, request: &Head, id: &str, at: SystemTime) -> Reply {
    match dialect {
        Dialect::Storage => {
            const TEXT: &str = "The server is currently unable to receive requests. Please retry \
                                your request.";
            let time = Date::of(at).precise();
            let body = format!(
                "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>ServerBusy</Code>\
                 <Message>{TEXT}\nRequestId:{id}\nTime:{time}</Message></Error>"
            );
            Reply::new("503 The server is busy.", "application/xml", body)
                .field("Server", "Microsoft-HTTPAPI/2.0")
                .field("x-ms-request-id", id)
                .maybe(
                    "x-ms-client-request-id",
                    request.client_request_id.as_deref(),
                )
                .field("x-ms-error-code", "ServerBusy")
        }
        Dialect::AppService => {
            let body = "<!DOCTYPE html>\r\n<html>\r\n<head>\r\n<title>502 - Web server received an \
                        invalid response while acting as a gateway or proxy server.</title>\r\n\
                        </head>\r\n<body>\r\n<h1>Server Error</h1>\r\n<h2>502 - Web server received \
                        an invalid response while acting as a gateway or proxy server.</h2>\r\n\
                        </body>\r\n</html>\r\n";
            Reply::new("502 Bad Gateway", "text/html", body)
        }
        _ => {
            let message = "The service is temporarily unavailable. Please retry the request.";
            let body = json!({ "error": { "code": "ServiceUnavailable", "message": message } });
            Reply::new(
                "503 Service Unavailable",
                "application/json",
                body.to_string(),
            )
            .field("x-ms-request-id", id)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::date::tests::moment;
    use crate::front::refusal::tests::get;

    #[test]
    fn each_service_says_that_it_cannot_serve() {
        for (dialect, status, words) in [
            (Dialect::Storage, "503 ", "<Code>ServerBusy</Code>"),
            (Dialect::AppService, "502 ", "acting as a gateway"),
            (Dialect::KeyVault, "503 ", "\"ServiceUnavailable\""),
        ] {
            let text = reply(dialect, &get(), "1", moment()).encode(moment(), false);
            let text = String::from_utf8(text).unwrap();
            assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{text}");
            assert!(text.contains(words), "{text}");
        }
    }
}
