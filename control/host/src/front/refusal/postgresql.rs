//! PostgreSQL: the messages that come before a session, and the error that ends it.
//!
//! From memory: the two sentences, which are those of the single server.

use super::Refusal;
use crate::front::caller::Caller;

/// The longest first message; PostgreSQL takes no longer one either.
pub const MAX_STARTUP: usize = 10_000;

/// A message that a client may send before its session has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Startup {
    /// A request for TLS; answered with one byte.
    Tls,
    /// A request for GSSAPI encryption; answered with one byte.
    Gss,
    /// A request to cancel another session's work; never answered.
    Cancel,
    /// A session begins.
    Session {
        /// Who wants in.
        user: String,
        /// Where to; the user's own database if it is not said.
        database: String,
    },
}

/// The bytes are no first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a PostgreSQL startup message")]
pub struct NotStartup;

/// Reads the first message; returns it with its length once it is whole.
///
/// # Errors
///
/// The bytes cannot become one, whatever follows.
pub fn startup(bytes: &[u8]) -> Result<Option<(Startup, usize)>, NotStartup> {
    const HEADER: usize = 8;
    const CANCEL: u32 = 80_877_102;
    const TLS: u32 = 80_877_103;
    const GSS: u32 = 80_877_104;
    let Some(length) = number(bytes, 0) else {
        return Ok(None);
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if !(HEADER..=MAX_STARTUP).contains(&length) {
        return Err(NotStartup);
    }
    let (Some(code), Some(content)) = (number(bytes, 4), bytes.get(HEADER..length)) else {
        return Ok(None);
    };
    let message = match code {
        TLS if content.is_empty() => Startup::Tls,
        GSS if content.is_empty() => Startup::Gss,
        CANCEL => Startup::Cancel,
        version if version >> 16 == 3 => session(content)?,
        _ => return Err(NotStartup),
    };
    Ok(Some((message, length)))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.saturating_add(4))?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// Reads the pairs of names and values, each ended by a zero, all ended by another.
fn session(content: &[u8]) -> Result<Startup, NotStartup> {
    let content = content.strip_suffix(&[0, 0]).ok_or(NotStartup)?;
    let (mut user, mut database) = (None, None);
    let mut texts = content.split(|byte| *byte == 0);
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        let value = String::from_utf8_lossy(value).into_owned();
        match name {
            b"user" => user = Some(value),
            b"database" => database = Some(value),
            _ => {}
        }
    }
    let user = user.ok_or(NotStartup)?;
    let database = database.unwrap_or_else(|| user.clone());
    Ok(Startup::Session { user, database })
}

/// Returns the error that ends the session.
#[must_use]
pub fn error(refusal: &Refusal<'_>, user: &str, database: &str, is_tls: bool) -> Vec<u8> {
    const SQLSTATE: &str = "28000";
    let text = match refusal.caller {
        Caller::Subnet { .. } => {
            "Client from Azure Virtual Networks is not allowed to access the server.".to_owned()
        }
        Caller::Public(address) => format!(
            "no pg_hba.conf entry for host \"{address}\", user \"{user}\", database \
             \"{database}\", SSL {}",
            if is_tls { "on" } else { "off" }
        ),
    };
    let mut fields = Vec::new();
    for (field, value) in [
        (b'S', "FATAL"),
        (b'V', "FATAL"),
        (b'C', SQLSTATE),
        (b'M', &text),
    ] {
        fields.push(field);
        fields.extend(value.as_bytes());
        fields.push(0);
    }
    fields.push(0);
    let length = u32::try_from(fields.len())
        .unwrap_or_default()
        .saturating_add(4);
    let mut message = vec![b'E'];
    message.extend(length.to_be_bytes());
    message.extend(fields);
    message
}

#[cfg(test)]
mod tests {
    use super::super::tests::refusal;
    use super::*;
    use proptest::prelude::*;

    const SESSION: &[u8] = b"\0\0\0\x2e\0\x03\0\0user\0alice\0database\0shop\0client\0psql\0\0";

    #[test]
    fn every_first_message_is_known() {
        let tls = b"\0\0\0\x08\x04\xd2\x16\x2f";
        assert_eq!(startup(tls), Ok(Some((Startup::Tls, 8))));
        let gss = b"\0\0\0\x08\x04\xd2\x16\x30more";
        assert_eq!(startup(gss), Ok(Some((Startup::Gss, 8))));
        let cancel = b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02";
        assert_eq!(startup(cancel), Ok(Some((Startup::Cancel, 16))));
        let session = Startup::Session {
            user: "alice".to_owned(),
            database: "shop".to_owned(),
        };
        assert_eq!(startup(SESSION), Ok(Some((session, SESSION.len()))));
        for end in 0..SESSION.len() {
            assert_eq!(startup(&SESSION[..end]), Ok(None), "cut at {end}");
        }
    }

    #[test]
    fn a_database_that_is_not_said_is_the_users() {
        let bytes = b"\0\0\0\x10\0\x03\0\0user\0a\0\0";
        let session = Startup::Session {
            user: "a".to_owned(),
            database: "a".to_owned(),
        };
        assert_eq!(startup(bytes), Ok(Some((session, 16))));
    }

    #[test]
    fn what_is_no_first_message_is_refused() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\0\0\0\x07",
            b"\0\0\0\x08\0\x02\0\0",
            b"\0\0\0\x0b\0\x03\0\0a\0\0",
            b"\x16\x03\x01\0\x10",
        ] {
            assert_eq!(startup(bytes), Err(NotStartup));
        }
    }

    #[test]
    fn the_error_is_written_to_the_byte() {
        let mut expected = b"E\0\0\0\x63SFATAL\0VFATAL\0C28000\0M".to_vec();
        expected.extend(b"Client from Azure Virtual Networks is not allowed to access the server.");
        expected.extend(b"\0\0");
        assert_eq!(error(&refusal(true), "alice", "shop", false), expected);
        let text = "Mno pg_hba.conf entry for host \"20.0.0.9\", user \"alice\", database \"shop\", \
                    SSL on\0\0";
        assert!(error(&refusal(false), "alice", "shop", true).ends_with(text.as_bytes()));
    }

    proptest! {
        #[test]
        fn damage_never_hurts(at in any::<proptest::sample::Index>(), value: u8) {
            let mut bytes = SESSION.to_vec();
            let at = at.index(bytes.len());
            bytes[at] = value;
            if let Ok(Some((_, length))) = startup(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
