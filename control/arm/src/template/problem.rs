//! What can be wrong with a template, in Azure's words where they are known, and where it is.

use super::expression::SyntaxError;
use crate::error::ArmError;

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It cannot be read.
    #[error("Unable to parse language expression: {0}.")]
    Syntax(#[from] SyntaxError),
    /// There is no such function.
    #[error(
        "The template function '{0}' is not valid. Please see https://aka.ms/arm-functions for usage details."
    )]
    UnknownFunction(String),
    /// A function has another number of arguments.
    #[error(
        "Unable to evaluate template language function '{function}': function requires {accepted} argument(s) while {found} were provided."
    )]
    Arguments {
        /// The function.
        function: String,
        /// How many it takes.
        accepted: String,
        /// How many there are.
        found: usize,
    },
    /// An argument is of another type.
    #[error(
        "The template language function '{function}' expects its argument {at} to be {accepted}. The provided value is of type '{found}'."
    )]
    Kind {
        /// The function.
        function: String,
        /// Which argument, from 1.
        at: usize,
        /// What would be accepted.
        accepted: &'static str,
        /// What there is.
        found: &'static str,
    },
    /// An argument cannot be worked with.
    #[error("Unable to evaluate template language function '{function}': {why}.")]
    Bad {
        /// The function.
        function: String,
        /// What is wrong, and what would be accepted.
        why: String,
    },
    /// A function is not for this part of a template.
    #[error(
        "The template function '{function}' is not expected at this location: {accepted}. Please see https://aka.ms/arm-functions for usage details."
    )]
    NotHere {
        /// The function.
        function: String,
        /// Where it may be.
        accepted: &'static str,
    },
    /// The template declares no such parameter.
    #[error(
        "The template parameter '{0}' is not found. Please see https://aka.ms/arm-syntax-parameters for usage details."
    )]
    NoParameter(String),
    /// The template declares no such variable.
    #[error(
        "The template variable '{0}' is not found. Please see https://aka.ms/arm-syntax-variables for usage details."
    )]
    NoVariable(String),
    /// A parameter or variable needs its own value.
    #[error("Circular dependency detected: the {0} '{1}' depends on its own value.")]
    Circular(&'static str, String),
    /// A value has no such property.
    #[error(
        "The language expression property '{name}' doesn't exist, available properties are '{available}'."
    )]
    NoProperty {
        /// The name.
        name: String,
        /// The names that there are.
        available: String,
    },
    /// An index is beyond its array.
    #[error(
        "The language expression property array index '{index}' is out of bounds: the array has {length} elements."
    )]
    NoElement {
        /// The index.
        index: i64,
        /// How many elements there are.
        length: usize,
    },
    /// A property or an element of something that has none.
    #[error(
        "The language expression property '{name}' cannot be selected from a value of type '{found}'."
    )]
    NotSelectable {
        /// What was asked for.
        name: String,
        /// The type of the value.
        found: &'static str,
    },
    /// A copy loop of that name is not around the expression.
    #[error(
        "The template function 'copyIndex' is not expected at this location: no copy loop{0} is around it."
    )]
    NoLoop(String),
    /// The template asks for more than this host gives it.
    #[error("The template takes too much to evaluate: {0}.")]
    Limit(&'static str),
    /// Its values take more memory than this host gives it, in MiB.
    #[error(
        "The template takes too much to evaluate: its values take more than {0} MiB of memory at one time."
    )]
    Memory(usize),
    /// The client has gone, and nobody waits for the answer.
    #[error("The client has gone before the template was evaluated.")]
    Cancelled,
    /// A value of the template itself is not as it must be.
    #[error("{0}")]
    Template(String),
    /// What is wrong is in something that is a secret.
    #[error(
        "The expression uses the value of a secure parameter, so that what is wrong with it is not shown."
    )]
    Hidden,
    /// The value of a resource is asked for that is not deployed yet. It is no error: whoever deploys
    /// does that resource first and comes back.
    #[error("The resource is not deployed yet.")]
    NotYet(u64),
    /// Reading a resource failed.
    #[error("{0}")]
    Resource(Box<ArmError>),
}

impl Problem {
    /// Returns the problem without what it may quote of a value.
    #[must_use]
    pub fn hidden(self) -> Self {
        match self {
            Self::Bad { .. } | Self::Template(_) | Self::NoProperty { .. } => Self::Hidden,
            other => other,
        }
    }
}

/// The most characters that an error says of what it is about: texts of a template may have millions.
const MOST_WORDS: usize = 2_000;

/// A problem with its place in the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Names and indexes from the inside out.
    path: Vec<Step>,
    /// The expression with its brackets, if it is about one.
    pub expression: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

impl Located {
    /// Returns the problem of an expression.
    pub fn of(problem: Problem, expression: &str) -> Self {
        Self {
            path: Vec::new(),
            expression: Some(shortened(expression, MOST_WORDS)),
            problem,
        }
    }

    /// Says that it is in a property.
    #[must_use]
    pub fn under(mut self, name: &str) -> Self {
        self.path.push(Step::Name(shortened(name, MOST_WORDS)));
        self
    }

    /// Says that it is in an element.
    #[must_use]
    pub fn within(mut self, index: usize) -> Self {
        self.path.push(Step::Index(index));
        self
    }

    /// Returns the path in the template, such as `resources[2].properties.subnets[0].name`.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            match step {
                Step::Name(name) if path.is_empty() => path.push_str(name),
                Step::Name(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }

    /// Returns the error as ARM answers it, below a path of the outer template.
    #[must_use]
    pub fn error(&self, prefix: &str) -> ArmError {
        let path = shortened(&self.path(), MOST_WORDS);
        let path = match (prefix, path.as_str()) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}.{path}"),
        };
        if self.problem == Problem::Cancelled {
            return ArmError::new(499, "ClientClosedRequest", self.problem.to_string());
        }
        if let Problem::Resource(error) = &self.problem {
            let error = (**error).clone();
            return match error.target {
                Some(_) => error,
                None => error.at(path),
            };
        }
        // What is about the whole of it is at no path.
        let (at, path) = match path.as_str() {
            "" => ("in the template".to_owned(), "template".to_owned()),
            _ => (format!("at '{path}'"), path),
        };
        let words = match &self.expression {
            Some(expression) => format!(
                "Unable to process template language expressions {at}, expression '{}': {}",
                shortened(expression, 300),
                shortened(&self.problem.to_string(), MOST_WORDS)
            ),
            None => format!(
                "{}: {}",
                capital(&at),
                shortened(&self.problem.to_string(), MOST_WORDS)
            ),
        };
        invalid(format!("Deployment template validation failed: '{words}'.")).at(path)
    }
}

impl From<Problem> for Located {
    fn from(problem: Problem) -> Self {
        Self {
            path: Vec::new(),
            expression: None,
            problem,
        }
    }
}

/// Returns an `InvalidTemplate` error of this message.
pub fn invalid(message: impl Into<String>) -> ArmError {
    ArmError::bad_request("InvalidTemplate", message)
}

/// Returns a text with a capital letter in front.
fn capital(text: &str) -> String {
    let (first, rest) = text.split_at_checked(1).unwrap_or((text, ""));
    first.to_ascii_uppercase() + rest
}

/// Cuts what would make an error unreadable.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_whole_names_the_template() {
        let limit = || Located::from(Problem::Limit("it has too many values"));
        let whole = limit().error("");
        assert_eq!(
            whole.message,
            "Deployment template validation failed: 'In the template: The template takes too much to \
             evaluate: it has too many values.'."
        );
        assert_eq!(whole.target.as_deref(), Some("template"));
        let inside = limit().under("outputs").error("resources[1]");
        assert!(
            inside
                .message
                .contains("'At 'resources[1].outputs': The template takes"),
            "{inside}"
        );
        let words = Located::of(Problem::NoVariable("a".into()), "[variables('a')]").error("");
        assert!(
            words
                .message
                .contains("expressions in the template, expression '[variables('a')]'"),
            "{words}"
        );
    }
}
