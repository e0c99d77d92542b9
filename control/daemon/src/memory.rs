//! How the allocator of the C library shares out memory.

/// How many arenas there may be. Every change compiles a policy on one thread and frees the one before on
/// another; with an arena for each thread, as glibc has it by default, each grows to the size of the
/// largest policy that it ever held, and gives nothing back. Packets allocate nothing, so that sharing
/// costs them nothing.
#[cfg(target_env = "gnu")]
const ARENAS: libc::c_int = 2;

/// Lets threads share arenas. To be called before there is a second thread.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "there is no safe way to tell the C library")]
pub(crate) fn share_arenas() {
    // SAFETY: mallopt takes two numbers and touches nothing but glibc's own settings; no other thread
    // runs yet. What it does not take stays as it is.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS) };
}

/// Other C libraries have their own ways.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn share_arenas() {}
