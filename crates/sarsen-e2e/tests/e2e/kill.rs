//! The daemon is killed at moments that no script can name.

use std::thread;
use std::time::{Duration, Instant};

use crate::program::{Running, eventually};
use crate::world::World;

/// A push has sent half of its pack.
#[test]
fn killed_while_receiving() {
    let mut world = World::new();
    world.folder("killpack-shop", "hello");
    world.push("killpack-shop").succeeded();
    let head = world.commit("killpack-shop", "Next");

    let mut client =
        Running::start(world.ssh_as("ada", &[], &["git-receive-pack", "killpack-shop"]));
    eventually(|| {
        client
            .output()
            .contains("refs/heads/main")
            .then_some(())
            .ok_or("no refs yet".to_owned())
    });
    let command = format!(
        "{} {head} refs/heads/other\0 report-status\n",
        "0".repeat(40)
    );
    client.write(format!("{:04x}{command}0000", command.len() + 4).as_bytes());
    // Two hundred objects are announced, and none of them comes.
    client.write(b"PACK\0\0\0\x02\0\0\0\xc8");
    let half = eventually(|| match world.leftovers() {
        some if some.is_empty() => Err("git has not begun to write".to_owned()),
        some => Ok(some),
    });
    println!("half received: {half:?}");
    world.daemon.kill();
    drop(client);
    world.start();
    eventually(|| match world.leftovers().as_slice() {
        [] => Ok(()),
        some => Err(format!("still there: {some:?}")),
    });
    assert_eq!(
        world.get("killpack-shop", "/").unwrap().body,
        "hello from one\n"
    );
    world.push("killpack-shop").succeeded();
}

/// Pushes are cut off at twelve points spread over their whole length, whatever happens there.
#[test]
fn killed_at_any_moment() {
    let mut world = World::new();
    world.folder("killany-shop", "hello");
    let app = "killany-shop";
    world.push(app).succeeded();
    let begun = Instant::now();
    world.commit(app, "Measured");
    world.push(app).succeeded();
    let length = begun.elapsed();
    let mut serving = "one".to_owned();
    for moment in 1..=12_u32 {
        let pushed = format!("version {moment}");
        world.write(&format!("{app}/version.txt"), &format!("{pushed}\n"));
        world.commit(app, &pushed);
        let mut push = world.start_push(app);
        push.close_stdin();
        thread::sleep(length * moment / 12);
        world.daemon.kill();
        let ended = push.wait();
        world.start();
        let body = world.get(app, "/").unwrap().body;
        let is_new = body == format!("hello from {pushed}\n");
        assert!(
            is_new || body == format!("hello from {serving}\n"),
            "neither the old nor the new one: {body}"
        );
        if ended.code == 0 {
            assert!(is_new, "an accepted push serves");
        }
        is_consistent(&world, app);
        println!(
            "killed after {:4} ms of {:4} ms: push {}, {} serves",
            (length * moment / 12).as_millis(),
            length.as_millis(),
            if ended.code == 0 {
                "accepted"
            } else {
                "refused"
            },
            if is_new {
                "the new release"
            } else {
                "the old release"
            },
        );
        if is_new {
            serving = pushed;
        }
    }
    world.write(&format!("{app}/version.txt"), "the last\n");
    world.commit(app, "The last");
    world.push(app).succeeded();
    assert_eq!(world.get(app, "/").unwrap().body, "hello from the last\n");
    assert!(length > Duration::ZERO);
}

fn is_consistent(world: &World, app: &str) {
    let releases = world.ssh(&["releases", app]).succeeded().stdout;
    assert_eq!(releases.matches("live").count(), 1, "{releases}");
    assert!(!releases.contains("pending"), "{releases}");
    let builds = world.ssh(&["builds:list", app]).succeeded().stdout;
    assert!(!builds.contains("running"), "{builds}");
    world.settles_on(app, &[&format!("{app}.web.1")]);
    nothing_is_left(world);
}

fn nothing_is_left(world: &World) {
    eventually(|| match world.leftovers().as_slice() {
        [] => Ok(()),
        some => Err(format!("still there: {some:?}")),
    });
}
