//! DNS messages: reading queries that anybody may have sent, and writing answers that fit.
//!
//! RFC 1035 section 4, RFC 2308 (negative answers), RFC 6891 (EDNS), RFC 8914 (extended errors),
//! RFC 9619 (one question). Names are written as they were asked, case and all, because some
//! clients choose the case at random and check it (`draft-vixie-dnsext-dns0x20`).

use hickory_proto::ProtoError;
use hickory_proto::op::{
    Edns, Header, Message, MessageType, OpCode, Query as Question, ResponseCode,
};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// How a query came and its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// One datagram each.
    Udp,
    /// A stream of messages with their lengths in front.
    Tcp,
}

/// The largest datagram that is sent or announced: it passes every path unfragmented.
pub(super) const MAX_UDP: u16 = 1232;

/// The largest query that is read.
pub(super) const MAX_QUERY: usize = 4096;

/// The largest answer over UDP to somebody who does not say what he takes.
const PLAIN_UDP: u16 = 512;

/// The most records behind the question: EDNS, and a signature that is not looked at.
const MOST_ADDITIONAL: u16 = 2;

/// A query that can be answered.
#[derive(Clone, Debug)]
pub(super) struct Query {
    header: Header,
    /// What is asked.
    pub(super) question: Question,
    /// The octets of the message that hold the question.
    pub(super) question_end: usize,
    edns: Option<Edns>,
}

/// Why a message is not looked up.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is no query, or too short to say whose: nobody waits for an answer.
    Ignored,
    /// It is answered with an error.
    Refused(Box<Message>),
}

impl Query {
    /// Reads a query.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut decoder = BinDecoder::new(bytes);
        let header = Header::read(&mut decoder).map_err(|_| Unreadable::Ignored)?;
        if header.message_type != MessageType::Query {
            // Answering answers could go on for ever.
            return Err(Unreadable::Ignored);
        }
        let refuse = |code| Unreadable::Refused(Box::new(bare(&header, code)));
        if header.op_code != OpCode::Query {
            return Err(refuse(ResponseCode::NotImp));
        }
        let counts = header.counts;
        let is_plain = counts.queries == 1 && counts.answers == 0 && counts.authorities == 0;
        // Before the records are read, so that a forged count reserves nothing.
        if !is_plain || counts.additionals > MOST_ADDITIONAL || bytes.len() > MAX_QUERY {
            return Err(refuse(ResponseCode::FormErr));
        }
        let malformed = |_| refuse(ResponseCode::FormErr);
        let question = Question::read(&mut decoder).map_err(malformed)?;
        let question_end = decoder.index();
        let count = counts.additionals.into();
        let (_, edns, _) =
            Message::read_records(&mut decoder, count, true, header.op_code).map_err(malformed)?;
        if !decoder.is_empty() {
            return Err(refuse(ResponseCode::FormErr));
        }
        let query = Self {
            header,
            question,
            question_end,
            edns,
        };
        if query.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            let message = query.response(ResponseCode::BADVERS);
            return Err(Unreadable::Refused(Box::new(message)));
        }
        Ok(query)
    }

    /// Returns the number by which the asker knows the answer.
    pub(super) fn id(&self) -> u16 {
        self.header.id
    }

    /// Returns the beginning of an answer.
    pub(super) fn response(&self, code: ResponseCode) -> Message {
        let mut message = bare(&self.header, code);
        message.add_query(self.question.clone());
        if let Some(asked) = &self.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(MAX_UDP);
            edns.set_dnssec_ok(asked.flags().dnssec_ok);
            message.set_edns(edns);
        }
        message
    }

    /// Returns an answer without records that says why there are none, to those who can read it.
    pub(super) fn refusal(&self, code: ResponseCode, why: Extended) -> Message {
        let mut message = self.response(code);
        if let Some(edns) = &mut message.edns {
            let mut data = why.code.to_be_bytes().to_vec();
            data.extend_from_slice(why.text.as_bytes());
            edns.options_mut().insert(EdnsOption::Unknown(EDE, data));
        }
        message
    }

    /// Returns the most octets that an answer may have.
    pub(super) fn limit(&self, transport: Transport) -> usize {
        match (transport, &self.edns) {
            (Transport::Tcp, _) => u16::MAX.into(),
            (Transport::Udp, None) => PLAIN_UDP.into(),
            (Transport::Udp, Some(edns)) => edns.max_payload().clamp(PLAIN_UDP, MAX_UDP).into(),
        }
    }

    /// Writes an answer, cut to what may be sent.
    pub(super) fn write(&self, message: &Message, transport: Transport) -> Option<Vec<u8>> {
        let bytes = write(message)?;
        if bytes.len() <= self.limit(transport) {
            Some(bytes)
        } else {
            write(&message.truncate())
        }
    }

    /// Cuts somebody else's answer to what may be sent: then without records, and marked so that
    /// the asker comes again over TCP.
    pub(super) fn fit(&self, answer: Vec<u8>, transport: Transport) -> Option<Vec<u8>> {
        if answer.len() <= self.limit(transport) {
            return Some(answer);
        }
        let code = answer.get(3).map_or(0, |flags| flags & 0xf);
        write(&self.response(ResponseCode::from_low(code)).truncate())
    }
}

/// The number of the option that says more than a response code does.
const EDE: u16 = 15;

/// More than a response code says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extended {
    code: u16,
    text: &'static str,
}

impl Extended {
    /// The name may exist, but nobody who could know it is asked.
    pub(super) const NO_FORWARDER: Self = Self {
        code: 20,
        text: "not a name of this configuration, and dns.forwarders is empty",
    };
    /// The name is inside a network, and it is not known whether the asker is in that one.
    pub(super) const UNPLACED: Self = Self {
        code: 18,
        text: "the asker's address does not tell its virtual network",
    };
    /// A class other than that of the Internet, or a transfer.
    pub(super) const NOT_SUPPORTED: Self = Self {
        code: 21,
        text: "only queries for names of the Internet are answered",
    };
    /// No forwarder gave an answer.
    pub(super) const NO_ANSWER: Self = Self {
        code: 22,
        text: "no forwarder answered",
    };
    /// The asker waits for too many answers, or all askers together do.
    pub(super) const TOO_MANY: Self = Self {
        code: 0,
        text: "too many queries wait for an answer",
    };
}

/// Returns an answer without even the question.
fn bare(header: &Header, code: ResponseCode) -> Message {
    let mut message = Message::error_msg(header.id, header.op_code, code);
    message.metadata.recursion_desired = header.recursion_desired;
    // As on the platform, whose resolver looks everything up.
    message.metadata.recursion_available = true;
    message.metadata.checking_disabled = header.checking_disabled;
    message
}

/// Writes a message of ours.
pub(super) fn write(message: &Message) -> Option<Vec<u8>> {
    let written: Result<_, ProtoError> = message.to_vec();
    if let Err(error) = &written {
        tracing::warn!(%error, "cannot write a DNS answer");
    }
    written.ok()
}

#[cfg(test)]
mod tests;
