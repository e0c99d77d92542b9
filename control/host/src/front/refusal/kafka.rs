//! Event Hubs over the Kafka protocol: a login that fails, and says why.
//!
//! A client asks which requests there are, which way to log in, and then logs in. All three are
//! answered, the last by an error with the service's sentence; whatever else it asks ends the
//! connection, as the services do before a login. Layouts are those of the Kafka protocol guide.

use super::{Refusal, messaging};

/// The longest request that is read.
pub const MAX_REQUEST: usize = 64 * 1024;

const SASL_HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const SASL_AUTHENTICATE: i16 = 36;

/// The bytes are no request that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Kafka request before a login")]
pub struct NotKafka;

/// A request: its header is all that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    key: i16,
    version: i16,
    correlation: [u8; 4],
    /// How many bytes it took.
    pub length: usize,
}

/// Reads a request; returns it once it is whole.
///
/// # Errors
///
/// The bytes cannot become one, whatever follows.
pub fn request(bytes: &[u8]) -> Result<Option<Request>, NotKafka> {
    const HEADER: usize = 8;
    let Some((size, content)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let size = usize::try_from(u32::from_be_bytes(*size)).unwrap_or(usize::MAX);
    if !(HEADER..=MAX_REQUEST).contains(&size) {
        return Err(NotKafka);
    }
    let Some(&[k0, k1, v0, v1, c0, c1, c2, c3, ..]) = content.get(..size) else {
        return Ok(None);
    };
    Ok(Some(Request {
        key: i16::from_be_bytes([k0, k1]),
        version: i16::from_be_bytes([v0, v1]),
        correlation: [c0, c1, c2, c3],
        length: size.saturating_add(4),
    }))
}

/// Returns the answer to a request, and whether it is the last one.
///
/// # Errors
///
/// It is none that comes before a login.
pub fn answer(request: &Request, refusal: &Refusal<'_>) -> Result<(Vec<u8>, bool), NotKafka> {
    const UNSUPPORTED_VERSION: i16 = 35;
    const LOGIN_FAILED: i16 = 58;
    let mut body = request.correlation.to_vec();
    let is_last = match (request.key, request.version) {
        (API_VERSIONS, version) => {
            // The oldest form, which every client reads: a newer one comes back with it.
            let code = if version == 0 { 0 } else { UNSUPPORTED_VERSION };
            body.extend(code.to_be_bytes());
            let known = [
                (SASL_HANDSHAKE, 1),
                (API_VERSIONS, 0),
                (SASL_AUTHENTICATE, 0),
            ];
            body.extend(3_i32.to_be_bytes());
            for (key, newest) in known {
                let range: [i16; 3] = [key, 0, newest];
                body.extend(range.iter().flat_map(|number| number.to_be_bytes()));
            }
            false
        }
        (SASL_HANDSHAKE, 0 | 1) => {
            body.extend(0_i16.to_be_bytes());
            body.extend(2_i32.to_be_bytes());
            for name in ["PLAIN", "OAUTHBEARER"] {
                body.extend(text(name));
            }
            false
        }
        (SASL_AUTHENTICATE, 0) => {
            body.extend(LOGIN_FAILED.to_be_bytes());
            body.extend(text(&messaging::text(refusal)));
            body.extend(0_i32.to_be_bytes());
            true
        }
        _ => return Err(NotKafka),
    };
    let size = u32::try_from(body.len()).unwrap_or_default();
    let mut answer = size.to_be_bytes().to_vec();
    answer.extend(body);
    Ok((answer, is_last))
}

/// Returns a string after its length of 16 bits.
fn text(text: &str) -> Vec<u8> {
    let length = i16::try_from(text.len()).unwrap_or_default();
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::tests::refusal;
    use super::*;

    fn ask(key: u8, version: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(8 + rest.len())
            .unwrap()
            .to_be_bytes()
            .to_vec();
        bytes.extend([0, key, 0, version, 1, 2, 3, 4]);
        bytes.extend(rest);
        bytes
    }

    fn answered(bytes: &[u8]) -> Result<(Vec<u8>, bool), NotKafka> {
        let request = request(bytes)?.unwrap();
        assert_eq!(request.length, bytes.len());
        answer(&request, &refusal(false))
    }

    #[test]
    fn a_newer_client_is_told_the_oldest_form() {
        let (answer, is_last) = answered(&ask(18, 4, b"more")).unwrap();
        let expected = [
            0, 0, 0, 28, 1, 2, 3, 4, 0, 35, 0, 0, 0, 3, 0, 17, 0, 0, 0, 1, 0, 18, 0, 0, 0, 0, 0,
            36, 0, 0, 0, 0,
        ];
        assert_eq!((answer.as_slice(), is_last), (&expected[..], false));
    }

    #[test]
    fn the_login_fails_with_the_services_sentence() {
        let (answer, is_last) = answered(&ask(36, 0, b"\0\0\0\x05\0a\0b\0")).unwrap();
        assert!(is_last);
        assert_eq!(answer[8..10], [0, 58]);
        let text = String::from_utf8_lossy(&answer[12..answer.len() - 4]);
        assert!(text.starts_with("Ip has been prevented"), "{text}");
    }

    #[test]
    fn what_comes_only_after_a_login_is_refused() {
        assert_eq!(answered(&ask(3, 0, b"")), Err(NotKafka));
        assert_eq!(request(b"GET / HTTP/1.1"), Err(NotKafka));
        assert_eq!(request(&[0, 0, 0, 7]), Err(NotKafka));
        let whole = ask(17, 1, b"\0\x05PLAIN");
        for end in 0..whole.len() {
            assert_eq!(request(&whole[..end]), Ok(None), "cut at {end}");
        }
    }
}
