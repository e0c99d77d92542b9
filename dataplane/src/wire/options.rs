//! IPv4 options (RFC 791 section 3.1): which of them may pass.
//!
//! A source route sends a packet where no policy looked, and with a source that is not where answers go
//! (RFC 7126 sections 4.3 and 4.4). What records addresses on the way (record route, timestamp,
//! traceroute) would show private ones behind a translation, and a virtual network shows no
//! routers. What passes is known to be no more than bytes: the router alert and the labels of
//! security. Any other option could mean to its receiver what is refused here by its right number,
//! or hide it in its body, so it goes the same way. Behind the end of the options is padding, which is
//! zero; something else is there for a receiver that reads on.

use super::WireError;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
/// Source routes without the bit that has them copied into every fragment, which they are to have.
const LOOSE_SOURCE_ROUTE_ONCE: u8 = LOOSE_SOURCE_ROUTE & 0x7f;
const STRICT_SOURCE_ROUTE_ONCE: u8 = STRICT_SOURCE_ROUTE & 0x7f;
const BASIC_SECURITY: u8 = 130;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const EXTENDED_SECURITY: u8 = 133;
const COMMERCIAL_SECURITY: u8 = 134;
const STRICT_SOURCE_ROUTE: u8 = 137;
const ROUTER_ALERT: u8 = 148;

/// Checks the options of a header.
///
/// # Errors
///
/// [`WireError::SourceRoute`], [`WireError::Option`], or [`WireError::Length`] where an option's length
/// is none or its padding is not zero.
#[cold]
pub fn check(options: &[u8]) -> Result<(), WireError> {
    let mut rest = options;
    loop {
        let length = WireError::Length {
            header: "IPv4 option",
            len_bytes: rest.len(),
        };
        rest = match *rest {
            [] => return Ok(()),
            [END, ref padding @ ..] if padding.iter().all(|byte| *byte == 0) => return Ok(()),
            [END, ..] => return Err(length),
            [NO_OPERATION, ref after @ ..] => after,
            [
                LOOSE_SOURCE_ROUTE
                | STRICT_SOURCE_ROUTE
                | LOOSE_SOURCE_ROUTE_ONCE
                | STRICT_SOURCE_ROUTE_ONCE,
                ..,
            ] => return Err(WireError::SourceRoute),
            [ROUTER_ALERT, 4, _, _, ref after @ ..] => after,
            [
                BASIC_SECURITY | EXTENDED_SECURITY | COMMERCIAL_SECURITY,
                len @ 3..=u8::MAX,
                ..,
            ] if usize::from(len) <= rest.len() => rest.get(usize::from(len)..).unwrap_or_default(),
            [
                ROUTER_ALERT | BASIC_SECURITY | EXTENDED_SECURITY | COMMERCIAL_SECURITY,
                ..,
            ] => return Err(length),
            [kind, ..] => return Err(WireError::Option(kind)),
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
            // The end, and padding.
            &[130, 4, 1, 2, 1, 0, 0, 0],
            &[134, 8, 0, 0, 0, 1, 131, 4],
        ] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        for routed in [
            &[131, 7, 4, 8, 8, 8, 8, 0][..],
            &[137, 7, 4, 8, 8, 8, 8, 0],
            &[1, 131, 3, 4],
            &[148, 4, 0, 0, 137, 3, 4, 0],
            // Without the bit that has it copied.
            &[3, 7, 4, 8, 8, 8, 8, 0],
            &[1, 9, 3, 4],
            // Whatever its length says.
            &[131, 0, 0, 0],
            &[1, 1, 1, 131],
        ] {
            assert_eq!(check(routed), Err(WireError::SourceRoute), "{routed:?}");
        }
        // What records a way, what nobody knows, and what hides one.
        for kind in [7, 68, 82, 25, 94, 136, 205, 222] {
            for options in [&[1, kind, 3, 4][..], &[kind, 7, 131, 3, 4, 0, 0, 0]] {
                assert_eq!(check(options), Err(WireError::Option(kind)));
            }
        }
        for bad in [
            &[130, 0, 0, 0][..],
            &[130, 2, 0, 0],
            &[148, 5, 0, 0],
            &[148, 8, 0, 0, 131, 3, 4, 0],
            &[1, 1, 1, 148],
            &[133, 9, 0, 0],
            // Behind the end.
            &[0, 131, 3, 4],
            &[1, 0, 0, 9],
        ] {
            assert!(
                matches!(check(bad), Err(WireError::Length { .. })),
                "{bad:?}"
            );
        }
    }
}
