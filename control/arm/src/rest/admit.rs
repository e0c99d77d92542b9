//! What the head of a request tells: who sends it, whether they may do that at all, and how long a body is
//! worth reading.
//!
//! It is asked before any of the body is read, so that nobody takes room for what will be refused. It
//! never lets anything through by itself: every handler asks for itself again.

use super::authorise::table::Path;
use super::call::Call;
use super::caller::Caller;
use super::request::{Request, Response};
use super::{Api, MAX_BODY, login, refusal};
use crate::error::ArmError;
use crate::principals::new_guid;

/// The longest body of what changes nothing and asks for nothing large.
const SMALL: usize = 64 * 1024;

/// A request whose body is worth reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// How much of the body is read, in bytes.
    pub most: usize,
    /// Who sends it, by the ID of their object; nobody where no token is needed.
    pub who: Option<String>,
    /// Whether it is to change something.
    pub writes: bool,
}

impl Api {
    /// Returns what the head of a request is worth.
    ///
    /// # Errors
    ///
    /// The request is refused whatever its body is; the answer.
    pub fn admit(&self, head: &Request) -> Result<Admitted, Response> {
        if login::is_open(&head.path) {
            return Ok(Admitted {
                most: login::MOST,
                who: None,
                writes: false,
            });
        }
        self.admit_known(head)
            .map_err(|error| self.dress(refusal(&error, head), head, &new_guid()))
    }

    fn admit_known(&self, head: &Request) -> Result<Admitted, ArmError> {
        let state = self.state();
        let caller = Caller::of(head, &state)?;
        let who = match &caller {
            Caller::Principal(claims, _) => Some(format!("{}/{}", claims.tid, claims.oid)),
            Caller::Local => None,
        };
        let call = Call {
            api: self,
            request: head,
            caller,
            state,
        };
        let method = head.method.to_ascii_uppercase();
        let writes = ["PUT", "PATCH", "DELETE"].contains(&method.as_str());
        let (_, path) = call.check_head()?;
        let may_be_long = match method.as_str() {
            "PUT" | "PATCH" => true,
            "POST" => path == Path::DeploymentAction,
            _ => false,
        };
        let most = if may_be_long { MAX_BODY } else { SMALL };
        Ok(Admitted { most, who, writes })
    }
}
