//! The way back is quick: nothing is built.

use std::time::{Duration, Instant};

use crate::world::World;

#[test]
fn the_release_before_serves_again() {
    let world = World::new();
    world.folder("back-shop", "hello");
    world.ssh(&["apps:create", "back-shop"]).succeeded();
    world
        .ssh(&["config:set", "back-shop", "GREETING=old"])
        .succeeded();
    let begun = Instant::now();
    world.push("back-shop").succeeded();
    println!("first push: {:.2} s", begun.elapsed().as_secs_f64());
    world.write("back-shop/version.txt", "two\n");
    world.commit("back-shop", "Worse");
    let begun = Instant::now();
    world.push("back-shop").succeeded();
    println!("second push: {:.2} s", begun.elapsed().as_secs_f64());
    world
        .ssh(&["config:set", "back-shop", "GREETING=new"])
        .succeeded();
    assert_eq!(body(&world, "/"), "hello from two\n");
    assert_eq!(body(&world, "/env/GREETING"), "new\n");

    // To a certain one: the image and the config of then.
    let took = roll_back(&world, &["rollback", "back-shop", "v1"]);
    assert_eq!(body(&world, "/"), "hello from one\n");
    assert_eq!(body(&world, "/env/GREETING"), "old\n");
    println!(
        "rollback to v1: {:.2} s from the command to its end",
        took.as_secs_f64()
    );

    // To the one before.
    let took = roll_back(&world, &["rollback", "back-shop"]);
    assert_eq!(body(&world, "/"), "hello from two\n");
    assert_eq!(body(&world, "/env/GREETING"), "new\n");
    println!(
        "rollback to the release before: {:.2} s",
        took.as_secs_f64()
    );
    world.settles_on("back-shop", &["back-shop.web.1"]);

    let begun = Instant::now();
    world.ssh(&["ps:restart", "back-shop"]).succeeded();
    println!("ps:restart: {:.2} s", begun.elapsed().as_secs_f64());

    world.ssh(&["rollback", "back-shop", "v99"]).failed();
    world.ssh(&["rollback", "back-shop", "two"]).failed();
    assert_eq!(body(&world, "/"), "hello from two\n");
}

fn roll_back(world: &World, words: &[&str]) -> Duration {
    let begun = Instant::now();
    world.ssh(words).succeeded();
    let took = begun.elapsed();
    // The aim is 2 s; this only tells a rollback from a build.
    assert!(took < Duration::from_secs(10), "{took:?}");
    took
}

fn body(world: &World, path: &str) -> String {
    let answer = world.get("back-shop", path).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}
