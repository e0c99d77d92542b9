//! What is said to a query: pure, from bytes to bytes.

use super::message::{Extended, Query, Transport, Unreadable, write};
use super::zone::{Found, Zone};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::Ipv4Addr;
use tracing::debug;

/// What becomes of a message.
#[derive(Debug)]
pub(super) enum Reply {
    /// These bytes are its answer.
    Answer(Vec<u8>),
    /// Somebody else has to be asked.
    Forward(Box<Query>),
    /// Nobody waits for an answer.
    Nothing,
}

/// How long the absence of a name may be kept.
const NEGATIVE_TTL: u32 = 10;

/// Returns what becomes of a message.
pub(super) fn reply(zone: &Zone, bytes: &[u8], asker: Ipv4Addr, transport: Transport) -> Reply {
    let query = match Query::read(bytes) {
        Ok(query) => query,
        Err(Unreadable::Refused(message)) => {
            return write(&message).map_or(Reply::Nothing, Reply::Answer);
        }
        Err(Unreadable::Ignored) => return Reply::Nothing,
    };
    let question = &query.question;
    let found = match (question.query_class(), question.query_type()) {
        (DNSClass::IN, RecordType::AXFR | RecordType::IXFR | RecordType::OPT) => None,
        (DNSClass::IN, kind) => Some(zone.lookup(question.name(), kind, asker)),
        _ => None,
    };
    debug!(%asker, name = %question.name(), kind = %question.query_type(), ?found, "asked");
    let message = match found {
        None => query.refusal(ResponseCode::Refused, Extended::NOT_SUPPORTED),
        Some(Found::Unplaced) => query.refusal(ResponseCode::Refused, Extended::UNPLACED),
        Some(Found::Unknown) if zone.forwarders.is_empty() => {
            query.refusal(ResponseCode::Refused, Extended::NO_FORWARDER)
        }
        Some(Found::Unknown) => return Reply::Forward(Box::new(query)),
        Some(Found::Address(address, ttl)) => positive(&query, ttl, RData::A(A(address))),
        Some(Found::Pointer(host, ttl)) => positive(&query, ttl, RData::PTR(PTR(host))),
        Some(Found::NoData(zone)) => negative(&query, ResponseCode::NoError, zone),
        Some(Found::NoName(zone)) => negative(&query, ResponseCode::NXDomain, zone),
    };
    let written = query.write(&message, transport);
    written.map_or(Reply::Nothing, Reply::Answer)
}

fn positive(query: &Query, ttl: u32, data: RData) -> Message {
    let mut message = query.response(ResponseCode::NoError);
    let name = query.question.name().clone();
    message.add_answer(Record::from_rdata(name, ttl, data));
    message
}

/// Says that there is nothing, with the record by which that may be kept (RFC 2308 section 3). It
/// never differs between two epochs: nothing here is transferred, so its number counts nothing.
fn negative(query: &Query, code: ResponseCode, zone: Name) -> Message {
    const SERIAL: u32 = 1;
    const REFRESH: i32 = 3600;
    const RETRY: i32 = 300;
    const EXPIRE: i32 = 86_400;
    let mailbox = zone.prepend_label("hostmaster");
    let soa = SOA::new(
        zone.clone(),
        mailbox.unwrap_or_else(|_| zone.clone()),
        SERIAL,
        REFRESH,
        RETRY,
        EXPIRE,
        NEGATIVE_TTL,
    );
    let mut message = query.response(code);
    message.add_authority(Record::from_rdata(zone, NEGATIVE_TTL, RData::SOA(soa)));
    message
}

#[cfg(test)]
mod tests;
