//! Key Vault: `ForbiddenByFirewall` (reference, section 6.4).
//!
//! From memory: the sentences around the address, the network field, and the code for a vault that
//! takes no public call.

use super::reply::Reply;
use super::{Cause, Refusal};
use crate::front::http::Head;
use serde_json::json;

/// Returns the answer.
pub(super) fn reply(refusal: &Refusal<'_>, request: &Head) -> Reply {
    let (resource, address) = (refusal.resource, refusal.caller.address());
    let (inner, message) = match refusal.cause {
        Cause::PublicAccessDisabled => (
            "ForbiddenByConnection",
            format!(
                "Public network access is disabled and request is not from a trusted service nor \
                 via an approved private link.\r\nVault: {resource}"
            ),
        ),
        Cause::NetworkRules | Cause::EndpointPolicy => (
            "ForbiddenByFirewall",
            format!(
                "Client address is not authorized and caller is not a trusted service.\r\n\
                 Client address: {address}\r\nVault: {resource}"
            ),
        ),
    };
    let body = json!({
        "error": { "code": "Forbidden", "message": message, "innererror": { "code": inner } }
    });
    let network = format!("conn_type=Ipv4;addr={address};act_addr_fam=InterNetwork;");
    Reply::new(
        "403 Forbidden",
        "application/json; charset=utf-8",
        body.to_string(),
    )
    .field("x-ms-keyvault-network-info", network)
    .maybe(
        "x-ms-client-request-id",
        request.client_request_id.as_deref(),
    )
    .field("x-ms-request-id", refusal.guid())
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::super::tests::{answer, get, refusal};
    use super::*;

    #[test]
    fn a_vault_refuses_to_the_byte() {
        let expected = "HTTP/1.1 403 Forbidden\r\n\
            Content-Length: 202\r\n\
            Content-Type: application/json; charset=utf-8\r\n\
            x-ms-keyvault-network-info: conn_type=Ipv4;addr=20.0.0.9;act_addr_fam=InterNetwork;\r\n\
            x-ms-request-id: 01234567-89ab-cdef-0123-456789abcdef\r\n\
            Date: Tue, 05 Nov 2019 10:12:03 GMT\r\n\
            Connection: close\r\n\r\n\
            {\"error\":{\"code\":\"Forbidden\",\
            \"message\":\"Client address is not authorized and caller is not a trusted service.\\r\\n\
            Client address: 20.0.0.9\\r\\nVault: contoso\",\
            \"innererror\":{\"code\":\"ForbiddenByFirewall\"}}}";
        assert_eq!(answer(&refusal(false), Dialect::KeyVault, &get()), expected);
    }

    #[test]
    fn a_closed_vault_says_so() {
        let closed = Refusal {
            cause: Cause::PublicAccessDisabled,
            ..refusal(false)
        };
        let text = answer(&closed, Dialect::KeyVault, &get());
        assert!(
            text.contains("{\"code\":\"ForbiddenByConnection\"}"),
            "{text}"
        );
    }
}
