//! Deploys under load: nobody who visits the app notices.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::web::Connection;
use crate::world::World;

const CONNECTIONS: usize = 6;
const DEPLOYS: usize = 20;

/// What a client saw.
#[derive(Debug, Default)]
struct Seen {
    gets: usize,
    posts: usize,
    /// Connections opened anew because the server said that it closes.
    reopened: usize,
    slowest: Duration,
    failures: Vec<String>,
}

/// Asks without a pause until told to stop, over one connection for as long as the server keeps it.
fn visit(address: SocketAddr, host: &str, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut connection = None;
    let mut count = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let posted = "x".repeat(1 + (count * 37) % 5000);
        let body = count.is_multiple_of(3).then_some(posted.as_str());
        let begun = Instant::now();
        let answer = match connection.take() {
            Some(open) => Ok(open),
            None => Connection::open(address),
        }
        .and_then(|mut open| Ok((open.request(host, "/load", body)?, open)));
        seen.slowest = seen.slowest.max(begun.elapsed());
        match answer {
            Ok((answer, open)) => {
                let expected = match body {
                    Some(body) => answer.body == format!("got {} bytes: {body}\n", body.len()),
                    None => answer.body.starts_with("hello from "),
                };
                if answer.status == 200 && expected {
                    match body {
                        Some(_) => seen.posts += 1,
                        None => seen.gets += 1,
                    }
                } else {
                    seen.failures
                        .push(format!("{} {}", answer.status, answer.body));
                }
                if answer.keep_alive {
                    connection = Some(open);
                } else {
                    seen.reopened += 1;
                }
            }
            Err(error) => seen
                .failures
                .push(format!("{error} ({} B posted)", body.map_or(0, str::len))),
        }
    }
    seen
}

#[test]
fn twenty_deploys_under_load_fail_no_request() {
    let world = World::new();
    world.folder("load-shop", "hello");
    world.push("load-shop").succeeded();
    let (address, host) = (world.daemon.address(), world.host("load-shop"));
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    let mut deploys = Vec::new();
    let seen: Vec<Seen> = thread::scope(|scope| {
        let visitors: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| visit(address, &host, &stop)))
            .collect();
        // Stops the visitors on panic as well, or the scope would wait for ever.
        let guard = StopOnDrop(&stop);
        for number in 1..=DEPLOYS {
            let begun = Instant::now();
            if number.is_multiple_of(4) {
                world.write("load-shop/version.txt", &format!("push {number}\n"));
                world.commit("load-shop", "Another version");
                world.push("load-shop").succeeded();
            } else {
                world.ssh(&["ps:restart", "load-shop"]).succeeded();
            }
            deploys.push(begun.elapsed());
        }
        drop(guard);
        visitors
            .into_iter()
            .map(|visitor| visitor.join().unwrap())
            .collect()
    });
    let took = begun.elapsed().as_secs_f64();
    let gets: usize = seen.iter().map(|seen| seen.gets).sum();
    let posts: usize = seen.iter().map(|seen| seen.posts).sum();
    let reopened: usize = seen.iter().map(|seen| seen.reopened).sum();
    let slowest = seen
        .iter()
        .map(|seen| seen.slowest)
        .max()
        .unwrap_or_default();
    let failures: Vec<&String> = seen.iter().flat_map(|seen| &seen.failures).collect();
    deploys.sort();
    println!(
        "{DEPLOYS} deploys in {took:.1} s (median {:.2} s under load); {CONNECTIONS} connections made {gets} GETs and \
         {posts} POSTs ({:.0}/s), {} failed; slowest answer {} ms; connections closed by us: {reopened}",
        deploys[DEPLOYS / 2].as_secs_f64(),
        (gets + posts) as f64 / took,
        failures.len(),
        slowest.as_millis(),
    );
    assert!(
        failures.is_empty(),
        "{:?}",
        &failures[..failures.len().min(10)]
    );
    assert!(gets > 100 && posts > 100, "that was no load");
    let answer = world.get("load-shop", "/").unwrap();
    assert_eq!(answer.body, format!("hello from push {DEPLOYS}\n"));
    world.settles_on("load-shop", &["load-shop.web.1"]);
}

pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
