//! Whether a model could be brought into force, without doing it.

use super::draft::Ground;
use super::{Fabric, FabricError, Host};
use postern_network::model::Model;

impl<H: Host> Fabric<H> {
    /// Checks as far as can be told beforehand whether a model can be brought into force; changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`Fabric::apply`], but for what only attaching tells.
    pub fn check(&self, model: &Model) -> Result<(), FabricError> {
        self.check_size(model)?;
        let learned = self.still_learned(&self.learned, model, &[]);
        let ground = Ground {
            learned: &learned,
            ..self.ground()
        };
        self.compile(ground, model, &[], &mut self.numbers.clone())?;
        Ok(())
    }

    /// Refuses another size of the flow table.
    pub(super) fn check_size(&self, model: &Model) -> Result<(), FabricError> {
        let (old, new) = (self.model.settings.max_flows, model.settings.max_flows);
        if old == new {
            return Ok(());
        }
        Err(FabricError::NeedsRestart {
            key: "settings.maxFlows",
            old,
            new,
        })
    }
}
