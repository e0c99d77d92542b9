//! UDP (RFC 768).

use super::WireError;

/// Length of the header.
pub const LEN: usize = 8;
/// Where the checksum is, from the start of the header.
pub const CHECKSUM: usize = 6;
/// Where the length is.
pub(crate) const LENGTH: usize = 4;

/// A checked view of a UDP header.
#[derive(Clone, Copy, Debug)]
pub struct UdpView<'a> {
    header: &'a [u8; LEN],
}

impl<'a> UdpView<'a> {
    /// Checks lengths and returns the view. `fragment` is whether the datagram goes on in other
    /// packets, so that its length may be greater than what is here.
    ///
    /// # Errors
    ///
    /// [`WireError::Length`] if the header is not all there or its length field is impossible.
    pub fn parse(bytes: &'a [u8], fragment: bool) -> Result<Self, WireError> {
        let error = WireError::Length {
            header: "UDP",
            len_bytes: bytes.len(),
        };
        let view = Self {
            header: bytes.first_chunk::<LEN>().ok_or(error)?,
        };
        let len = usize::from(view.len_field());
        if len < LEN || (len > bytes.len() && !fragment) {
            return Err(error);
        }
        Ok(view)
    }

    fn len_field(&self) -> u16 {
        u16::from_be_bytes([self.header[4], self.header[5]])
    }

    /// Returns the source port.
    #[must_use]
    #[inline]
    pub fn source_port(&self) -> u16 {
        u16::from_be_bytes([self.header[0], self.header[1]])
    }

    /// Returns the destination port.
    #[must_use]
    #[inline]
    pub fn destination_port(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }
}
