//! Waits for the sweep of a new policy and tells what it found.

use postern_dataplane::engine::SweepReport;
use postern_dataplane::policy::Epoch;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use tracing::{debug, info, warn};

/// Logs the report when it comes, whether or not somebody waits for it, and passes it on.
///
/// The thread ends with the sweep, which takes well under a second, or with the worker.
pub(super) fn watch(sweep: Receiver<SweepReport>, epoch: Epoch) -> Receiver<SweepReport> {
    let (sender, passed_on) = channel();
    let wait = move || match sweep.recv() {
        Ok(report) if report.epoch == epoch => {
            info!(
                rebound = report.rebound,
                denied = report.denied,
                "applied epoch {}, kept {}, closed {}",
                report.epoch.0,
                report.kept,
                report.closed
            );
            // Nobody may be waiting any more.
            let _ = sender.send(report);
        }
        // A newer policy came first: its own sweep reports.
        Ok(_) | Err(_) => debug!(epoch = epoch.0, "the sweep was overtaken"),
    };
    if let Err(error) = thread::Builder::new()
        .name("postern-sweep".to_owned())
        .spawn(wait)
    {
        warn!(%error, epoch = epoch.0, "cannot wait for the sweep: its result is not logged");
    }
    passed_on
}
