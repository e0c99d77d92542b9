//! IPv4 options (RFC 791 section 3.1): which of them may pass.
//!
//! A source route sends a packet where no policy looked, and with a source that is not where answers go
//! (RFC 7126 sections 4.3 and 4.4). What records addresses on the way (record route, timestamp,
//! traceroute) would show private ones behind a translation, and a virtual network shows no
//! routers. Everything else is no more than bytes here.

use super::WireError;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const TRACEROUTE: u8 = 82;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;

/// Checks the options of a header.
///
/// # Errors
///
/// [`WireError::SourceRoute`], [`WireError::Option`], or [`WireError::Length`] where an option's length
/// is none.
#[cold]
pub fn check(options: &[u8]) -> Result<(), WireError> {
    let mut rest = options;
    loop {
        rest = match *rest {
            [] | [END, ..] => return Ok(()),
            [NO_OPERATION, ref after @ ..] => after,
            [LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE, ..] => return Err(WireError::SourceRoute),
            [kind @ (RECORD_ROUTE | TIMESTAMP | TRACEROUTE), ..] => {
                return Err(WireError::Option(kind));
            }
            [_, len @ 2..=u8::MAX, ..] if usize::from(len) <= rest.len() => {
                rest.get(usize::from(len)..).unwrap_or_default()
            }
            _ => {
                return Err(WireError::Length {
                    header: "IPv4 option",
                    len_bytes: rest.len(),
                });
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_pass_unless_they_name_or_record_a_way() {
        for good in [
            &[][..],
            &[1, 1, 1, 0],
            &[148, 4, 0, 0],
            &[130, 4, 1, 2, 1, 0, 9, 9],
            &[94, 2, 94, 2],
            // Nothing counts behind the end.
            &[0, 131, 3, 4],
        ] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        for routed in [
            &[131, 7, 4, 8, 8, 8, 8, 0][..],
            &[137, 7, 4, 8, 8, 8, 8, 0],
            &[1, 131, 3, 4],
            &[148, 4, 0, 0, 137, 3, 4, 0],
            // Whatever its length says.
            &[131, 0, 0, 0],
            &[1, 1, 1, 131],
        ] {
            assert_eq!(check(routed), Err(WireError::SourceRoute), "{routed:?}");
        }
        for kind in [7, 68, 82] {
            let options = [1, kind, 3, 4];
            assert_eq!(check(&options), Err(WireError::Option(kind)));
        }
        for bad in [
            &[94, 0, 0, 0][..],
            &[94, 1, 0, 0],
            &[94, 5, 0, 0],
            &[1, 1, 1, 94],
        ] {
            assert!(
                matches!(check(bad), Err(WireError::Length { .. })),
                "{bad:?}"
            );
        }
    }
}
