//! TLS alerts, for connections that end before a handshake.

use crate::front::sni::HelloError;

/// What is said by an alert (RFC 8446, 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// The message cannot be read.
    DecodeError,
    /// Another message was due.
    UnexpectedMessage,
    /// A record is too long.
    RecordOverflow,
    /// Nobody here has that name.
    UnrecognizedName,
}

impl Alert {
    /// Returns the alert as a record that ends a connection.
    #[must_use]
    pub const fn record(self) -> [u8; 7] {
        const FATAL: u8 = 2;
        let description = match self {
            Self::UnexpectedMessage => 10,
            Self::RecordOverflow => 22,
            Self::DecodeError => 50,
            Self::UnrecognizedName => 112,
        };
        [21, 3, 3, 0, 2, FATAL, description]
    }
}

impl From<HelloError> for Alert {
    fn from(error: HelloError) -> Self {
        match error {
            HelloError::NotTls | HelloError::NotHello(_) => Self::UnexpectedMessage,
            HelloError::TooLarge(_) => Self::RecordOverflow,
            HelloError::Malformed => Self::DecodeError,
            HelloError::BadName => Self::UnrecognizedName,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_client_understands_the_alert() {
        let mut client = crate::front::sni::tests::client("contoso.example");
        let mut bytes = &Alert::UnrecognizedName.record()[..];
        client.read_tls(&mut bytes).unwrap();
        let error = client.process_new_packets().unwrap_err();
        assert_eq!(
            error,
            rustls::Error::AlertReceived(rustls::AlertDescription::UnrecognisedName)
        );
    }
}
