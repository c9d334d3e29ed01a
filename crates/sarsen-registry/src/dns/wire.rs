//! Messages: which questions are taken, and how answers are made to fit.

use hickory_proto::ProtoError;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use super::zone::Answer;

/// The most that one UDP packet may carry to somebody who does not say more.
const PLAIN_UDP: u16 = 512;
/// The most that we send in a UDP packet, whatever the other side says.
const LARGE_UDP: u16 = 4096;
/// What we take in one, and say so: it fits into every network's packets.
const OUR_UDP: u16 = 1232;
/// The bytes of our own OPT record.
const OPT_LENGTH: u16 = 11;
const HEADER_LENGTH: usize = 12;

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// Whether other names may be asked of us, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recursion {
    Offered,
    Refused,
}

/// What arrived.
pub(super) enum Incoming {
    /// A question that deserves an answer.
    Question(Box<Question>),
    /// What is answered without looking any further.
    Reply(Vec<u8>),
    /// Nothing that anybody should answer.
    Noise,
}

/// One question.
pub(super) struct Question {
    message: Message,
    transport: Transport,
}

impl Incoming {
    pub(super) fn read(bytes: &[u8], transport: Transport) -> Self {
        let Some(header) = bytes.get(..HEADER_LENGTH) else {
            return Self::Noise;
        };
        let flags = header.get(2).copied().unwrap_or_default();
        // Answers to answers would go on for ever.
        if flags & 0x80 != 0 {
            return Self::Noise;
        }
        let id = u16::from_be_bytes([
            header.first().copied().unwrap_or_default(),
            header.get(1).copied().unwrap_or_default(),
        ]);
        let op_code = OpCode::from_u8(flags >> 3 & 0x0f);
        if op_code != OpCode::Query {
            return Self::error(id, op_code, ResponseCode::NotImp);
        }
        let Ok(message) = Message::from_vec(bytes) else {
            return Self::error(id, op_code, ResponseCode::FormErr);
        };
        let question = Question { message, transport };
        match question.objection() {
            None => Self::Question(Box::new(question)),
            Some(code) => question.refuse(code).map_or(Self::Noise, Self::Reply),
        }
    }

    fn error(id: u16, op_code: OpCode, code: ResponseCode) -> Self {
        let message = Message::error_msg(id, op_code, code);
        message.to_vec().map_or(Self::Noise, Self::Reply)
    }
}

impl Question {
    /// Why it is not taken.
    fn objection(&self) -> Option<ResponseCode> {
        let message = &self.message;
        let [query] = message.queries.as_slice() else {
            return Some(ResponseCode::FormErr);
        };
        if message.version() > 0 {
            return Some(ResponseCode::BADVERS);
        }
        // Whole zones are nobody's business, and ANY only serves those who want to flood others.
        let refused = matches!(
            query.query_type(),
            RecordType::ANY | RecordType::AXFR | RecordType::IXFR
        );
        let other_class = query.query_class() != DNSClass::IN;
        (refused || other_class).then_some(ResponseCode::Refused)
    }

    pub(super) fn query(&self) -> Option<&Query> {
        self.message.queries.first()
    }

    /// Whether it may be passed on.
    pub(super) fn wants_recursion(&self) -> bool {
        self.message.metadata.recursion_desired
    }

    /// Our own answer to it.
    pub(super) fn answer(&self, answer: Answer, recursion: Recursion) -> Option<Vec<u8>> {
        let mut reply = self.reply(answer.code);
        reply.metadata.authoritative = true;
        reply.metadata.recursion_available = recursion == Recursion::Offered;
        reply.answers = answer.answers;
        reply.authorities = answer.authorities;
        reply.additionals = answer.additionals;
        self.encode(reply)
    }

    /// That there will be none.
    pub(super) fn refuse(&self, code: ResponseCode) -> Option<Vec<u8>> {
        self.encode(self.reply(code))
    }

    fn reply(&self, code: ResponseCode) -> Message {
        let asked = &self.message.metadata;
        let mut reply = Message::new(asked.id, MessageType::Response, asked.op_code);
        reply.metadata.recursion_desired = asked.recursion_desired;
        reply.metadata.checking_disabled = asked.checking_disabled;
        reply.metadata.response_code = code;
        reply.queries.clone_from(&self.message.queries);
        reply
    }

    /// As bytes that fit. Additional records are left out before an answer is.
    fn encode(&self, mut reply: Message) -> Option<Vec<u8>> {
        let has_edns = self.message.edns.is_some();
        let limit = match self.transport {
            Transport::Tcp => u16::MAX,
            Transport::Udp if has_edns => self.message.max_payload().clamp(PLAIN_UDP, LARGE_UDP),
            Transport::Udp => PLAIN_UDP,
        };
        let room = if has_edns { limit - OPT_LENGTH } else { limit };
        let mut bytes = emit(&reply, room).ok()?;
        if is_truncated(&bytes) && !reply.additionals.is_empty() {
            reply.additionals.clear();
            bytes = emit(&reply, room).ok()?;
        }
        if has_edns {
            add_opt(&mut bytes, reply.metadata.response_code);
        }
        Some(bytes)
    }
}

fn emit(message: &Message, room: u16) -> Result<Vec<u8>, ProtoError> {
    let mut bytes = Vec::with_capacity(usize::from(PLAIN_UDP));
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(room);
    message.emit(&mut encoder)?;
    // The beginning of a record that did not fit is still there.
    encoder.trim();
    Ok(bytes)
}

pub(super) fn is_truncated(bytes: &[u8]) -> bool {
    bytes.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

/// The library leaves OPT out of truncated messages, where it belongs as well.
fn add_opt(bytes: &mut Vec<u8>, code: ResponseCode) {
    let [high, low] = OUR_UDP.to_be_bytes();
    bytes.extend([0, 0, 41, high, low, code.high(), 0, 0, 0, 0, 0]);
    if let Some(count) = bytes.get_mut(11) {
        // We never send 255 additional records: they would not fit beside their answers.
        *count = count.saturating_add(1);
    }
}
