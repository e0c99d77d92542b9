//! What a start makes of what is kept and what the file says.

use super::declare::declare;
use super::said::Said;
use crate::fabric::Fabric;
use postern_arm::error::ArmError;
use postern_arm::estate::{Estate, Settings, Stage};
use postern_network::spelling::Raised;
use std::path::Path;
use tracing::{info, warn};

/// Returns the estate to start with: the kept one, with what the file says otherwise than it did when
/// it was brought into force last ([`super::said`]).
///
/// # Errors
///
/// The file and what is kept do not go together, not even where the file speaks about all of its
/// resources.
pub(super) fn estate(
    kept: &Estate,
    settings: &Settings,
    raised: Raised,
    (said, known): (&Said, Option<&Said>),
) -> Result<Estate, ArmError> {
    let all = |raised| {
        let mut stage = Stage::new(kept, settings);
        declare(&mut stage, raised, |_| true)?;
        finished(stage)
    };
    let Some(known) = known else {
        return all(raised);
    };
    let mut stage = Stage::new(kept, settings);
    if said.is_same(known) {
        stage.set_host(raised.host);
        return finished(stage);
    }
    let staged = declare(&mut stage, raised.clone(), |id| said.is_new(known, id));
    match staged.and_then(|()| finished(stage)) {
        Ok(estate) => Ok(estate),
        Err(error) => {
            warn!(
                %error,
                "what the file says anew does not go with what requests did: all of the file counts"
            );
            all(raised)
        }
    }
}

fn finished(mut stage: Stage) -> Result<Estate, ArmError> {
    stage.check()?;
    Ok(stage.into_estate())
}

/// Tells what the start changed of what is kept, in the lines that `apply` prints.
pub(super) fn log_changes(file: &Path, kept: &Estate, fabric: &Fabric) {
    let file = file.display();
    if kept.documents().next().is_none() {
        let count = fabric.model().nics.len();
        return info!(%file, nics = count, "nothing was kept: all is as the file says");
    }
    // What was kept could be loaded when it was kept; with other service tags it may not be.
    let Ok(before) = postern_network::spelling::load(kept, fabric.catalog()) else {
        return warn!(%file, "what was kept needs other service tags: its changes are not told");
    };
    let changes = before.diff(fabric.model());
    for change in &changes {
        info!(%file, "{change}");
    }
    info!(%file, changes = changes.len(), "started with what was kept and what the file says anew");
}
