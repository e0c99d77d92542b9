//! Where a test holds a change that is compiled.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender};

/// Holds the next change, once.
#[derive(Debug, Default)]
pub(crate) struct Hold(Mutex<Option<(Sender<()>, Receiver<()>)>>);

impl Hold {
    /// Tells the next change to say that it is there, and to wait until it may go on.
    pub(crate) fn set(&self, there: Sender<()>, may_go: Receiver<()>) {
        *self.0.lock().unwrap() = Some((there, may_go));
    }

    /// Waits if a change is to be held.
    pub(super) fn held(&self) {
        if let Some((there, may_go)) = self.0.lock().unwrap().take() {
            there.send(()).unwrap();
            let _ = may_go.recv();
        }
    }
}
