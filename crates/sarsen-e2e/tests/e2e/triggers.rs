//! Every trigger that fires: a plugin writes down what it is told, while people do what they do.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::program::{Ended, run};
use crate::world::World;

/// Fire in tests of their own: they end what is asked for, or need an engine or a registry that behaves so.
const ELSEWHERE: &[&str] = &[
    "post-registry-login",
    "retire-container-failed",
    "user-auth",
    "user-auth-app",
];

/// Answers for all of them. What is asked for in the background goes to a place of its own.
const RECORD: &str = r#"#!/usr/bin/env bash
set -eo pipefail
name=${0##*/} file=$DOKKU_LIB_ROOT/data/told
[[ $name != cron-entries ]] || file=$file-later
{
  printf '%s' "$name"
  for word; do printf ' %s' "${word:-''}"; done
  while read -r line; do printf ' < %s' "$line"; done
  echo
} >> "$file"
"#;

/// What is done, and what plugins are told of it.
const STEPS: &[(&str, &[&str])] = &[
    ("local plugin:install-dependencies", &["dependencies"]),
    ("local plugin:update", &["update"]),
    ("ssh apps:create told", &["post-create told"]),
    (
        "push told",
        &[
            "core-post-extract told FOLDER REV",
            "post-extract told FOLDER REV",
            "builder-detect told FOLDER",
            "pre-receive-app told dockerfile FOLDER REV",
            "pre-build dockerfile told FOLDER",
            "pre-build-dockerfile told",
            "docker-args-build told dockerfile",
            "docker-args-process-build told dockerfile",
            "post-build dockerfile told FOLDER",
            "post-build-dockerfile told",
            "pre-release-builder dockerfile told dokku/told:latest",
            "pre-release-dockerfile told latest",
            "post-release-builder dockerfile told dokku/told:v1",
            "pre-deploy told v1",
            "docker-args-deploy told v1 web 1",
            "docker-args-process-deploy told dockerfile v1 web 1",
            "post-container-create app CONTAINER told deploy web",
            "check-deploy told CONTAINER web 5000 IP 1",
            "scheduler-post-deploy-process told web",
            "core-post-deploy told '' '' v1",
            "post-deploy told '' '' v1",
            "app-urls told urls",
            "deploy-source-set told git-push main",
        ],
    ),
    ("pull told", &["git-pre-pull told", "git-post-pull told"]),
    (
        "ssh run told true",
        &[
            "docker-args-run told v1",
            "docker-args-process-run told dockerfile v1",
            "scheduler-post-run docker-local told CONTAINER 0",
        ],
    ),
    ("ssh url told", &["app-urls told url"]),
    ("ssh report told", &["report told"]),
    (
        "ssh config:set --no-restart told B=secret A=secret",
        &["post-config-update told set B A"],
    ),
    (
        "ssh config:unset --no-restart told B",
        &["post-config-update told unset B"],
    ),
    (
        "local config:import --no-restart told {root}/vars",
        &["post-config-update told set C D"],
    ),
    (
        "ssh config:clear --no-restart told",
        &["post-config-update told clear"],
    ),
    (
        "ssh domains:add told more.e2e.test",
        &["post-domains-update told add more.e2e.test"],
    ),
    (
        "ssh domains:disable told",
        &["pre-disable-vhost told", "post-domains-update told disable"],
    ),
    (
        "ssh domains:enable told",
        &["pre-enable-vhost told", "post-domains-update told enable"],
    ),
    (
        "ssh ports:clear told",
        &["post-proxy-ports-update told clear"],
    ),
    ("ssh proxy:disable told", &["proxy-disable told"]),
    ("ssh proxy:enable told", &["proxy-enable told"]),
    (
        "local certs:add told {certificates}/first.crt {certificates}/first.key",
        &["post-certs-update told", "post-domains-update told"],
    ),
    (
        "ssh certs:remove told",
        &["post-certs-remove told", "post-domains-update told"],
    ),
    (
        "ssh buildpacks:set-property told stack sarsen/base:bookworm",
        &["post-stack-set told sarsen/base:bookworm"],
    ),
    ("ssh ps:stop told", &["post-stop told"]),
    (
        "ssh ps:start told",
        &[
            "pre-start told",
            "pre-deploy told v1",
            "docker-args-deploy told v1 web 1",
            "docker-args-process-deploy told dockerfile v1 web 1",
            "post-container-create app CONTAINER told deploy web",
            "check-deploy told CONTAINER web 5000 IP 1",
            "scheduler-post-deploy-process told web",
            "core-post-deploy told '' '' v1",
            "post-deploy told '' '' v1",
            "app-urls told urls",
        ],
    ),
    ("ssh ps:restore told", &["pre-restore"]),
    (
        "ssh git:from-image told dokku/told:v1",
        &[
            "pre-release-builder dockerfile told dokku/told:latest",
            "pre-release-dockerfile told latest",
            "post-release-builder dockerfile told dokku/told:v2",
            "pre-deploy told v2",
            "docker-args-deploy told v2 web 1",
            "docker-args-process-deploy told dockerfile v2 web 1",
            "post-container-create app CONTAINER told deploy web",
            "check-deploy told CONTAINER web 5000 IP 1",
            "scheduler-post-deploy-process told web",
            "core-post-deploy told '' '' v2",
            "post-deploy told '' '' v2",
            "app-urls told urls",
            "deploy-source-set told docker-image dokku/told:v1",
        ],
    ),
    (
        "ssh apps:clone --skip-deploy told told-copy",
        &[
            "post-create told-copy",
            "post-app-clone-setup told told-copy",
            "post-app-clone told told-copy",
        ],
    ),
    (
        "ssh apps:rename --skip-deploy told-copy told-other",
        &[
            "post-create told-other",
            "post-app-rename-setup told-copy told-other",
            "pre-delete told-copy latest",
            "post-delete told-copy latest",
            "post-app-rename told-copy told-other",
        ],
    ),
    (
        "ssh apps:destroy --force told-other",
        &[
            "pre-delete told-other latest",
            "post-delete told-other latest",
        ],
    ),
    ("ssh apps:create told-pack", &["post-create told-pack"]),
    ("local buildpacks:add told-pack {root}/pack", &[]),
    (
        "push told-pack",
        &[
            "core-post-extract told-pack FOLDER REV",
            "post-extract told-pack FOLDER REV",
            "builder-detect told-pack FOLDER",
            "pre-receive-app told-pack herokuish FOLDER REV",
            "pre-build herokuish told-pack FOLDER",
            "pre-build-buildpack told-pack FOLDER",
            "builder-create-dokku-image herokuish told-pack FOLDER sarsen/stack:latest",
            "builder-dokku-image herokuish told-pack FOLDER sarsen/stack:latest",
            "docker-args-build told-pack herokuish",
            "docker-args-process-build told-pack herokuish",
            "post-build herokuish told-pack FOLDER",
            "post-build-buildpack told-pack FOLDER",
            "pre-release-builder herokuish told-pack dokku/told-pack:latest",
            "pre-release-buildpack told-pack latest",
            "post-release-builder herokuish told-pack dokku/told-pack:v1",
            "pre-deploy told-pack v1",
            "docker-args-deploy told-pack v1 web 1",
            "docker-args-process-deploy told-pack herokuish v1 web 1",
            "post-container-create app CONTAINER told-pack deploy web",
            "check-deploy told-pack CONTAINER web 5000 IP 1",
            "scheduler-post-deploy-process told-pack web",
            "core-post-deploy told-pack '' '' v1",
            "post-deploy told-pack '' '' v1",
            "app-urls told-pack urls",
            "deploy-source-set told-pack git-push main",
        ],
    ),
    (
        "ssh memcached:create toldmem",
        &[
            "service-action pre-create memcached toldmem",
            "service-action post-create memcached toldmem",
            "service-action post-create-complete memcached toldmem",
        ],
    ),
    (
        "ssh memcached:link --no-restart toldmem told",
        &[
            "service-action pre-link memcached toldmem told",
            "service-action post-link memcached toldmem told",
            "service-action post-link-complete memcached toldmem told",
            "post-config-update told set MEMCACHED_URL",
        ],
    ),
    (
        "ssh memcached:unlink --no-restart toldmem told",
        &[
            "service-action pre-unlink memcached toldmem told",
            "service-action post-unlink memcached toldmem told",
            "service-action post-unlink-complete memcached toldmem told",
            "post-config-update told unset MEMCACHED_URL",
        ],
    ),
    (
        "ssh memcached:destroy --force toldmem",
        &[
            "service-action pre-delete memcached toldmem",
            "service-action post-delete memcached toldmem",
        ],
    ),
    ("local plugin:uninstall recorder", &["uninstall recorder"]),
];

/// A plugin that has a script for each trigger.
fn recorder(world: &World, triggers: &BTreeSet<&str>) {
    let manifest = "[plugin]\ndescription = \"of a test\"\nversion = \"0.1\"\n[plugin.config]\n";
    world.write("recorder/plugin.toml", manifest);
    for trigger in triggers {
        world.write(&format!("recorder/{trigger}"), RECORD);
    }
    let folder = world.path("recorder").display().to_string();
    world.local(&["plugin:install", &folder], b"").succeeded();
}

/// The triggers that the manual says fire.
fn documented() -> BTreeSet<&'static str> {
    let manual = include_str!("../../../../docs/triggers.md");
    let (_, rest) = manual.split_once("## These fire").unwrap();
    let (fire, _) = rest.split_once("`commands` is what").unwrap();
    fire.split('`').skip(1).step_by(2).collect()
}

fn carry_out(world: &World, line: &str) -> Ended {
    let certificates = concat!(env!("CARGO_MANIFEST_DIR"), "/../sarsen-control/tests/files");
    let root = world.root.path().display().to_string();
    let line = line.replace("{root}", &root);
    let line = line.replace("{certificates}", certificates);
    let words: Vec<_> = line.split(' ').collect();
    match words[0] {
        "ssh" => world.ssh(&words[1..]),
        "local" => world.local(&words[1..], b""),
        "push" => world.push(words[1]),
        "pull" => run(world.git(words[1], &["fetch", "sarsen"]), b""),
        other => panic!("nobody knows how to {other}"),
    }
}

/// What was told, with names for what nobody can foresee.
fn named(world: &World, line: &str) -> String {
    let hex = |word: &str, length| {
        word.len() == length && word.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let sources = world.daemon.data.join("cache/sources");
    let name = |word: &str| {
        if hex(word, 64) {
            "CONTAINER".to_owned()
        } else if hex(word, 40) {
            "REV".to_owned()
        } else if word.starts_with(&sources.display().to_string()) {
            "FOLDER".to_owned()
        } else if word.parse::<IpAddr>().is_ok() {
            "IP".to_owned()
        } else {
            word.to_owned()
        }
    };
    let words: Vec<_> = line.split(' ').map(name).collect();
    words.join(" ")
}

/// All that was told so far.
fn told(world: &World) -> Vec<String> {
    let text = fs::read_to_string(world.daemon.data.join("data/told")).unwrap_or_default();
    text.lines().map(|line| named(world, line)).collect()
}

/// What was told since then, as soon as it is what it should be, or after a while.
fn told_since(world: &World, before: usize, wanted: &[&str]) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let new = told(world).split_off(before);
        if new == wanted || begun.elapsed() > Duration::from_secs(3) {
            return new;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_trigger_fires_with_what_the_manual_says() {
    let world = World::new();
    world.folder("told", "hello");
    world.folder("told-pack", "hello");
    fs::remove_file(world.path("told-pack/Dockerfile")).unwrap();
    world.write("told-pack/Procfile", "web: perl server.pl\n");
    world.commit("told-pack", "No Dockerfile");
    world.write("pack/bin/detect", "#!/bin/sh\necho Plain\n");
    world.write("pack/bin/compile", "#!/bin/sh\n");
    world.write("pack/bin/release", "#!/bin/sh\necho '--- {}'\n");
    world.write("vars", "C=1\nD=2\n");
    let mut triggers = documented();
    for elsewhere in ELSEWHERE {
        assert!(triggers.remove(elsewhere), "{elsewhere}");
    }
    recorder(&world, &triggers);
    let mut seen = told_since(&world, 0, &["install"]);
    assert_eq!(seen, ["install"]);
    let mut wrong = Vec::new();
    for (line, wanted) in STEPS {
        let ended = carry_out(&world, line);
        let new = told_since(&world, seen.len(), wanted);
        if ended.code != 0 || new != *wanted {
            wrong.push(format!("{line}: {new:#?}\n{}", ended.all()));
        }
        seen.extend(new);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let later = world.daemon.data.join("data/told-later");
    let later = fs::read_to_string(later).unwrap();
    assert!(
        later
            .lines()
            .all(|line| line == "cron-entries docker-local")
    );
    let names = seen.iter().map(String::as_str).chain(later.lines());
    for name in names {
        triggers.remove(name.split(' ').next().unwrap());
    }
    assert!(triggers.is_empty(), "never fired: {triggers:?}");
}
