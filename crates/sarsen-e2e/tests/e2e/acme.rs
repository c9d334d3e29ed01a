//! Certificates from an ACME authority, through the whole daemon: for an app, and for the dashboard's own name.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::pebble::Pebble;
use crate::program::{Ended, eventually, eventually_within, run};
use crate::world::World;

const DAY: u32 = 24 * 60 * 60;
/// Long enough to look at, short enough to see its renewal.
const MINUTE: u32 = 60;

/// A daemon that asks an authority; its own certificates are the only ones that the authority's root vouches for.
fn with_authority(validity: u32, more: &str) -> (World, Pebble) {
    let mut world = World::with("https.listen = \"127.0.0.1:{https}\"\n");
    let pebble = Pebble::start(world.root.path(), &world.daemon, validity);
    let configuration = world.daemon.configuration();
    let configuration = match more {
        "" => configuration,
        more => configuration.replace("web.listen = \"\"\n", more),
    };
    world
        .daemon
        .configure(&(configuration + &pebble.configuration()));
    world.daemon.stop();
    world.start();
    (world, pebble)
}

/// `curl`, for which only this root vouches.
fn curl(world: &World, root: &Path, host: &str, path: &str, options: &[&str]) -> Ended {
    let port = world.daemon.https;
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--cacert"])
        .arg(root);
    curl.args(["--resolve", &format!("{host}:{port}:127.0.0.1")]);
    curl.args(options);
    curl.arg(format!("https://{host}:{port}{path}"));
    run(curl, b"")
}

#[track_caller]
fn serves(world: &World, pebble: &Pebble, host: &str) {
    let answer = curl(world, &pebble.root(), host, "/", &["--fail"]).succeeded();
    assert_eq!(answer.stdout, "hello from one\n");
}

#[test]
fn an_apps_certificate_is_got_renewed_and_outlives_its_authority() {
    let (world, mut pebble) = with_authority(MINUTE, "");
    let app = "acme-shop";
    let host = world.host(app);
    world.folder(app, "hello");
    world.push(app).succeeded();
    // Nobody in the world finds this name, so the authority is not asked.
    let refused = world.ssh(&["letsencrypt:enable", app]).failed();
    assert!(refused.all().contains("set check to false"), "{refused:?}");
    let set = |key, value| {
        let words = ["letsencrypt:set", app, key, value];
        world.ssh(&words).succeeded();
    };
    set("check", "false");
    // Two thirds of the minute, which is the most.
    set("graceperiod", "3600");
    let enabled = world.ssh(&["letsencrypt:enable", app]).succeeded();
    let said = format!("Certificate retrieved for {host}");
    assert!(enabled.stdout.contains(&said), "{enabled:?}");
    serves(&world, &pebble, &host);
    let plain = world.get(app, "/").unwrap();
    assert_eq!(plain.status, 301, "{}", plain.head);
    let early = world.ssh(&["letsencrypt:auto-renew"]).succeeded();
    assert!(early.stdout.contains("No certificate is due"), "{early:?}");

    let shown = || {
        world
            .local(&["certs:show", app, "crt"], b"")
            .succeeded()
            .stdout
    };
    let first = shown();
    eventually_within(Duration::from_secs(90), || {
        let renewed = world.ssh(&["letsencrypt:auto-renew", app]).succeeded();
        // The daemon may have been the first to see that it is due.
        let is_renewed = renewed.stdout.contains("Renewed") || shown() != first;
        is_renewed.then_some(()).ok_or(renewed.all())
    });
    assert_ne!(shown(), first);
    serves(&world, &pebble, &host);

    pebble.stop();
    world
        .ssh(&["domains:add", app, "also.e2e.test"])
        .succeeded();
    let away = world.ssh(&["letsencrypt:auto-renew", app]).failed();
    let reason = "The certificate authority cannot be reached";
    assert!(away.all().contains(reason), "{away:?}");
    let listed = world.ssh(&["letsencrypt:list"]).succeeded().all();
    assert!(
        listed.contains(reason) && listed.contains("The next try is in"),
        "{listed}"
    );
    serves(&world, &pebble, &host);

    // It knows nobody any more, and another root vouches for what it gives.
    pebble.run();
    world.ssh(&["letsencrypt:auto-renew", app]).succeeded();
    for host in [host.as_str(), "also.e2e.test"] {
        serves(&world, &pebble, host);
    }
    let listed = world.ssh(&["letsencrypt:list"]).succeeded().all();
    assert!(!listed.contains(reason), "{listed}");
}

#[test]
fn the_dashboards_name_has_a_certificate_and_lets_people_in() {
    let host = "dash.e2e.test";
    let web = format!("web.listen = \"127.0.0.1:0\"\nweb.host = \"{host}\"\n");
    let (mut world, pebble) = with_authority(DAY, &web);
    let port = world.daemon.https;
    let ask = |world: &World, path: &str, options: &[&str]| {
        curl(world, &pebble.root(), host, path, options)
    };
    eventually(|| {
        let asked = ask(&world, "/", &[]);
        (asked.code == 0).then_some(()).ok_or(asked.all())
    });
    let plain = world.get(host, "/").unwrap();
    let to = format!("https://{host}:{port}/");
    assert!(
        (301..=308).contains(&plain.status) && plain.head.contains(&to),
        "{}",
        plain.head
    );
    let code = &["--output", "/dev/null", "--write-out", "%{http_code}"];
    let stranger = ask(&world, "/", code).succeeded().stdout;
    assert_ne!(stranger, "200");

    let link = world.ssh(&["dashboard:login"]).succeeded().stdout;
    let start = format!("https://{host}:{port}");
    let path = link
        .trim()
        .strip_prefix(&start)
        .expect("it leads to the name");
    let jar = world.path("jar").display().to_string();
    let signed_in = ask(&world, path, &["--cookie-jar", &jar, "--include"]).succeeded();
    let cookie = signed_in.stdout.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("set-cookie").then_some(value)
    });
    let cookie = cookie.unwrap_or_else(|| panic!("no cookie: {signed_in:?}"));
    assert!(
        cookie.starts_with("__Host-sarsen=") && cookie.contains("; Secure; Path=/; HttpOnly"),
        "{cookie}"
    );
    let let_in = [["--cookie", &jar].as_slice(), code].concat();
    assert_eq!(ask(&world, "/", &let_in).succeeded().stdout, "200");
    let again = ask(&world, path, code).succeeded().stdout;
    assert_ne!(again, "303", "a link is good once");

    // The certificate is kept, and so is the session.
    let file = world.daemon.data.join("dashboard/certificate.pem");
    let before = std::fs::read_to_string(&file).unwrap();
    world.daemon.stop();
    world.start();
    assert_eq!(ask(&world, "/", &let_in).succeeded().stdout, "200");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
}
