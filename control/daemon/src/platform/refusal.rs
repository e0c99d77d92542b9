//! What the fabric refuses, in Azure's words.

use crate::fabric::FabricError;
use postern_arm::error::ArmError;
use postern_network::chain;
use postern_network::compile::CompileError;
use postern_network::spelling::{Places, of_grants};

/// Returns the error for what the fabric refused.
pub(super) fn of_fabric(places: &Places<'_>, error: &FabricError) -> ArmError {
    let text = chain(error);
    match error {
        FabricError::Compile(CompileError::Grant(errors)) => of_grants(places, errors),
        FabricError::Attach { port, .. } => {
            let target = places.port(port).map(|place| place.target());
            let target = target.unwrap_or_else(|| port.clone());
            ArmError::new(409, "AttachFailed", text).at(target)
        }
        FabricError::Compile(_) => ArmError::bad_request("ResourceLimitExceeded", text),
        FabricError::Model(_) | FabricError::Supply(_) => {
            ArmError::bad_request("InvalidRequestFormat", text)
        }
        FabricError::NeedsRestart { .. } => ArmError::new(409, "RestartRequired", text),
        FabricError::Shut(_) | FabricError::Front(_) => ArmError::new(409, "FrontFailed", text),
        FabricError::State(_) | FabricError::Start(_) | FabricError::WorkerGone(_) => {
            ArmError::new(500, "InternalServerError", text)
        }
    }
}
