//! One server after the other at the same port.

use std::time::Duration;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::{World, question};
use crate::dns::{DnsListener, Upstreams};

#[tokio::test]
async fn what_is_asked_between_two_servers_is_answered_by_the_second() {
    let listener = DnsListener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let (udp, tcp) = listener.sockets().unwrap();
    let address = listener.address();
    let first = World::at(listener, Upstreams::These(Vec::new()));
    first.ask("node.sarsen.", RecordType::A).await;
    first.stop().await;
    let asked = question("web.service.sarsen.", RecordType::A);
    let bytes = asked.to_vec().unwrap();
    let datagram = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    datagram.send_to(&bytes, address).await.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = u16::try_from(bytes.len()).unwrap();
    stream.write_u16(length).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let second = DnsListener::from_sockets(udp, tcp).unwrap();
    let second = World::at(second, Upstreams::These(Vec::new()));
    let mut buffer = vec![0; 512];
    let heard = tokio::time::timeout(Duration::from_secs(5), datagram.recv(&mut buffer)).await;
    buffer.truncate(heard.unwrap().unwrap());
    let answer = Message::from_vec(&buffer).unwrap();
    assert_eq!(answer.metadata.id, asked.metadata.id);
    assert!(stream.read_u16().await.unwrap() > 0);
    second.stop().await;
    let other = DnsListener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let (udp, _) = other.sockets().unwrap();
    let (_, tcp) = DnsListener::bind(([127, 0, 0, 1], 0).into())
        .await
        .unwrap()
        .sockets()
        .unwrap();
    assert!(DnsListener::from_sockets(udp, tcp).is_err(), "two ports");
}

#[tokio::test]
async fn what_was_asked_before_the_end_is_answered() {
    let listener = DnsListener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    // It answers when we do.
    let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let servers = Upstreams::These(vec![upstream.local_addr().unwrap()]);
    let world = World::at(listener, servers);
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let asked = question("example.com.", RecordType::A);
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let bytes = asked.to_vec().unwrap();
    client.send_to(&bytes, world.address).await.unwrap();
    let mut buffer = vec![0; 512];
    let (length, peer) = upstream.recv_from(&mut buffer).await.unwrap();
    buffer.truncate(length);
    world.shutdown.cancel();
    // Who has just connected may still ask.
    let own = question("web.service.sarsen.", RecordType::A);
    let bytes = own.to_vec().unwrap();
    let length = u16::try_from(bytes.len()).unwrap();
    stream.write_u16(length).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    assert!(stream.read_u16().await.unwrap() > 0);
    let mut answer = Message::from_vec(&buffer).unwrap();
    answer.metadata.message_type = MessageType::Response;
    let answer = answer.to_vec().unwrap();
    upstream.send_to(&answer, peer).await.unwrap();
    let mut heard = vec![0; 512];
    let length = tokio::time::timeout(Duration::from_secs(5), client.recv(&mut heard)).await;
    heard.truncate(length.unwrap().unwrap());
    let heard = Message::from_vec(&heard).unwrap();
    assert_eq!(heard.metadata.id, asked.metadata.id);
    world.stop().await;
}
