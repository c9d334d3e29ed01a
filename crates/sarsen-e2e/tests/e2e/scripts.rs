//! Every script is a test of its own.

use std::fs;

use crate::script::play;
use crate::world::scripts;

macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                play(stringify!($name));
            }
        )*

        const ALL: &[&str] = &[$(stringify!($name)),*];
    };
}

scripts! {
    access_log
    addon_mariadb
    addon_memcached
    addon_postgres
    addon_rabbitmq
    addon_redis
    app_json
    apps
    archive
    attributes
    autocreation
    branches
    buildpack
    cancelled
    certificates
    checks
    clone
    clone_app
    config
    config_waits
    crash_loop
    cron
    daemon_restart
    deploy
    dns
    docker_options
    domains
    drains
    events
    fails_in_build
    fails_in_release
    fails_its_check
    fails_to_listen
    fails_to_listen_unchecked
    fails_to_run
    from_dokku
    from_image
    killed_after_route
    killed_in_build
    killed_in_check
    killed_in_release
    killed_in_retire
    load_image
    logs
    networks
    policy
    ports
    postdeploy
    protocols
    rename_and_destroy
    resources
    run
    scale
    shape_dockerfile
    shape_node
    shape_procfile
    shape_python
    shape_static
    sigterm_in_push
    skip_deploy
    ssh_keys
    stop_and_start
    storage
    storage_exec
    submodule
    sync
    two_pushes
    web_access
}

#[test]
fn every_script_is_played() {
    for entry in fs::read_dir(scripts()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(name) = name.strip_suffix(".txt") {
            assert!(
                ALL.contains(&name),
                "name {name} in tests/e2e/scripts.rs, or nobody plays it"
            );
        }
    }
}
