//! What is found by filters, by nodes and through proxies, and what waits for more than an index.

use serde_json::{Value, json};

use super::{Reply, World};

async fn put(world: &World, path: &str, body: Value) {
    let reply = world.put(path, body.to_string()).await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
}

/// Two nodes beside this one, a service on each, and one here.
async fn filled() -> World {
    let world = World::new().await;
    for (node, address, os, version, status) in [
        ("far", "10.0.0.1", "linux", "1", "passing"),
        ("wide", "10.0.0.2", "plan9", "2", "critical"),
    ] {
        let check = json!({"Node": node, "CheckID": format!("{node}:web"), "Name": "alive", "Status": status, "ServiceID": "w"});
        let entry = json!({
            "Node": node, "Address": address, "NodeMeta": {"os": os},
            "Service": {"ID": "w", "Service": "web", "Tags": [format!("v{version}")], "Port": 80, "Meta": {"version": version}},
            "Check": check,
        });
        put(&world, "/v1/catalog/register", entry).await;
    }
    let here = json!({"Name": "mail", "Port": 25, "Check": {"TTL": "60s", "Status": "warning"}});
    put(&world, "/v1/agent/service/register", here).await;
    world
}

/// One field of every row, or of every entry.
fn each(reply: &Reply, pointer: &str) -> Vec<String> {
    assert_eq!(reply.status, 200, "{reply:?}");
    let found = reply.json();
    let rows: Vec<&Value> = match &found {
        Value::Array(rows) => rows.iter().collect(),
        Value::Object(entries) => entries.values().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => panic!("{found}"),
    };
    let fields = rows.iter().map(|row| row.pointer(pointer).unwrap());
    fields
        .map(|field| field.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn answers_are_sifted_by_filters() {
    let world = filled().await;
    for (path, filter, pointer, expected) in [
        (
            "catalog/nodes",
            "Meta.os == linux or Address == `10.0.0.2`",
            "/Node",
            &["far", "wide"][..],
        ),
        (
            "catalog/service/web",
            "ServiceMeta.version != 1",
            "/Node",
            &["wide"],
        ),
        (
            "catalog/service/web",
            "NodeMeta.os == plan9 and v1 in ServiceTags",
            "/Node",
            &[],
        ),
        (
            "health/service/web",
            "Node.Meta.os matches `^l`",
            "/Node/Node",
            &["far"],
        ),
        (
            "health/node/far",
            "ServiceName == web",
            "/CheckID",
            &["far:web"],
        ),
        (
            "health/checks/web",
            "Node != far",
            "/CheckID",
            &["wide:web"],
        ),
        (
            "health/state/any",
            "Status == critical",
            "/CheckID",
            &["wide:web"],
        ),
        ("agent/services", "Port == 25", "/Service", &["mail"]),
        ("agent/checks", "Status == passing", "/Name", &[]),
    ] {
        let filter = filter
            .replace(' ', "+")
            .replace('^', "%5E")
            .replace('`', "%60");
        let reply = world.get(&format!("/v1/{path}?filter={filter}")).await;
        assert_eq!(each(&reply, pointer), expected, "{path} {filter}");
    }
    let node = world.get("/v1/catalog/node/far?filter=v9+in+Tags").await;
    assert_eq!(node.json()["Services"], json!({}));
    assert_eq!(node.json()["Node"]["Node"], "far");
}

#[tokio::test]
async fn nodes_are_chosen_by_what_is_known_of_them() {
    let world = filled().await;
    for (path, pointer, expected) in [
        ("catalog/nodes", "/Node", &["far"][..]),
        ("catalog/service/web", "/Node", &["far"]),
        ("health/service/web", "/Node/Node", &["far"]),
        ("health/checks/web", "/Node", &["far"]),
        ("health/state/any", "/Node", &["far"]),
    ] {
        let reply = world.get(&format!("/v1/{path}?node-meta=os:linux")).await;
        assert_eq!(each(&reply, pointer), expected, "{path}");
    }
    let both = "/v1/catalog/services?node-meta=os:linux&node-meta=os:plan9";
    assert_eq!(world.get(both).await.json(), json!({}));
    let one = "/v1/catalog/services?node-meta=os:plan9";
    assert_eq!(world.get(one).await.json(), json!({"web": ["v2"]}));
}

#[tokio::test]
async fn proxies_are_found_by_what_they_lead_to() {
    let world = filled().await;
    let proxy = json!({"destinationservicename": "web", "Upstreams": [{"DestinationName": "db", "LocalBindPort": 9191}]});
    let entry = json!({"Name": "web-proxy", "Kind": "connect-proxy", "Port": 8001, "Proxy": proxy});
    put(&world, "/v1/agent/service/register", entry).await;
    let native = json!({"Name": "native", "Port": 9, "Connect": {"Native": true}});
    put(&world, "/v1/agent/service/register", native).await;
    let found = world.get("/v1/catalog/connect/web").await.json();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["ServiceKind"], "connect-proxy");
    assert_eq!(found[0]["ServiceProxy"]["DestinationServiceName"], "web");
    assert_eq!(
        found[0]["ServiceProxy"]["Upstreams"][0]["DestinationName"],
        "db"
    );
    let found = world.get("/v1/health/connect/web?passing").await.json();
    assert_eq!(found[0]["Service"]["Service"], "web-proxy");
    let found = world.get("/v1/health/connect/native").await.json();
    assert_eq!(found[0]["Service"]["Connect"], json!({"Native": true}));
    let agent = world.get("/v1/agent/service/web-proxy").await.json();
    assert_eq!(agent["Kind"], "connect-proxy");
    let world = world.restarted().await;
    let found = world.get("/v1/catalog/connect/web").await.json();
    assert_eq!(found.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_service_on_a_node_that_nobody_knows_makes_the_node() {
    let world = World::new().await;
    let entry =
        json!({"Node": "new", "SkipNodeUpdate": true, "Service": {"Service": "web", "Port": 1}});
    put(&world, "/v1/catalog/register", entry.clone()).await;
    let entry_of_node = json!({"Node": "new", "Address": "10.1.1.1"});
    put(&world, "/v1/catalog/register", entry_of_node).await;
    put(&world, "/v1/catalog/register", entry).await;
    let found = world.get("/v1/catalog/node-services/new").await.json();
    assert_eq!(found["Node"]["Address"], "10.1.1.1");
    assert_eq!(found["Services"][0]["Service"], "web");
    let nowhere = world.get("/v1/catalog/node-services/nowhere").await.json();
    assert_eq!(nowhere, json!({"Node": null, "Services": null}));
}

#[tokio::test]
async fn a_registration_is_one_change_or_none() {
    let world = World::new().await;
    let before = world.get("/v1/catalog/nodes").await.index();
    let mut entry = json!({
        "Node": "far", "Address": "10.0.0.1", "Service": {"Service": "web", "Port": 80},
        "Checks": [
            {"CheckID": "disk", "Status": "passing", "Output": "half full"},
            {"CheckID": "alive", "Status": "warning", "ServiceID": "web"},
            {"CheckID": "lost", "Status": "passing", "ServiceID": "nowhere"},
        ],
    });
    let refused = world.put("/v1/catalog/register", entry.to_string()).await;
    assert_eq!(refused.status, 500, "{refused:?}");
    let nodes = world.get("/v1/catalog/nodes").await;
    assert_eq!(
        (nodes.index(), nodes.json().as_array().unwrap().len()),
        (before, 1)
    );
    entry["Checks"].as_array_mut().unwrap().pop();
    put(&world, "/v1/catalog/register", entry.clone()).await;
    assert_eq!(world.get("/v1/catalog/nodes").await.index(), before + 1);
    let checks = world.get("/v1/health/node/far").await.json();
    for (place, status, output) in [(0, "warning", ""), (1, "passing", "half full")] {
        let check = &checks[place];
        assert_eq!(
            (&check["Status"], &check["Output"]),
            (&json!(status), &json!(output))
        );
        assert_eq!(check["CreateIndex"], before + 1);
    }
    put(&world, "/v1/catalog/register", entry.clone()).await;
    assert_eq!(
        world.get("/v1/catalog/nodes").await.index(),
        before + 1,
        "nothing is new"
    );
    entry["Checks"][0]["Status"] = json!("critical");
    put(&world, "/v1/catalog/register", entry).await;
    let worst = world.get("/v1/health/state/critical").await.json();
    assert_eq!(
        (&worst[0]["CheckID"], worst.as_array().unwrap().len()),
        (&json!("disk"), 1)
    );
}

#[tokio::test]
async fn what_nobody_changed_has_an_index_all_the_same() {
    let world = World::new().await;
    let nodes = world.get("/v1/catalog/nodes").await;
    assert!(nodes.index() > 1, "Consul's own tests wait for that");
    assert_eq!(nodes.json()[0]["ModifyIndex"], nodes.index());
    let nothing = world.get("/v1/health/service/none").await;
    assert_eq!(nothing.index(), nodes.index());
    let cached = world.get("/v1/catalog/service/consul?cached").await;
    assert_eq!(
        (cached.header("x-cache"), cached.header("age")),
        ("HIT", "0")
    );
    assert_eq!(nodes.header("x-cache"), "");
}

#[tokio::test]
async fn who_knows_the_hash_of_a_service_waits_for_another() {
    let world = filled().await;
    let first = world.get("/v1/agent/service/mail").await;
    let hash = first.header("x-consul-contenthash").to_owned();
    assert_eq!(first.json()["ContentHash"], hash);
    let path = format!("/v1/agent/service/mail?hash={hash}&wait=20s");
    let coming = async {
        for (name, port) in [("other", 1), ("mail", 26)] {
            let entry = json!({"Name": name, "Port": port});
            put(&world, "/v1/agent/service/register", entry).await;
        }
    };
    let (woken, ()) = tokio::join!(world.get(&path), coming);
    assert_eq!(woken.json()["Port"], 26);
    assert_ne!(woken.header("x-consul-contenthash"), hash);
    let waiting = world.get("/v1/agent/service/mail?hash=0&wait=20s").await;
    assert_eq!(
        waiting.json()["Port"],
        26,
        "another hash is answered at once"
    );
}

/// As Consul's clients do it.
fn index_of(id: &str) -> u64 {
    let digits: String = id.chars().filter(|c| *c != '-').collect();
    let (lower, upper) = digits.split_at(16);
    let half = |digits| u64::from_str_radix(digits, 16).unwrap();
    half(lower) ^ half(upper)
}

#[tokio::test]
async fn who_waits_for_an_event_is_woken_by_it() {
    let world = World::new().await;
    let fired = world.put("/v1/event/fire/deploy", "x").await.json();
    let listed = world.get("/v1/event/list").await;
    assert_eq!(listed.index(), index_of(fired["ID"].as_str().unwrap()));
    let path = format!("/v1/event/list?index={}&wait=20s", listed.index());
    let (woken, _) = tokio::join!(world.get(&path), world.put("/v1/event/fire/other", ""));
    assert_eq!(woken.json()[1]["Name"], "other");
    assert_ne!(woken.index(), listed.index());
}
