//! The tokens of an expression.

use super::SyntaxError;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A name.
    Name(String),
    /// A string, its quotes taken off.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `(`, `)`, `[`, `]`, `,` or `.`.
    Mark(char),
}

/// Splits the text into tokens, each with the character that it begins at.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, SyntaxError> {
    let mut found = Vec::new();
    // The opening bracket of the expression is character 1.
    let mut rest = text.chars().zip(2_usize..).peekable();
    while let Some((c, at)) = rest.next() {
        let mut take = |first: char, more: fn(char) -> bool| {
            let mut taken = String::from(first);
            while let Some((c, _)) = rest.next_if(|(c, _)| more(*c)) {
                taken.push(c);
            }
            taken
        };
        let token = match c {
            c if c.is_whitespace() => continue,
            '(' | ')' | '[' | ']' | ',' | '.' => Token::Mark(c),
            '\'' => {
                let mut content = String::new();
                loop {
                    match rest.next() {
                        Some(('\'', _)) if rest.next_if(|(c, _)| *c == '\'').is_some() => {
                            content.push('\'');
                        }
                        Some(('\'', _)) => break,
                        Some((c, _)) => content.push(c),
                        None => return Err(SyntaxError::Unterminated(at)),
                    }
                }
                Token::Text(content)
            }
            c if c.is_ascii_alphabetic() || c == '_' || c == '$' => Token::Name(take(c, |c| {
                c.is_ascii_alphanumeric() || c == '_' || c == '$'
            })),
            c if c.is_ascii_digit() || c == '-' => {
                let digits = take(c, |c| c.is_ascii_digit());
                if digits == "-" {
                    return Err(unexpected("a number after '-'", &digits, at));
                }
                let number = digits.parse().map_err(|_| SyntaxError::Number(digits))?;
                Token::Integer(number)
            }
            c => {
                return Err(unexpected(
                    "a name, a number or a string",
                    &c.to_string(),
                    at,
                ));
            }
        };
        found.push((at, token));
    }
    Ok(found)
}

/// Returns the error that `found` is at a place of something else.
pub(super) fn unexpected(expected: &'static str, found: &str, at: usize) -> SyntaxError {
    SyntaxError::Unexpected {
        expected,
        found: format!("'{found}'"),
        at,
    }
}

impl Token {
    /// Returns the token for an error.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Text(text) => format!("'{text}'"),
            Self::Integer(number) => number.to_string(),
            Self::Mark(mark) => mark.to_string(),
        }
    }
}
