//! Docker is away: routes to containers that answer stay, over restarts of the daemon too, and no others do.

use crate::cut::Way;
use crate::engine::Engine;
use crate::program::eventually;
use crate::world::World;

#[test]
fn routes_are_there_before_docker_is_and_go_with_their_containers() {
    let way = Way::new();
    let mut world = World::on(way.engine(), "");
    // What this test asks of it, it asks the engine itself.
    world.engine = Engine::shared();
    for app in ["lastgood-stays", "lastgood-ends"] {
        world.folder(app, "hello");
        world.push(app).succeeded();
    }
    way.cut();
    assert_eq!(world.get("lastgood-stays", "/").unwrap().status, 200);

    world.daemon.kill();
    world.engine.ask(&["kill", "lastgood-ends.web.1"]);
    world.start();
    let answer = world.get("lastgood-stays", "/").unwrap();
    assert_eq!(answer.body, "hello from one\n", "{}", answer.status);
    assert_eq!(world.get("lastgood-ends", "/").unwrap().status, 503);

    // The engine cannot tell of this end, and could give the address to another container any moment.
    world.engine.ask(&["kill", "lastgood-stays.web.1"]);
    eventually(|| {
        let answer = world.get("lastgood-stays", "/").unwrap();
        let is_gone = answer.head.contains("H10");
        is_gone.then_some(()).ok_or(answer.head)
    });

    way.mend();
    for app in ["lastgood-stays", "lastgood-ends"] {
        eventually(|| {
            let answer = world.get(app, "/").unwrap();
            let serves = answer.status == 200;
            serves.then_some(()).ok_or(answer.head)
        });
    }
}
