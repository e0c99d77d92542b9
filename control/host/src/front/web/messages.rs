//! AMQP and Kafka inside TLS that the front ends: judged once, by the server name.
//!
//! Nothing that begins so can be taken for a request of HTTP, so a backend of several accounts has no
//! other of them to be asked for.

use super::judge::{Case, Court};
use crate::front::activity::Watched;
use crate::front::backend;
use crate::front::drain::{Patience, drain};
use crate::front::places::Phase;
use crate::front::refuse::{Refuser, Spoken};
use crate::front::replay::Replay;
use std::io;
use tokio::io::{AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tracing::debug;

/// Serves a connection of which `bytes` have been read inside TLS.
pub(super) async fn serve(
    court: &Court,
    mut tls: TlsStream<Replay<TcpStream>>,
    spoken: Spoken,
    bytes: Vec<u8>,
) {
    let Some((door, name)) = &court.tls else {
        return;
    };
    let doors = court.shared.doors();
    let decided = court.decide(&doors, door, name.clone());
    drop(doors);
    let told = match decided {
        Ok(case) => match pass(court, &case, &mut tls, &bytes).await {
            Ok(()) => Ok(()),
            Err(error) => {
                debug!(resource = %door.name, %error, "a connection broke");
                let _ = tls.get_ref().0.get_ref().set_zero_linger();
                return;
            }
        },
        Err(cause) => {
            let refuser = Refuser {
                refusal: court.refusal(door, name.as_deref(), cause),
                dialect: door.dialect,
                certificates: &court.shared.certificates,
                limits: &court.shared.limits,
            };
            court.place.turn(Phase::Refused);
            refuser.messages(&mut tls, spoken, bytes).await
        }
    };
    if told.is_err() {
        court.shared.desk(&door.name).unheard.count();
    }
    let mut stream = tls.into_inner().0.into_inner();
    let _ = stream.shutdown().await;
    court.place.turn(Phase::Refused);
    drain(&mut stream, Patience::BRIEF).await;
}

async fn pass(
    court: &Court,
    case: &Case,
    tls: &mut TlsStream<Replay<TcpStream>>,
    bytes: &[u8],
) -> io::Result<()> {
    const BUFFER: usize = 16 * 1024;
    let open = backend::open(&case.door, &court.ends, &court.shared.certificates, &[]);
    let opened = timeout(court.shared.limits.connect, open).await;
    let mut backend = opened
        .unwrap_or_else(|late| Err(late.into()))
        .inspect_err(|_| {
            case.desk.backend_failed.count();
        })?;
    backend.write_all(bytes).await?;
    let activity = &court.place.activity;
    activity.touch();
    let mut client = Watched::new(tls, activity.clone());
    let mut gone = case.desk.gone.subscribe();
    tokio::select! {
        passed = copy_bidirectional_with_sizes(&mut client, &mut backend, BUFFER, BUFFER) => {
            let (to_backend, to_client) = passed?;
            case.desk.to_backend.add(to_backend.saturating_add(bytes.len() as u64));
            case.desk.to_client.add(to_client);
            Ok(())
        }
        _ = gone.wait_for(|is_gone| *is_gone) => Err(io::ErrorKind::ConnectionReset.into()),
        () = activity.idle(court.idle) => {
            case.desk.idle.count();
            Err(io::ErrorKind::TimedOut.into())
        }
    }
}
