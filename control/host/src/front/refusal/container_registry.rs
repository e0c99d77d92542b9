//! Container registries: the error form of the registry protocol.
//!
//! From memory: the sentence.

use super::Refusal;
use super::reply::Reply;
use serde_json::json;

/// Returns the answer.
pub(super) fn reply(refusal: &Refusal<'_>) -> Reply {
    let address = refusal.caller.address();
    let message = format!(
        "client with IP '{address}' is not allowed access. Refer https://aka.ms/acr/firewall to \
         grant access."
    );
    let body = json!({ "errors": [{ "code": "DENIED", "message": message }] });
    Reply::new(
        "403 Forbidden",
        "application/json; charset=utf-8",
        body.to_string(),
    )
    .field("Server", "openresty")
    .field("Docker-Distribution-Api-Version", "registry/2.0")
    .field("X-Ms-Correlation-Request-Id", refusal.guid())
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::super::tests::{answer, get, refusal};

    #[test]
    fn a_registry_refuses_to_the_byte() {
        let expected = "HTTP/1.1 403 Forbidden\r\n\
            Content-Length: 142\r\n\
            Content-Type: application/json; charset=utf-8\r\n\
            Server: openresty\r\n\
            Docker-Distribution-Api-Version: registry/2.0\r\n\
            X-Ms-Correlation-Request-Id: 01234567-89ab-cdef-0123-456789abcdef\r\n\
            Date: Tue, 05 Nov 2019 10:12:03 GMT\r\n\
            Connection: close\r\n\r\n\
            {\"errors\":[{\"code\":\"DENIED\",\"message\":\"client with IP '20.0.0.9' is not \
            allowed access. Refer https://aka.ms/acr/firewall to grant access.\"}]}";
        let text = answer(&refusal(false), Dialect::ContainerRegistry, &get());
        assert_eq!(text, expected);
    }
}
