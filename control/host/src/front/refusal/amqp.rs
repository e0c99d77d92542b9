//! Event Hubs and Service Bus over AMQP 1.0: a connection that is opened and closed at once.
//!
//! Frames are written by hand: there are five. Numbers in brackets are sections of the OASIS
//! standard: types (part 1), framing, open and close (part 2), SASL (part 5). Which credentials a
//! client shows does not matter, since nothing is behind them; the reason stands in the error of
//! `close`, as `amqp:unauthorized-access` (2.8.15) with the service's sentence.

use super::{Refusal, messaging};

/// The protocol header of SASL (5.3.1).
pub const SASL: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
/// The protocol header of AMQP itself (2.2).
pub const AMQP: [u8; 8] = *b"AMQP\x00\x01\x00\x00";

/// The longest frame that is read. A client's `open` and `sasl-init` are far shorter.
pub const MAX_FRAME: usize = 16 * 1024;

/// Bytes of a frame before its body, with a data offset of two words (2.3.1).
const HEADER: usize = 8;
const NULL: [u8; 1] = [0x40];
const OF_AMQP: u8 = 0;
const OF_SASL: u8 = 1;

/// The bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an AMQP frame")]
pub struct NotFrame;

/// Returns the length of the frame that begins here, once that is known.
///
/// # Errors
///
/// The bytes cannot become a frame, or one that is too long.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, NotFrame> {
    let Some(size) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let size = usize::try_from(u32::from_be_bytes(*size)).unwrap_or(usize::MAX);
    if (HEADER..=MAX_FRAME).contains(&size) {
        Ok(Some(size))
    } else {
        Err(NotFrame)
    }
}

/// Returns `sasl-mechanisms` (5.3.3.1): those that the services offer.
#[must_use]
pub fn mechanisms() -> Vec<u8> {
    const MECHANISMS: u8 = 0x40;
    let names = ["MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"].map(|name| short(name.as_bytes()));
    // An array of 8-bit symbols (1.6.24, 1.6.21).
    let mut content = vec![4, 0xa3];
    content.extend(names.concat());
    let mut array = vec![0xe0, u8::try_from(content.len()).unwrap_or(u8::MAX)];
    array.extend(content);
    frame(OF_SASL, MECHANISMS, &[array])
}

/// Returns `sasl-outcome` (5.3.3.6): whatever was shown is good enough.
#[must_use]
pub fn outcome() -> Vec<u8> {
    const OUTCOME: u8 = 0x44;
    frame(OF_SASL, OUTCOME, &[vec![0x50, 0]])
}

/// Returns `open` (2.7.1).
#[must_use]
pub fn open(refusal: &Refusal<'_>) -> Vec<u8> {
    const OPEN: u8 = 0x10;
    const FIELDS: usize = 10;
    let longest = [&[0x70][..], &65_536_u32.to_be_bytes()].concat();
    let channels = vec![0x60, 0xff, 0xff];
    let mut fields = vec![text(&refusal.guid()), NULL.to_vec(), longest, channels];
    // Clients count on every field, although the last ones could be left out.
    fields.resize(FIELDS, NULL.to_vec());
    frame(OF_AMQP, OPEN, &fields)
}

/// Returns `close` (2.7.9) with the error.
#[must_use]
pub fn close(refusal: &Refusal<'_>) -> Vec<u8> {
    const CLOSE: u8 = 0x18;
    const ERROR: u8 = 0x1d;
    let mut condition = vec![0xa3];
    condition.extend(short(b"amqp:unauthorized-access"));
    let words = text(&messaging::text(refusal));
    let error = described(ERROR, &[condition, words, NULL.to_vec()]);
    frame(OF_AMQP, CLOSE, &[error])
}

/// Returns bytes after their length of 8 bits.
fn short(bytes: &[u8]) -> Vec<u8> {
    let mut short = vec![u8::try_from(bytes.len()).unwrap_or(u8::MAX)];
    short.extend(bytes.iter().take(usize::from(u8::MAX)));
    short
}

/// Returns a string with a length of 32 bits (1.6.20).
fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![0xb1];
    bytes.extend(u32::try_from(text.len()).unwrap_or_default().to_be_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// Returns a list of 32 bits (1.6.23) that is described by a small number (1.2).
fn described(code: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    let mut content = u32::try_from(fields.len())
        .unwrap_or_default()
        .to_be_bytes()
        .to_vec();
    content.extend(fields.concat());
    let mut list = vec![0, 0x53, code, 0xd0];
    list.extend(
        u32::try_from(content.len())
            .unwrap_or_default()
            .to_be_bytes(),
    );
    list.extend(content);
    list
}

/// Returns a frame on channel zero (2.3).
fn frame(kind: u8, code: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    let body = described(code, fields);
    let size = body.len().saturating_add(HEADER);
    let mut frame = u32::try_from(size)
        .unwrap_or_default()
        .to_be_bytes()
        .to_vec();
    frame.extend([2, kind, 0, 0]);
    frame.extend(body);
    frame
}

#[cfg(test)]
mod tests {
    use super::super::tests::refusal;
    use super::*;

    #[test]
    fn frames_are_written_to_the_byte() {
        let expected = b"\0\0\0\x18\x02\x01\0\0\0\x53\x44\xd0\0\0\0\x06\0\0\0\x01\x50\0";
        // The size counts itself.
        let outcome = outcome();
        assert_eq!(outcome[4..], expected[4..]);
        assert_eq!(outcome[..4], 22_u32.to_be_bytes());
        let mechanisms = mechanisms();
        let names = b"\x04\xa3\x07MSSBCBS\x05PLAIN\x09ANONYMOUS\x08EXTERNAL";
        assert!(mechanisms.ends_with(names));
        assert_eq!(length(&mechanisms), Ok(Some(mechanisms.len())));
    }

    #[test]
    fn close_has_the_services_sentence() {
        let close = close(&refusal(false));
        assert_eq!(length(&close), Ok(Some(close.len())));
        let text = String::from_utf8_lossy(&close);
        assert!(text.contains("\u{18}amqp:unauthorized-access"), "{text:?}");
        assert!(
            text.contains("Ip has been prevented to connect to the endpoint. TrackingId:01234567-"),
            "{text:?}"
        );
        assert!(text.ends_with("Timestamp:2019-11-05T10:12:03@"), "{text:?}");
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(length(&[0, 0, 0]), Ok(None));
        assert_eq!(length(&[0, 0, 0, 7]), Err(NotFrame));
        assert_eq!(length(b"GET / HTTP/1.1"), Err(NotFrame));
        assert_eq!(length(&[0, 0, 0x40, 1]), Err(NotFrame));
        assert_eq!(length(&[0, 0, 0x40, 0]), Ok(Some(MAX_FRAME)));
    }
}
