//! A service without words of its own here.

use super::Refusal;
use super::reply::Reply;
use serde_json::json;

/// Returns the answer.
pub(super) fn reply(refusal: &Refusal<'_>) -> Reply {
    let message = "This request is not authorized by network rules to perform this operation.";
    let body = json!({ "error": { "code": "Forbidden", "message": message } });
    Reply::new("403 Forbidden", "application/json", body.to_string())
        .field("x-ms-request-id", refusal.guid())
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::super::tests::{answer, get, refusal};

    #[test]
    fn any_service_refuses_to_the_byte() {
        let expected = "HTTP/1.1 403 Forbidden\r\n\
            Content-Length: 117\r\n\
            Content-Type: application/json\r\n\
            x-ms-request-id: 01234567-89ab-cdef-0123-456789abcdef\r\n\
            Date: Tue, 05 Nov 2019 10:12:03 GMT\r\n\
            Connection: close\r\n\r\n\
            {\"error\":{\"code\":\"Forbidden\",\"message\":\"This request is not authorized by \
            network rules to perform this operation.\"}}";
        assert_eq!(answer(&refusal(true), Dialect::Generic, &get()), expected);
    }
}
