//! The bounds of a deployment: Azure's of a template, and this host's of what evaluating it takes.

use super::instance::MAX_RESOURCES;
use super::problem::Problem;
use std::time::Duration;

/// What a deployment may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Work, in bytes.
    pub work: u64,
    /// Memory of values at one time, in bytes.
    pub memory: usize,
    /// Processor time.
    pub time: Duration,
    /// Resources of one template, loops taken apart.
    pub resources: usize,
    /// Parameters of one template.
    pub parameters: usize,
    /// Variables of one template.
    pub variables: usize,
    /// Outputs of one template.
    pub outputs: usize,
}

/// Half again what the count of work lets through where it is right. Without optimisation, as in tests,
/// everything takes many times longer, and the bound must not be what decides.
const TIME: Duration = match cfg!(debug_assertions) {
    true => Duration::from_secs(60),
    false => Duration::from_millis(1_500),
};

impl Limits {
    /// Returns the bounds for principals: those of Azure for a template.
    #[must_use]
    pub fn azure() -> Self {
        Self {
            resources: 800,
            parameters: 256,
            variables: 256,
            outputs: 64,
            memory: 24 << 20,
            ..Self::host()
        }
    }

    /// Returns the bounds for who owns the host, whose templates may have more in them, as those that
    /// are exported of everything have.
    #[must_use]
    pub fn host() -> Self {
        Self {
            work: 1_000_000_000,
            memory: 96 << 20,
            time: TIME,
            resources: MAX_RESOURCES,
            parameters: MAX_RESOURCES,
            variables: MAX_RESOURCES,
            outputs: MAX_RESOURCES,
        }
    }

    /// Refuses a template with more of something than it may have.
    ///
    /// # Errors
    ///
    /// It has more.
    pub fn check(what: &str, found: usize, most: usize) -> Result<(), Problem> {
        match found > most {
            // Azure's words for resources, as far as remembered; the others are formed like them.
            true => Err(Problem::Template(format!(
                "The number of template {what} limit exceeded. Limit: '{most}' and actual: '{found}'. Please see https://aka.ms/arm-template-limits for usage details"
            ))),
            false => Ok(()),
        }
    }
}
