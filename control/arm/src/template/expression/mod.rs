//! The expression language: `[concat(parameters('a'), variables('b')[0].id)]`.
//!
//! Strings in single quotes (`''` is a quote in one), whole numbers, calls, `.property` and
//! `[index]`; nothing else: there are no operators. White space, line breaks too, is free between
//! tokens. Names of functions compare without case.

mod lexer;
mod parser;

use std::fmt;

/// The most characters an expression may have: ARM's own bound.
pub const MAX_LENGTH: usize = 24_576;

/// How deep calls, properties and indexes may be in each other.
pub const MAX_DEPTH: usize = 100;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// `'text'`.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `name(arguments)` or `namespace.name(arguments)`.
    Call {
        /// The namespace of a function of the template's own.
        namespace: Option<String>,
        /// The name as written.
        name: String,
        /// The arguments in order.
        arguments: Vec<Expression>,
    },
    /// `of.name`.
    Property(Box<Expression>, String),
    /// `of[index]`.
    Index(Box<Expression>, Box<Expression>),
}

/// What a string of a template is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// The string itself.
    Literal(&'a str),
    /// An expression, here without its brackets.
    Expression(&'a str),
}

/// The text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// Something else was expected at a place.
    #[error("expected {expected} and found {found} at character {at}")]
    Unexpected {
        /// What would be accepted.
        expected: &'static str,
        /// What is there.
        found: String,
        /// The character of the expression, from 1, its opening bracket counted.
        at: usize,
    },
    /// A string has no end.
    #[error("the string that begins at character {0} has no closing quote")]
    Unterminated(usize),
    /// A number does not fit.
    #[error("the number {0} is not between -9223372036854775808 and 9223372036854775807")]
    Number(String),
    /// It is too long.
    #[error("it has {0} characters; accepted: at most {MAX_LENGTH}")]
    Long(usize),
    /// It is too deep.
    #[error("it nests calls deeper than {MAX_DEPTH} levels")]
    Deep,
}

/// Tells an expression from a string that is meant as it is: an expression is in brackets, and `[[` at
/// the beginning stands for `[`.
#[must_use]
pub fn classify(text: &str) -> Text<'_> {
    match text.strip_prefix('[') {
        Some(rest) if rest.starts_with('[') => Text::Literal(rest),
        Some(rest) => rest
            .strip_suffix(']')
            .map_or(Text::Literal(text), Text::Expression),
        None => Text::Literal(text),
    }
}

impl Expression {
    /// Reads an expression, without its brackets.
    ///
    /// # Errors
    ///
    /// The text is none.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        if text.len() > MAX_LENGTH {
            return Err(SyntaxError::Long(text.len()));
        }
        parser::parse(text)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Integer(number) => number.fmt(f),
            Self::Call {
                namespace,
                name,
                arguments,
            } => {
                if let Some(namespace) = namespace {
                    write!(f, "{namespace}.")?;
                }
                write!(f, "{name}(")?;
                for (at, argument) in arguments.iter().enumerate() {
                    if at > 0 {
                        f.write_str(", ")?;
                    }
                    argument.fmt(f)?;
                }
                f.write_str(")")
            }
            Self::Property(of, name) => write!(f, "{of}.{name}"),
            Self::Index(of, index) => write!(f, "{of}[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests;
