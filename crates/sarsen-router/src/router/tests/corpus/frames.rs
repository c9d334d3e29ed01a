//! HTTP/2 frame by frame, with headers as they are written here, right or wrong.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::kit::{SOON, Site};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RESET: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOODBYE: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// One frame as bytes.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [head.as_slice(), payload].concat()
}

/// A list of headers, each spelt out: no table, no Huffman code.
pub(super) fn block(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            number(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

// An integer in seven bits and as many bytes more as it takes.
fn number(block: &mut Vec<u8>, number: usize) {
    if number < 127 {
        block.push(u8::try_from(number).unwrap());
        return;
    }
    block.push(127);
    let mut rest = number - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// A frame that came.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) payload: Vec<u8>,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 200, with this body.
    Ok(String),
    /// Another status.
    No,
    /// The stream was reset.
    Reset,
    /// The whole connection is over.
    Gone,
}

/// A connection that has said hello.
pub(super) struct Wire2 {
    pub(super) stream: TcpStream,
}

impl Wire2 {
    pub(super) async fn connect(site: &Site) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", site.port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        stream.write_all(&hello).await.unwrap();
        Self { stream }
    }

    /// The next frame; `None` at the end of the connection.
    pub(super) async fn hear(&mut self) -> Option<Frame> {
        let reading = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            Some(Frame {
                kind: head[3],
                flags: head[4],
                payload,
            })
        };
        let heard = tokio::time::timeout(SOON, reading).await;
        heard.expect("silence on the wire")
    }

    /// What becomes of the one request of this connection.
    pub(super) async fn answer(&mut self) -> Answer {
        let (mut is_ok, mut body) = (false, Vec::new());
        while let Some(frame) = self.hear().await {
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => {
                    let yes = super::frames::frame(SETTINGS, ACK, 0, &[]);
                    self.stream.write_all(&yes).await.ok();
                }
                // The status comes first; 200 is the ninth in the static table.
                HEADERS => is_ok |= frame.payload.first() == Some(&0x88),
                DATA => body.extend(frame.payload),
                RESET => return Answer::Reset,
                GOODBYE => return Answer::Gone,
                _ => {}
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                return match is_ok {
                    true => Answer::Ok(String::from_utf8(body).unwrap()),
                    false => Answer::No,
                };
            }
        }
        Answer::Gone
    }

    /// Whether the other end hangs up; whatever it says until then is of no interest.
    pub(super) async fn is_hung_up_on(&mut self) -> bool {
        let mut rest = vec![0; 65536];
        let reading = async { while self.stream.read(&mut rest).await.is_ok_and(|n| n > 0) {} };
        tokio::time::timeout(SOON, reading).await.is_ok()
    }
}
