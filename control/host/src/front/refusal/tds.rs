//! SQL Server's protocol (MS-TDS): the messages before a login, and the error that answers it.
//!
//! A client sends PRELOGIN and then LOGIN7; errors 40914 and 40615 answer the login, as the texts
//! of the reference do (section 6.3). From memory: the second sentence of 40615. PRELOGIN tells
//! whether the client wants encryption (MS-TDS 2.2.6.5); one that does sends the handshake of TLS in
//! packets of its own type before the login.

use super::Refusal;
use crate::front::caller::Caller;

/// The longest message that is read, in bytes: that of a login (MS-TDS 2.2.6.4), which may bring a
/// token.
pub const MAX_MESSAGE: usize = 128 * 1024;

/// Bytes before the content of a packet.
pub const HEADER: usize = 8;
/// The type of PRELOGIN, and of packets with a TLS handshake in them.
pub const PRELOGIN: u8 = 0x12;
const LOGIN7: u8 = 0x10;
const REPLY: u8 = 0x04;
const END_OF_MESSAGE: u8 = 0x01;

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first message of a client.
    PreLogin,
    /// The login.
    Login7,
}

/// The bytes are none of the two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a TDS login")]
pub struct NotTds;

/// A message that came in one packet or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its kind.
    pub kind: Kind,
    /// What is in it, without the packet headers.
    pub content: Vec<u8>,
    /// How many bytes it took.
    pub length: usize,
}

/// Reads a message; returns it once it is whole.
///
/// # Errors
///
/// The bytes cannot become one, whatever follows.
pub fn message(bytes: &[u8]) -> Result<Option<Message>, NotTds> {
    let mut content = Vec::new();
    let mut rest = bytes;
    loop {
        let kind = match rest.first() {
            None => return Ok(None),
            Some(&PRELOGIN) => Kind::PreLogin,
            Some(&LOGIN7) => Kind::Login7,
            Some(_) => return Err(NotTds),
        };
        let &[_, status, high, low, ..] = rest else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < HEADER || content.len().saturating_add(length) > MAX_MESSAGE {
            return Err(NotTds);
        }
        let Some((packet, after)) = rest.split_at_checked(length) else {
            return Ok(None);
        };
        content.extend_from_slice(packet.get(HEADER..).unwrap_or_default());
        rest = after;
        if status & END_OF_MESSAGE != 0 {
            let length = bytes.len().saturating_sub(rest.len());
            return Ok(Some(Message {
                kind,
                content,
                length,
            }));
        }
    }
}

/// Whether what follows PRELOGIN is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Everything, the login first.
    On,
    /// Nothing, since nothing secret follows.
    NotSupported,
}

impl Encryption {
    /// Returns what a client's PRELOGIN asks for. One that could do without gets along without.
    #[must_use]
    pub fn wanted(prelogin: &[u8]) -> Self {
        const ENCRYPTION: u8 = 1;
        // The bit for a certificate of the client is not looked at.
        const ON: u8 = 1;
        const REQUIRED: u8 = 3;
        let mut options = prelogin.chunks_exact(5).map_while(|option| match *option {
            [token, high, low, _, _] if token != 0xff => {
                Some((token, usize::from(u16::from_be_bytes([high, low]))))
            }
            _ => None,
        });
        let at = options.find_map(|(token, at)| (token == ENCRYPTION).then_some(at));
        match at.and_then(|at| prelogin.get(at)).map(|value| value & 0x0f) {
            Some(ON | REQUIRED) => Self::On,
            _ => Self::NotSupported,
        }
    }
}

/// Returns the answer to PRELOGIN: version 12, and whether there is encryption.
#[must_use]
pub fn prelogin(encryption: Encryption) -> Vec<u8> {
    const VERSION: [u8; 6] = [12, 0, 0x07, 0xd0, 0, 0];
    // Option, offset and length, big-endian; offsets count from the first option.
    let mut content = vec![0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff];
    content.extend(VERSION);
    content.push(match encryption {
        Encryption::On => 1,
        Encryption::NotSupported => 2,
    });
    packet(REPLY, &content)
}

/// Returns the answer to the login: the error, and that nothing follows.
#[must_use]
pub fn error(refusal: &Refusal<'_>, login: &[u8]) -> Vec<u8> {
    const ERROR: u8 = 0xaa;
    const DONE: u8 = 0xfd;
    const STATE: u8 = 1;
    const CLASS: u8 = 14;
    let is_old = is_old(login);
    let (number, text) = words(refusal);
    let mut token = number.to_le_bytes().to_vec();
    token.extend([STATE, CLASS]);
    let units = utf16(&text);
    token.extend(
        u16::try_from(units.len() / 2)
            .unwrap_or_default()
            .to_le_bytes(),
    );
    token.extend(units);
    let server = utf16(refusal.resource);
    token.push(u8::try_from(server.len() / 2).unwrap_or_default());
    token.extend(server);
    token.push(0); // no procedure
    let line = 1_u32.to_le_bytes();
    token.extend(line.iter().take(if is_old { 2 } else { 4 }));
    let mut content = vec![ERROR];
    content.extend(u16::try_from(token.len()).unwrap_or_default().to_le_bytes());
    content.extend(token);
    // Status: the final one, with an error; no command; no rows.
    content.extend([DONE, 2, 0, 0, 0]);
    content.extend([0; 8].iter().take(if is_old { 4 } else { 8 }));
    packet(REPLY, &content)
}

/// Returns number and text of the error.
fn words(refusal: &Refusal<'_>) -> (u32, String) {
    let server = refusal.resource;
    match refusal.caller {
        Caller::Subnet { .. } => (
            40_914,
            format!(
                "Cannot open server '{server}' requested by the login. Client is not allowed to \
                 access the server."
            ),
        ),
        Caller::Public(address) => (
            40_615,
            format!(
                "Cannot open server '{server}' requested by the login. Client with IP address \
                 '{address}' is not allowed to access the server.  To enable access, use the \
                 Azure Management Portal or run sp_set_firewall_rule on the master database to \
                 create a firewall rule for this IP address or address range.  It may take up to \
                 five minutes for this change to take effect."
            ),
        ),
    }
}

/// Returns whether the login is of a version before 7.2, which has shorter numbers.
fn is_old(login: &[u8]) -> bool {
    const VERSION_7_2: u32 = 0x7209_0002;
    let version = login.get(4..8).and_then(|bytes| bytes.try_into().ok());
    version.is_some_and(|bytes| u32::from_le_bytes(bytes) < VERSION_7_2)
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Returns content in one packet of this type.
#[must_use]
pub fn packet(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len().saturating_add(HEADER)).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    let mut packet = vec![kind, END_OF_MESSAGE, high, low, 0, 0, 1, 0];
    packet.extend_from_slice(content);
    packet
}

#[cfg(test)]
mod tests {
    use super::super::tests::refusal;
    use super::*;
    use proptest::prelude::*;

    const PRELOGIN: &[u8] = &[0x12, 1, 0, 14, 0, 0, 0, 0, 1, 0, 6, 0, 1, 0xff];

    fn login(version: u32) -> Vec<u8> {
        let mut login = vec![0; 94];
        login[4..8].copy_from_slice(&version.to_le_bytes());
        login
    }

    #[test]
    fn a_message_ends_with_its_last_packet() {
        for end in 0..PRELOGIN.len() {
            assert_eq!(message(&PRELOGIN[..end]), Ok(None), "cut at {end}");
        }
        let read = message(PRELOGIN).unwrap().unwrap();
        assert_eq!((read.kind, read.length), (Kind::PreLogin, 14));
        let mut two = vec![0x10, 0, 0, 10, 0, 0, 0, 0, 1, 2];
        assert_eq!(message(&two), Ok(None));
        two.extend([0x10, 1, 0, 9, 0, 0, 1, 0, 3, 0xee]);
        let read = message(&two).unwrap().unwrap();
        assert_eq!(
            (read.kind, read.content, read.length),
            (Kind::Login7, vec![1, 2, 3], 19)
        );
    }

    #[test]
    fn what_is_no_login_is_refused() {
        assert_eq!(message(b"GET / HTTP/1.1"), Err(NotTds));
        assert_eq!(message(&[0x12, 1, 0, 7]), Err(NotTds));
        let long = [&[0x10, 0, 0xff, 0xff][..], &vec![0; 0xffff - 4]].concat();
        assert_eq!(message(&long), Ok(None));
        assert_eq!(message(&long.repeat(3)), Err(NotTds));
    }

    #[test]
    fn prelogin_is_answered_to_the_byte() {
        let expected = [
            4, 1, 0, 26, 0, 0, 1, 0, // header
            0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, // options
            12, 0, 7, 0xd0, 0, 0, 2,
        ];
        assert_eq!(prelogin(Encryption::NotSupported), expected);
        assert_eq!(prelogin(Encryption::On).last(), Some(&1));
    }

    #[test]
    fn a_client_that_asks_for_encryption_gets_it() {
        let mut prelogin = vec![0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff];
        prelogin.extend([0; 6]);
        for (asked, wanted) in [
            (0, Encryption::NotSupported),
            (1, Encryption::On),
            (2, Encryption::NotSupported),
            (3, Encryption::On),
            (0x81, Encryption::On),
        ] {
            let asks = [&prelogin[..], &[asked]].concat();
            assert_eq!(Encryption::wanted(&asks), wanted, "{asked}");
        }
        // Options that lead outside, or never end.
        for bytes in [&b""[..], &[1, 0xff, 0xff, 0, 1, 0xff], &[1; 4], &[0; 100]] {
            assert_eq!(Encryption::wanted(bytes), Encryption::NotSupported);
        }
    }

    #[test]
    fn a_subnet_without_a_rule_hears_40914_to_the_byte() {
        let text = "Cannot open server 'contoso' requested by the login. Client is not allowed to \
                    access the server.";
        let mut token = vec![0xd2, 0x9f, 0, 0, 1, 14, 96, 0];
        token.extend(utf16(text));
        token.push(7);
        token.extend(b"c\0o\0n\0t\0o\0s\0o\0");
        token.extend([0, 1, 0, 0, 0]);
        let mut expected = vec![4, 1, 1, 0x03, 0, 0, 1, 0, 0xaa, 0, 0];
        expected[2..4].copy_from_slice(&u16::try_from(token.len() + 24).unwrap().to_be_bytes());
        expected[9..11].copy_from_slice(&u16::try_from(token.len()).unwrap().to_le_bytes());
        expected.extend(&token);
        expected.extend([0xfd, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(text.len(), 96);
        assert_eq!(error(&refusal(true), &login(0x7400_0004)), expected);
    }

    #[test]
    fn a_public_caller_hears_40615_with_its_address() {
        let bytes = error(&refusal(false), &login(0x7400_0004));
        assert_eq!(&bytes[11..15], &[0xa7, 0x9e, 0, 0]);
        let address = utf16("Client with IP address '20.0.0.9' is not allowed");
        assert!(bytes.windows(address.len()).any(|part| part == address));
    }

    #[test]
    fn an_old_client_gets_short_numbers() {
        let (old, new) = (login(0x7100_0001), login(0x7209_0002));
        let difference = error(&refusal(true), &new).len() - error(&refusal(true), &old).len();
        assert_eq!(difference, 2 + 4);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = 0x10;
            }
            if let Ok(Some(message)) = message(&bytes) {
                prop_assert!(message.length <= bytes.len());
                prop_assert!(message.content.len() <= MAX_MESSAGE);
            }
        }
    }
}
