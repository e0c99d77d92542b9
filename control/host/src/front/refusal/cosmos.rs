//! Cosmos DB: the text tells the path by which the call came (reference, section 6.4).
//!
//! From memory: the end of the sentence and the fields.

use super::Refusal;
use super::reply::Reply;
use crate::front::caller::Caller;
use serde_json::json;

/// Returns the answer.
pub(super) fn reply(refusal: &Refusal<'_>) -> Reply {
    let path = match refusal.caller {
        Caller::Public(address) => format!("client IP {address} through public internet"),
        Caller::Subnet { .. } => "client VNET through service endpoint".to_owned(),
    };
    let id = refusal.guid();
    let message = format!(
        "Request originated from {path}. This is blocked by your Cosmos DB account firewall \
         settings. More info: https://aka.ms/cosmosdb-tsg-forbidden\r\nActivityId: {id}, \
         Microsoft.Azure.Documents.Common/2.14.0"
    );
    let body = json!({ "code": "Forbidden", "message": message });
    Reply::new("403 Forbidden", "application/json", body.to_string())
        .field("Server", "Microsoft-HTTPAPI/2.0")
        .field("x-ms-activity-id", id)
        .field("x-ms-substatus", "0")
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::super::tests::{answer, get, refusal};

    fn expected(length: usize, path: &str) -> String {
        format!(
            "HTTP/1.1 403 Forbidden\r\n\
             Content-Length: {length}\r\n\
             Content-Type: application/json\r\n\
             Server: Microsoft-HTTPAPI/2.0\r\n\
             x-ms-activity-id: 01234567-89ab-cdef-0123-456789abcdef\r\n\
             x-ms-substatus: 0\r\n\
             Date: Tue, 05 Nov 2019 10:12:03 GMT\r\n\
             Connection: close\r\n\r\n\
             {{\"code\":\"Forbidden\",\"message\":\"Request originated from {path}. This is blocked \
             by your Cosmos DB account firewall settings. More info: \
             https://aka.ms/cosmosdb-tsg-forbidden\\r\\nActivityId: \
             01234567-89ab-cdef-0123-456789abcdef, Microsoft.Azure.Documents.Common/2.14.0\"}}"
        )
    }

    #[test]
    fn the_text_tells_the_path() {
        assert_eq!(
            answer(&refusal(false), Dialect::CosmosDb, &get()),
            expected(303, "client IP 20.0.0.9 through public internet")
        );
        assert_eq!(
            answer(&refusal(true), Dialect::CosmosDb, &get()),
            expected(297, "client VNET through service endpoint")
        );
    }
}
