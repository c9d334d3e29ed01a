//! Clients that want to keep the router busy: memory stays bounded, others are served, and it comes to an end.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::kit::{Backend, SOON, Site, eventually};
use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RESET, SETTINGS, WINDOW_UPDATE,
    Wire2, block, frame,
};
use crate::{RouterSettings, TrustedProxies};

/// What one such client may cost, in KiB.
const BOUND: usize = 24 * 1024;

/// How long a flood goes on when nobody stops it.
const LONG: Duration = Duration::from_secs(2);

fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let words = line.unwrap().split_whitespace().nth(1);
    words.unwrap().parse().unwrap()
}

fn head() -> Vec<u8> {
    block(&[
        (b":method".to_vec(), b"GET".to_vec()),
        (b":scheme".to_vec(), b"http".to_vec()),
        (b":authority".to_vec(), b"app.test".to_vec()),
        (b":path".to_vec(), b"/".to_vec()),
    ])
}

enum Reads {
    Everything,
    Nothing,
}

/// How a flood ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// The router hung up.
    Stopped,
    /// It took no more from this client, or it went on taking.
    Endured,
}

/// Sends pieces for as long as they are taken; others are served all the while.
async fn flood(site: &Site, reads: Reads, mut piece: impl FnMut(u32) -> Option<Vec<u8>>) -> Ended {
    let before = memory();
    let wire = Wire2::connect(site).await;
    let (mut from, mut to) = wire.stream.into_split();
    let reading = async {
        let mut heard = vec![0; 65536];
        match reads {
            Reads::Everything => while from.read(&mut heard).await.is_ok_and(|n| n > 0) {},
            Reads::Nothing => tokio::time::sleep(LONG).await,
        }
    };
    let writing = async {
        let end = Instant::now() + LONG;
        let mut number = 0;
        while Instant::now() < end {
            let Some(bytes) = piece(number) else {
                break;
            };
            match tokio::time::timeout(LONG, to.write_all(&bytes)).await {
                Ok(Ok(())) => number += 1,
                Ok(Err(_)) => return Ended::Stopped,
                Err(_) => return Ended::Endured,
            }
        }
        Ended::Endured
    };
    let others = async {
        for _ in 0..20 {
            let answer = tokio::time::timeout(SOON, site.get("/")).await;
            assert_eq!(answer.expect("others wait").status(), 200);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let flooding = async {
        tokio::select! {
            () = reading => Ended::Stopped,
            ended = writing => ended,
        }
    };
    let (ended, ()) = tokio::join!(flooding, others);
    let grown = memory().saturating_sub(before);
    assert!(grown < BOUND, "memory grew by {grown} KiB");
    ended
}

#[tokio::test]
async fn rapid_reset() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let head = head();
    let ended = flood(&site, Reads::Everything, |number| {
        let stream = 1 + 2 * number;
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head);
        let reset = frame(RESET, 0, stream, &8u32.to_be_bytes());
        Some([open, reset].concat())
    })
    .await;
    assert_eq!(ended, Ended::Stopped);
    assert!(backend.connections() < 300, "{}", backend.connections());
    eventually(|| site.router.stats().connections == 0).await;
}

#[tokio::test]
async fn requests_that_are_taken_back_in_one_go() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let head = head();
    // A hundred requests, then a hundred resets, again and again.
    let ended = flood(&site, Reads::Everything, |number| {
        let streams = || (0..100).map(move |n| 1 + 2 * (number * 100 + n));
        let opened = streams().flat_map(|s| frame(HEADERS, END_HEADERS | END_STREAM, s, &head));
        let resets = streams().flat_map(|s| frame(RESET, 0, s, &8u32.to_be_bytes()));
        Some(opened.chain(resets).collect())
    })
    .await;
    assert_eq!(ended, Ended::Stopped);
}

#[tokio::test]
async fn a_head_without_end() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let head = head();
    let header = block(&[(b"x".to_vec(), vec![b'a'; 4000])]);
    let ended = flood(&site, Reads::Everything, |number| match number {
        0 => Some(frame(HEADERS, 0, 1, &head)),
        _ => Some(frame(CONTINUATION, 0, 1, &header)),
    })
    .await;
    assert_eq!(ended, Ended::Stopped);
    let ended = flood(&site, Reads::Everything, |number| match number {
        0 => Some(frame(HEADERS, 0, 1, &head)),
        _ => Some(frame(CONTINUATION, 0, 1, &[])),
    })
    .await;
    assert_eq!(ended, Ended::Stopped);
}

#[tokio::test]
async fn a_head_that_unfolds() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    // An entry of 4000 bytes for the table, and then nothing but references to it.
    let entry = [&[0x40, 1, b'x', 127, 0xa1, 0x1e], [b'a'; 4000].as_slice()].concat();
    let bomb = [head().as_slice(), &entry, &[0xbe; 12_000]].concat();
    let ended = flood(&site, Reads::Everything, |number| {
        Some(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1 + 2 * number,
            &bomb,
        ))
    })
    .await;
    assert_eq!(ended, Ended::Stopped);
    eventually(|| site.router.stats().connections == 0).await;
}

#[tokio::test]
async fn frames_that_ask_for_nothing() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]).repeat(100);
    let ping = frame(PING, 0, 0, b"12345678").repeat(100);
    for piece in [&settings, &ping] {
        // Whoever does not read the answers is not listened to any longer.
        flood(&site, Reads::Nothing, |_| Some(piece.clone())).await;
    }
    let head = head();
    let empty = frame(DATA, 0, 1, &[]).repeat(100);
    flood(&site, Reads::Everything, |number| match number {
        0 => Some(frame(HEADERS, END_HEADERS, 1, &head)),
        _ => Some(empty.clone()),
    })
    .await;
    let window = frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffffu32.to_be_bytes());
    let ended = flood(&site, Reads::Everything, |_| Some(window.clone())).await;
    assert_eq!(ended, Ended::Stopped);
    eventually(|| site.router.stats().connections == 0).await;
}

#[tokio::test]
async fn half_a_head_of_http2_is_not_waited_for() {
    let backend = Backend::echoing().await;
    let site = Site::start(RouterSettings {
        keep_alive_timeout: Duration::from_millis(150),
        ..RouterSettings::default()
    })
    .await;
    site.route(&[(1, backend.address)]);
    let mut wire = Wire2::connect(&site).await;
    let half = frame(HEADERS, 0, 1, &head());
    wire.stream.write_all(&half).await.unwrap();
    assert!(wire.is_hung_up_on().await);
}

/// As many clients as there are places, each sending a byte now and then.
#[tokio::test]
async fn slow_clients_do_not_keep_others_out() {
    let backend = Backend::echoing().await;
    let site = Site::start(RouterSettings {
        head_timeout: Duration::from_millis(400),
        max_connections: 64,
        ..RouterSettings::default()
    })
    .await;
    site.route(&[(1, backend.address)]);
    let before = memory();
    let drip = async {
        let mut slow = Vec::new();
        for _ in 0..200 {
            let mut wire = site.connect().await;
            wire.say("GET / HTTP/1.1\nHost: app.test\n").await;
            slow.push(wire);
        }
        loop {
            for wire in &mut slow {
                wire.stream.write_all(b"A: b\r\n").await.ok();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let others = async {
        eventually(|| site.router.stats().connections == 64).await;
        for _ in 0..3 {
            assert_eq!(site.get("/").await.status(), 200);
        }
        assert!(site.router.stats().connections <= 64);
    };
    tokio::select! {
        () = drip => {}
        () = others => {}
    }
    let grown = memory().saturating_sub(before);
    assert!(grown < BOUND, "memory grew by {grown} KiB");
    eventually(|| site.router.stats().connections == 0).await;
}

/// Nobody has more than his share, whatever he does with it; proxies in front have that of all their clients.
#[tokio::test]
async fn one_address_does_not_take_all_places() {
    let backend = Backend::echoing().await;
    let settings = RouterSettings {
        max_connections_per_ip: 3,
        ..RouterSettings::default()
    };
    let site = Site::start(settings.clone()).await;
    site.route(&[(1, backend.address)]);
    let mut own = Vec::new();
    for _ in 0..3 {
        own.push(site.connect().await);
    }
    eventually(|| site.router.stats().connections == 3).await;
    assert!(site.connect().await.is_over().await);
    assert_eq!(site.router.stats().refused_connections, 1);
    drop(own);
    eventually(|| site.router.stats().connections == 0).await;
    assert_eq!(site.get("/").await.status(), 200);

    let behind = Site::start(RouterSettings {
        trusted_proxies: TrustedProxies::parse(["127.0.0.0/8"]).unwrap(),
        ..settings
    })
    .await;
    let mut many = Vec::new();
    for _ in 0..5 {
        many.push(behind.connect().await);
    }
    eventually(|| behind.router.stats().connections == 5).await;
}

/// Those who come when most places are taken have less time to say something.
#[tokio::test]
async fn newcomers_hurry_when_it_is_crowded() {
    let backend = Backend::echoing().await;
    let site = Site::start(RouterSettings {
        head_timeout: Duration::from_secs(4),
        max_connections: 8,
        ..RouterSettings::default()
    })
    .await;
    site.route(&[(1, backend.address)]);
    let mut slow = Vec::new();
    for number in 1..=8 {
        let mut wire = site.connect().await;
        wire.say("GET / HTTP/1.1\n").await;
        slow.push(wire);
        eventually(|| site.router.stats().connections == number).await;
    }
    let start = Instant::now();
    let reply = slow[7].hear_response("").await;
    assert_eq!(reply.status(), 408);
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    // The first came when there was room.
    slow[0].say("Host: app.test\nConnection: close\n\n").await;
    assert_eq!(slow[0].hear_response("").await.status(), 200);
}
