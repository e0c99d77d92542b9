//! What cannot stand in a resource, in Azure's words.

use super::Kind;
use crate::error::ArmError;
use crate::id::ResourceId;
use serde_json::{Map, Value};

/// Checks the name of a resource.
///
/// # Errors
///
/// The type does not have such names.
pub(crate) fn check_name(id: &ResourceId) -> Result<(), ArmError> {
    let name = id.name();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if id.provider.eq_ignore_ascii_case("Microsoft.Network") {
        let fits = name.len() <= 80
            && name.starts_with(is_word)
            && name.ends_with(is_word)
            && name.chars().all(|c| is_word(c) || c == '.' || c == '-');
        if !fits {
            let message = format!(
                "Resource name {name} is invalid. The name can be up to 80 characters long. It must \
                 begin with a word character, and it must end with a word character or with '_'. The \
                 name may contain word characters or '.', '-', '_'."
            );
            return Err(ArmError::bad_request("InvalidResourceName", message).at(id.to_string()));
        }
    }
    Ok(())
}

/// Checks a document in its normal form.
///
/// # Errors
///
/// It cannot stand by itself.
pub(crate) fn check(
    _kind: &Kind,
    _id: &ResourceId,
    _body: &Map<String, Value>,
) -> Result<(), ArmError> {
    Ok(())
}
