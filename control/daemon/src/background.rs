//! Work that takes a processor for a while.

use rustix::process::setpriority_process;
use std::io;
use std::thread;
use tokio::sync::oneshot;
use tracing::debug;

/// How far behind everything else such work comes, as `nice` counts it.
const NICE: i32 = 10;

/// Does something on a thread of its own, of this name, which lets all others go first.
///
/// # Errors
///
/// There is no thread for it, or it panicked.
pub(crate) async fn in_background<R: Send + 'static>(
    name: &str,
    act: impl FnOnce() -> R + Send + 'static,
) -> io::Result<R> {
    let (told, heard) = oneshot::channel();
    let work = move || {
        // Of this thread alone; a thread of the runtime's pool could not go back.
        if let Err(error) = setpriority_process(None, NICE) {
            debug!(%error, "a thread keeps its priority");
        }
        // Who asked may have gone.
        let _ = told.send(act());
    };
    thread::Builder::new().name(name.to_owned()).spawn(work)?;
    heard.await.map_err(io::Error::other)
}
