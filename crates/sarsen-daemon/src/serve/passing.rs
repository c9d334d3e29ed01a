//! Passing open sockets to another process, over a socket that both have: one frame each, with a name of fixed length.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// Longer than any name.
const NAME: usize = 16;
/// After the last socket.
const END: &str = "end";
/// Sockets that one daemon can have, and a few.
const MOST: usize = 4096;

/// Sends a socket by a name.
pub(super) fn send(to: &UnixStream, name: &str, socket: impl AsFd) -> io::Result<()> {
    let sockets = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::Error::other("there is no room for a socket"));
    }
    send_frame(to, name, &mut control)
}

/// There are no more.
pub(super) fn send_end(to: &UnixStream) -> io::Result<()> {
    send_frame(to, END, &mut SendAncillaryBuffer::default())
}

fn send_frame(
    to: &UnixStream,
    name: &str,
    control: &mut SendAncillaryBuffer<'_, '_, '_>,
) -> io::Result<()> {
    let mut frame = [0; NAME];
    let room = frame.get_mut(..name.len());
    room.ok_or(io::ErrorKind::InvalidInput)?
        .copy_from_slice(name.as_bytes());
    let sent = rustix::net::sendmsg(to, &[IoSlice::new(&frame)], control, SendFlags::NOSIGNAL)?;
    if sent == NAME {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

/// All sockets that come, with their names. Processes that we start do not inherit them.
pub(super) fn receive(from: &UnixStream) -> io::Result<Vec<(String, OwnedFd)>> {
    let mut received = Vec::new();
    while received.len() < MOST {
        let (name, socket) = receive_frame(from)?;
        match socket {
            Some(socket) => received.push((name, socket)),
            None if name == END => return Ok(received),
            None => break,
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

fn receive_frame(from: &UnixStream) -> io::Result<(String, Option<OwnedFd>)> {
    let mut frame = [0; NAME];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
    let mut into = [IoSliceMut::new(&mut frame)];
    let message = rustix::net::recvmsg(from, &mut into, &mut control, flags)?;
    if message.bytes != NAME {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut socket = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(sockets) = message {
            socket = socket.or(sockets.last());
        }
    }
    let name = String::from_utf8_lossy(&frame);
    Ok((name.trim_end_matches('\0').to_owned(), socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_listener_that_was_passed_accepts_what_was_waiting() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"x").unwrap();
        send(&ours, "http", &listener).unwrap();
        send(&ours, "own:control", &listener).unwrap();
        send_end(&ours).unwrap();
        drop(listener);
        let received = receive(&theirs).unwrap();
        let names: Vec<_> = received.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["http", "own:control"]);
        let (_, socket) = received.into_iter().next().unwrap();
        let listener = TcpListener::from(socket);
        assert_eq!(listener.local_addr().unwrap(), address);
        assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
    }

    #[test]
    fn what_breaks_off_or_makes_no_sense_is_an_error() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"too short").unwrap();
        drop(ours);
        assert!(receive(&theirs).is_err());
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(&[b'x'; NAME]).unwrap();
        assert!(receive(&theirs).is_err(), "a name without a socket");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(send(&ours, "a name that is too long", &listener).is_err());
    }
}
