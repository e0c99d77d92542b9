//! Attachments: a port's TUN device in its network namespace, made, configured and changed.
//!
//! Namespaces are entered on a short-lived thread of their own, never on a runtime's worker, and
//! the thread ends with the call. Nothing here is persistent: addresses and routes belong to the
//! device, the device belongs to its descriptor, and the kernel removes all of it when that closes,
//! also when the process is killed. An existing device is never taken over and an existing default
//! route never replaced. The descriptor keeps the namespace alive while the port is attached.

mod events;
mod link;
mod namespace;
mod process;

pub use events::DeviceEvents;
pub use namespace::NamespaceId;

use link::Link;
use postern_dataplane::io::{IoError, Tun};
use postern_network::compile::PortSpec;
use postern_network::model::{NamespaceRef, Process};
use rustix::io::Errno;
use std::path::PathBuf;

/// An attached port.
#[derive(Debug)]
pub struct Attachment {
    /// The device. When it is dropped, the device vanishes with its addresses and routes.
    pub tun: Tun,
    /// Which namespace it is in.
    pub place: NamespaceId,
}

/// Why a port cannot be attached or changed.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The namespace is not there.
    #[error(
        "namespace `{namespace}` not found at {}: {reason}; accepted: a name that `ip netns list` \
         shows, the absolute path of a namespace file, or \"pid:N\" of a running process",
        path.display()
    )]
    NotFound {
        /// The namespace as it was named.
        namespace: NamespaceRef,
        /// Where it was looked for.
        path: PathBuf,
        /// What the kernel said.
        reason: Errno,
    },
    /// There is something, but it is no network namespace.
    #[error(
        "`{namespace}` at {} is not a network namespace; accepted: a name that `ip netns list` \
         shows, the absolute path of a namespace file, or \"pid:N\" of a running process",
        path.display()
    )]
    NotNetwork {
        /// The namespace as it was named.
        namespace: NamespaceRef,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The number that names the namespace is another process's than was meant.
    #[error(
        "namespace `{namespace}`: {how} when the binding was written; accepted: the process that it \
         was written for, or the binding written again"
    )]
    OtherProcess {
        /// The namespace.
        namespace: NamespaceRef,
        /// What was otherwise.
        how: &'static str,
    },
    /// The namespace of the name is another one by now.
    #[error("namespace `{namespace}` is another one by now")]
    Replaced {
        /// The namespace.
        namespace: NamespaceRef,
    },
    /// The namespace is there but not for this process.
    #[error("namespace `{namespace}` cannot be entered: {reason}; root or CAP_SYS_ADMIN is needed")]
    Enter {
        /// The namespace.
        namespace: NamespaceRef,
        /// What the kernel said.
        reason: Errno,
    },
    /// The helper thread or its link to the kernel could not be made.
    #[error("namespace `{namespace}`: cannot start the thread that configures it")]
    Helper {
        /// The namespace.
        namespace: NamespaceRef,
        /// What the system said.
        source: std::io::Error,
    },
    /// The device could not be made.
    #[error("namespace `{namespace}`")]
    Device {
        /// The namespace.
        namespace: NamespaceRef,
        /// Why.
        source: IoError,
    },
    /// The device would become the default route, and there is one.
    #[error(
        "namespace `{namespace}` has a default route already ({route}); accepted: a namespace \
         without one, as all its traffic is to pass through device `{device}`"
    )]
    DefaultRoute {
        /// The namespace.
        namespace: NamespaceRef,
        /// The route, as `ip route` would say it.
        route: String,
        /// The device that was to be made.
        device: String,
    },
    /// The device that is to be changed is not there any more.
    #[error("namespace `{namespace}`: device `{device}` is gone")]
    Gone {
        /// The namespace.
        namespace: NamespaceRef,
        /// The device.
        device: String,
    },
    /// A socket could not be made.
    #[error("namespace `{namespace}`: cannot listen on port {port}")]
    Listen {
        /// The namespace.
        namespace: NamespaceRef,
        /// The port.
        port: u16,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The kernel refused a step of the configuration.
    #[error("namespace `{namespace}`, device `{device}`: cannot {step}")]
    Configure {
        /// The namespace.
        namespace: NamespaceRef,
        /// The device.
        device: String,
        /// The step.
        step: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl AttachError {
    /// Returns whether there is nothing to attach to, at present.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. }
                | Self::NotNetwork { .. }
                | Self::OtherProcess { .. }
                | Self::Replaced { .. }
        )
    }

    /// Returns why a port has no device, in few words.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::NotFound { namespace, .. } => match namespace.pid() {
                Some(pid) => format!("no process {pid}"),
                None => format!("no namespace {namespace}{}", unmounted(namespace)),
            },
            Self::NotNetwork { namespace, .. } => {
                format!("{namespace} is not a network namespace")
            }
            Self::OtherProcess { namespace, how } => format!(
                "{namespace} is not what it was: {how} when the binding was written; write it again"
            ),
            other => postern_network::chain(other),
        }
    }
}

/// Says so if no namespace at all can have a name.
fn unmounted(namespace: &NamespaceRef) -> &'static str {
    let is_named = matches!(namespace.canonical(), NamespaceRef::Name(_));
    if is_named && !std::path::Path::new(namespace::NAMED).exists() {
        ", there is no /run/netns"
    } else {
        ""
    }
}

/// Returns the process that has this number now, if there is one.
#[must_use]
pub fn process(pid: u32) -> Option<Process> {
    process::process(pid)
}

/// Makes the device of a port, with so many queues, in its namespace and configures it: addresses,
/// MTU, up, routes.
///
/// # Errors
///
/// An [`AttachError`] that names the namespace and the step; nothing is left behind.
pub fn attach(spec: &PortSpec, queues: usize) -> Result<Attachment, AttachError> {
    namespace::enter_in(&spec.namespace, None, |place| {
        let runtime = runtime(spec)?;
        runtime.block_on(async {
            let mut link = Link::connect(spec)?;
            link.refuse_default_route().await?;
            let tun = Tun::open(&spec.device, spec.offload, queues);
            let tun = tun.map_err(|source| AttachError::Device {
                namespace: spec.namespace.clone(),
                source,
            })?;
            link.find().await?;
            set_switches(spec);
            link.converge(None).await?;
            Ok(Attachment { tun, place })
        })
    })
}

/// Changes addresses, MTU and routes of an attached device from what `old` says to what `new` says.
///
/// It looks at what is there before it acts, so it may be repeated; and after a failure half-way,
/// calling it with the two exchanged leads back. Addresses and routes of others on the device are
/// left alone.
///
/// # Errors
///
/// An [`AttachError`] that names the namespace and the step.
pub fn update(old: &PortSpec, new: &PortSpec) -> Result<(), AttachError> {
    namespace::enter(&new.namespace, || {
        let runtime = runtime(new)?;
        runtime.block_on(async {
            let mut link = Link::connect(new)?;
            link.find().await?;
            set_switches(new);
            link.converge(Some(old)).await.map(drop)
        })
    })
}

/// Puts back what was taken off an attached device, in this very namespace: addresses, MTU, routes, and
/// that it is up. Returns what that was.
///
/// # Errors
///
/// The device is gone, or an [`AttachError`] that names the step.
pub fn mend(spec: &PortSpec, place: NamespaceId) -> Result<Vec<String>, AttachError> {
    namespace::enter_in(&spec.namespace, Some(place), |_| {
        let runtime = runtime(spec)?;
        runtime.block_on(async {
            let mut link = Link::connect(spec)?;
            link.find().await?;
            set_switches(spec);
            link.converge(None).await
        })
    })
}

/// Runs `work` inside a namespace, on a thread that ends with it.
///
/// # Errors
///
/// [`AttachError::NotFound`], [`AttachError::NotNetwork`], [`AttachError::Enter`], or as `work`.
pub(crate) fn enter<R: Send>(
    namespace: &NamespaceRef,
    work: impl FnOnce() -> Result<R, AttachError> + Send,
) -> Result<R, AttachError> {
    namespace::enter(namespace, work)
}

/// Returns which namespace it is, to notice one that was removed and made again.
///
/// # Errors
///
/// [`AttachError::NotFound`] or [`AttachError::Enter`].
pub fn identify(namespace: &NamespaceRef) -> Result<NamespaceId, AttachError> {
    namespace::identify(namespace)
}

/// Runs `work` inside a namespace, on a thread of its own that ends with it. A socket that is made
/// there stays in the namespace wherever it is used afterwards.
///
/// # Errors
///
/// The namespace is not there or cannot be entered, or the thread cannot be made or panicked.
pub fn inside<R: Send>(
    namespace: &NamespaceRef,
    work: impl FnOnce() -> R + Send,
) -> Result<R, AttachError> {
    namespace::enter(namespace, || Ok(work()))
}

/// Checks that a namespace is there and is a network namespace. Without privileges the kind of a
/// mounted one cannot be seen and is believed; Postern's own is made when it is needed.
///
/// # Errors
///
/// [`AttachError::NotFound`], [`AttachError::NotNetwork`] or [`AttachError::Enter`].
pub fn check(namespace: &NamespaceRef) -> Result<(), AttachError> {
    if *namespace == NamespaceRef::Own {
        return Ok(());
    }
    namespace::open(namespace)?;
    match namespace::enter(namespace, || Ok(())) {
        Err(AttachError::Enter { .. }) => Ok(()),
        result => result,
    }
}

fn runtime(spec: &PortSpec) -> Result<tokio::runtime::Runtime, AttachError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|source| AttachError::Helper {
            namespace: spec.namespace.clone(),
            source,
        })
}

/// Sets what has no netlink message, in the namespace of the calling thread.
fn set_switches(spec: &PortSpec) {
    let device = &spec.device;
    // With the first address of a subnet the others would go too, and with the last one all routes.
    set_switch(&format!("ipv4/conf/{device}/promote_secondaries"), "1");
    // The kernel must send no neighbour and router messages of its own into the device: they would
    // only be counted as drops. It has no addresses and asks for none, also where IPv6 passes. A
    // kernel without IPv6 has no such files.
    for (switch, value) in [
        ("addr_gen_mode", "1"),
        ("autoconf", "0"),
        ("accept_ra", "0"),
        ("router_solicitations", "0"),
        ("disable_ipv6", if spec.has_identities { "0" } else { "1" }),
    ] {
        set_switch(&format!("ipv6/conf/{device}/{switch}"), value);
    }
}

fn set_switch(name: &str, value: &str) {
    let path = format!("/proc/sys/net/{name}");
    if let Err(error) = std::fs::write(&path, value) {
        tracing::debug!(path, %error, "a switch of the device stays as it is");
    }
}

#[cfg(test)]
mod tests;
