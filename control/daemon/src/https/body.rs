//! The body of a request: read at a pace, in room that grows with it.

use super::share::{Own, Room};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_LENGTH, EXPECT, HeaderMap};
use postern_arm::error::ArmError;
use postern_arm::rest::too_large;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a client may take for a body.
const TIME: Duration = Duration::from_secs(60);
/// How long it may send nothing of it.
const GRACE: Duration = Duration::from_secs(10);
/// How fast it has to come after that, in bytes a second.
const PACE: u64 = 8 * 1024;
/// How much of a body that is not wanted is read and thrown away, so that the client hears why: one that is
/// cut off while it writes does not read the answer.
const THROWN_AWAY: u64 = 64 * 1024 * 1024;

/// Returns a body with the room that it takes, if it is not longer than `most`; none if it is.
///
/// # Errors
///
/// It comes too slowly, is far too long or broken, or there is no room for it.
pub(super) async fn read(
    mut body: Incoming,
    headers: &HeaderMap,
    most: usize,
    own: &Own,
) -> Result<Option<(Room, Vec<u8>)>, ArmError> {
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    if told(headers) > THROWN_AWAY {
        return Err(too_large());
    }
    let (mut room, mut bytes, mut length) = (Room::default(), Vec::new(), 0_u64);
    let begin = Instant::now();
    while let Some(data) = next(&mut body, begin, length).await? {
        length = length.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if length > THROWN_AWAY {
            return Err(too_large());
        }
        if length > most {
            (room, bytes) = (Room::default(), Vec::new());
        } else {
            own.make_room(&mut room, length).await?;
            bytes.extend_from_slice(&data);
        }
    }
    Ok((length <= most).then_some((room, bytes)))
}

/// Reads and throws away the body of a request that is refused, if it has one that comes anyway.
pub(super) async fn throw_away(mut body: Incoming, headers: &HeaderMap) {
    // Who asks first hears it first.
    if headers.contains_key(EXPECT) || body.is_end_stream() || told(headers) > THROWN_AWAY {
        return;
    }
    let (begin, mut length) = (Instant::now(), 0_u64);
    while let Ok(Some(data)) = next(&mut body, begin, length).await {
        length = length.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if length > THROWN_AWAY {
            return;
        }
    }
}

fn told(headers: &HeaderMap) -> u64 {
    let told = headers.get(CONTENT_LENGTH);
    told.and_then(|length| length.to_str().ok()?.parse().ok())
        .unwrap_or_default()
}

/// Returns the next part, if there is one: in time for its place in the body.
async fn next(
    body: &mut Incoming,
    begin: Instant,
    length: u64,
) -> Result<Option<hyper::body::Bytes>, ArmError> {
    let paced = GRACE.saturating_add(Duration::from_secs(length / PACE));
    let end = begin.checked_add(paced.min(TIME)).unwrap_or(begin);
    loop {
        let frame = timeout_at(end, body.frame()).await.map_err(|_| {
            let message = "The request content did not arrive in time.";
            ArmError::new(408, "RequestTimeout", message)
        })?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => {
                let message = format!("The request content was invalid: {error}.");
                return Err(ArmError::bad_request("InvalidRequestContent", message));
            }
            // Trailers are no part of it.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
