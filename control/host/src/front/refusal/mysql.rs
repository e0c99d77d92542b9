//! MySQL and MariaDB: an error in the place of the greeting.
//!
//! The server speaks first in this protocol, so nothing is read. Before a greeting the two sides
//! have agreed on nothing, and an error carries no SQLSTATE; clients print `HY000` for it. From
//! memory: error 9000 and the sentence for public callers; the other one is in the reference,
//! section 6.3.

use super::Refusal;
use crate::front::caller::Caller;

const ERROR: u8 = 0xff;
const CODE: u16 = 9000;

/// Returns the error packet.
#[must_use]
pub fn error(refusal: &Refusal<'_>) -> Vec<u8> {
    let text = match refusal.caller {
        Caller::Subnet { .. } => {
            "Client from Azure Virtual Networks is not allowed to access the server.".to_owned()
        }
        Caller::Public(address) => format!(
            "Client with IP address '{address}' is not allowed to connect to this MySQL server."
        ),
    };
    let mut payload = vec![ERROR];
    payload.extend(CODE.to_le_bytes());
    payload.extend(text.as_bytes());
    // Three bytes of length, then the packet's number.
    let length = u32::try_from(payload.len()).unwrap_or_default();
    let mut packet = length.to_le_bytes().to_vec();
    packet.extend(payload);
    packet
}

#[cfg(test)]
mod tests {
    use super::super::tests::refusal;
    use super::*;

    #[test]
    fn the_error_stands_in_for_the_greeting_to_the_byte() {
        let mut expected = vec![0x4a, 0, 0, 0, 0xff, 0x28, 0x23];
        expected.extend(b"Client from Azure Virtual Networks is not allowed to access the server.");
        assert_eq!(error(&refusal(true)), expected);
        let text =
            b"Client with IP address '20.0.0.9' is not allowed to connect to this MySQL server.";
        assert!(error(&refusal(false)).ends_with(text));
    }
}
