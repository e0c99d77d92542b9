//! `If-Match` and `If-None-Match`.

use crate::error::ArmError;

/// What must be so for a write to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The header `If-Match`: an ETag, several with commas, or `*`.
    pub if_match: Option<String>,
    /// The header `If-None-Match`.
    pub if_none_match: Option<String>,
}

impl Conditions {
    /// Returns no conditions.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Checks them against the ETag of what is there.
    ///
    /// # Errors
    ///
    /// They do not hold: 412 `PreconditionFailed`.
    pub fn check(&self, etag: Option<&str>) -> Result<(), ArmError> {
        let lists = |header: &str| {
            etag.is_some_and(|etag| {
                let mut tags = header.split(',').map(bare);
                tags.any(|tag| tag == "*" || tag == bare(etag))
            })
        };
        if self.if_match.as_deref().is_some_and(|tags| !lists(tags)) {
            let found = match etag {
                Some(etag) => format!("it has {etag}"),
                None => "it does not exist".to_owned(),
            };
            let wanted = self.if_match.as_deref().unwrap_or_default();
            return Err(failed(format!("If-Match asks for {wanted}, and {found}")));
        }
        match &self.if_none_match {
            Some(tags) if lists(tags) => Err(failed(format!(
                "If-None-Match: {tags} asks for it not to be so, and it has {}",
                etag.unwrap_or_default()
            ))),
            _ => Ok(()),
        }
    }
}

/// Returns an ETag without the mark of a weak one and without quotes: all of ours are weak, and clients
/// send them in either form.
fn bare(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

/// The code is the platform's; the words are ours.
fn failed(why: String) -> ArmError {
    let message = format!("Precondition failed: {why}. Read the resource again and retry.");
    ArmError::new(412, "PreconditionFailed", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_or_fail() {
        let tag = Some("W/\"a-1\"");
        for (if_match, if_none_match, etag, holds) in [
            (None, None, None, true),
            (None, None, tag, true),
            (Some("*"), None, tag, true),
            (Some("*"), None, None, false),
            (Some("W/\"a-1\""), None, tag, true),
            (Some("\"a-1\""), None, tag, true),
            (Some("a-1"), None, tag, true),
            (Some("\"a-2\", W/\"a-1\""), None, tag, true),
            (Some("\"a-2\""), None, tag, false),
            (Some("\"a-1\""), None, None, false),
            (None, Some("*"), None, true),
            (None, Some("*"), tag, false),
            (None, Some("\"a-1\""), tag, false),
            (None, Some("\"a-2\""), tag, true),
        ] {
            let conditions = Conditions {
                if_match: if_match.map(str::to_owned),
                if_none_match: if_none_match.map(str::to_owned),
            };
            let found = conditions.check(etag);
            assert_eq!(found.is_ok(), holds, "{conditions:?} {etag:?}");
            if let Err(error) = found {
                assert_eq!(
                    (error.status, error.code.as_str()),
                    (412, "PreconditionFailed")
                );
            }
        }
    }
}
