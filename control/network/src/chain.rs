//! An error with its causes, as text.

use std::error::Error;

/// Returns an error with its causes on one line, leaving out a cause that the text has already.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("no such file")]
        struct Cause;
        #[derive(Debug, thiserror::Error)]
        #[error("{text}")]
        struct Top {
            text: &'static str,
            source: Cause,
        }
        let top = Top {
            text: "cannot read a.toml",
            source: Cause,
        };
        assert_eq!(chain(&top), "cannot read a.toml: no such file");
        let top = Top {
            text: "a.toml: no such file",
            source: Cause,
        };
        assert_eq!(chain(&top), "a.toml: no such file");
    }
}
