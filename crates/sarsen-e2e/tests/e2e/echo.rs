//! Clients of ports that carry bytes: they say something and hear the same.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

/// What a connection of its own answers.
pub(crate) fn tcp(port: u16, text: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(text)?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// What a client of its own is answered.
pub(crate) fn udp(port: u16, text: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect((Ipv4Addr::LOCALHOST, port))?;
    socket.send(text)?;
    let mut answer = vec![0; 65536];
    let bytes = socket.recv(&mut answer)?;
    answer.truncate(bytes);
    Ok(answer)
}
