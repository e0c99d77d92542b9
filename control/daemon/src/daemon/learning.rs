//! Keeps a follower at every gateway that learns.
//!
//! Looks again after every change of the model and of a device, and each second. Where the namespace of
//! a gateway is gone, the fabric takes the gateway's device out and withdraws what it taught; where
//! another one has come under its name, the gateway moves there and learns anew.

use super::{Daemon, blocking};
use postern_host::attach;
use postern_host::learn::{Follower, Source, Told};
use postern_network::model::GatewayRoutes;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tracing::{debug, warn};

/// How often namespaces are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Follows, until it is dropped.
pub(super) async fn learn(daemon: &Arc<Daemon>) {
    let mut learning = Learning::default();
    loop {
        let asked = Arc::clone(daemon);
        let looked = blocking(move || {
            learning.look(&asked);
            learning
        });
        learning = match looked.await {
            Ok(learning) => learning,
            Err(error) => {
                debug!(%error, "looking at gateways was interrupted");
                Learning::default()
            }
        };
        tokio::select! {
            () = daemon.live.changed.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// The followers.
#[derive(Debug, Default)]
struct Learning {
    followers: Vec<(Source, Follower)>,
}

impl Learning {
    fn look(&mut self, daemon: &Arc<Daemon>) {
        let mut sources = daemon.with(|fabric| fabric.learning());
        // Of a namespace that is gone or another one by now, the fabric takes the gateway out.
        sources.retain(|source| {
            attach::identify(&source.namespace).is_ok_and(|found| found == source.place)
        });
        self.followers
            .retain(|(source, follower)| sources.contains(source) && !follower.has_ended());
        for source in sources {
            if !self.followers.iter().any(|(known, _)| *known == source) {
                self.follow(source, daemon);
            }
        }
    }

    fn follow(&mut self, source: Source, daemon: &Arc<Daemon>) {
        let (told, from) = (Arc::downgrade(daemon), source.clone());
        match Follower::start(&source, move |routes| tell(&told, &from, routes)) {
            Ok(follower) => {
                debug!(gateway = source.gateway, source = %source.routes, "follows");
                self.followers.push((source, follower));
            }
            Err(error) => {
                let error = postern_network::chain(&error);
                warn!(
                    gateway = source.gateway,
                    error, "cannot follow the gateway's namespace"
                );
            }
        }
    }
}

/// Brings into force what a follower tells.
fn tell(daemon: &Weak<Daemon>, source: &Source, routes: GatewayRoutes) -> Told {
    let Some(daemon) = daemon.upgrade() else {
        return Told::Over;
    };
    match daemon.live.learn(source, routes) {
        Ok(Some(_)) => Told::Taken,
        Ok(None) => Told::Over,
        Err(error) => {
            let (gateway, error) = (&source.gateway, postern_network::chain(&error));
            warn!(gateway, error, "cannot bring the learned routes into force");
            Told::NotNow
        }
    }
}
