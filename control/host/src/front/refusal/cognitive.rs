//! Cognitive and AI services.
//!
//! From memory: the whole text.

use super::reply::Reply;
use super::{Cause, Refusal};
use serde_json::json;

/// Returns the answer.
pub(super) fn reply(refusal: &Refusal<'_>) -> Reply {
    let message = match refusal.cause {
        Cause::PublicAccessDisabled => {
            "Public access is disabled. Please configure private endpoint."
        }
        Cause::NetworkRules | Cause::EndpointPolicy => {
            "Access denied due to Virtual Network/Firewall rules."
        }
    };
    let body = json!({ "error": { "code": "403", "message": message } });
    Reply::new("403 Forbidden", "application/json", body.to_string())
        .field("apim-request-id", refusal.guid())
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::super::tests::{answer, get, refusal};

    #[test]
    fn a_cognitive_service_refuses_to_the_byte() {
        let expected = "HTTP/1.1 403 Forbidden\r\n\
            Content-Length: 89\r\n\
            Content-Type: application/json\r\n\
            apim-request-id: 01234567-89ab-cdef-0123-456789abcdef\r\n\
            Date: Tue, 05 Nov 2019 10:12:03 GMT\r\n\
            Connection: close\r\n\r\n\
            {\"error\":{\"code\":\"403\",\
            \"message\":\"Access denied due to Virtual Network/Firewall rules.\"}}";
        assert_eq!(answer(&refusal(true), Dialect::Cognitive, &get()), expected);
    }
}
