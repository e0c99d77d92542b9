//! App Service: `403 Ip Forbidden` with a page (reference, section 6.4).
//!
//! From memory: the page.

use super::Refusal;
use super::reply::Reply;

/// Returns the answer.
pub(super) fn reply(refusal: &Refusal<'_>) -> Reply {
    let body = "<!DOCTYPE html>\r\n<html>\r\n<head>\r\n<title>403 - Forbidden</title>\r\n</head>\r\n\
                <body>\r\n<h1>Error 403 - Forbidden</h1>\r\n\
                <p>The web app you have attempted to reach has blocked your access.</p>\r\n\
                </body>\r\n</html>\r\n";
    Reply::new("403 Ip Forbidden", "text/html", body)
        .field("x-ms-forbidden-ip", refusal.caller.address().to_string())
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::super::tests::{answer, get, refusal};

    #[test]
    fn an_app_refuses_to_the_byte() {
        let expected = "HTTP/1.1 403 Ip Forbidden\r\n\
            Content-Length: 205\r\n\
            Content-Type: text/html\r\n\
            x-ms-forbidden-ip: 20.0.0.9\r\n\
            Date: Tue, 05 Nov 2019 10:12:03 GMT\r\n\
            Connection: close\r\n\r\n\
            <!DOCTYPE html>\r\n<html>\r\n<head>\r\n<title>403 - Forbidden</title>\r\n</head>\r\n\
            <body>\r\n<h1>Error 403 - Forbidden</h1>\r\n\
            <p>The web app you have attempted to reach has blocked your access.</p>\r\n\
            </body>\r\n</html>\r\n";
        assert_eq!(
            answer(&refusal(false), Dialect::AppService, &get()),
            expected
        );
    }
}
