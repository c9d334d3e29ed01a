//! Plugins that watch over people, and those with files of their own.

use std::fs;
use std::process::Command;

use super::{configure, install, install_as, skipped};
use crate::program::run;
use crate::world::World;

#[test]
fn access_lists_decide_who_may_do_what() {
    let world = World::new();
    if !install(&world, "dokku-community", "dokku-acl") {
        return;
    }
    world.folder("comm-acl", "hello");
    world.ssh(&["apps:create", "comm-acl"]).succeeded();
    world.make_key("bob");
    let public = fs::read(world.path("bob.pub")).unwrap();
    world.local(&["ssh-keys:add", "bob"], &public).succeeded();
    configure(
        &world,
        "acl",
        "export DOKKU_SUPER_USER=ada\nexport DOKKU_ACL_ALLOW_COMMAND_LINE=1\n\
         export DOKKU_ACL_USER_COMMANDS='apps:list'\n\
         export DOKKU_ACL_PER_APP_COMMANDS='urls git-receive-pack'\n",
    );
    let bob = |words: &[&str]| run(world.ssh_as("bob", &[], words), b"");
    let push = || {
        run(
            world.git_as("bob", "comm-acl", &["push", "sarsen", "main"]),
            b"",
        )
    };
    bob(&["apps:list"]).succeeded();
    for words in [&["config:show", "comm-acl"][..], &["urls", "comm-acl"]] {
        let refused = bob(words).failed().all();
        assert!(refused.contains("does not have permissions"), "{refused}");
    }
    assert!(push().failed().all().contains("Access denied"));
    // The lists are changed on the host only.
    let over_ssh = world.ssh(&["acl:add", "comm-acl", "bob"]).failed().all();
    assert!(over_ssh.contains("local dokku command"), "{over_ssh}");
    let local = |words: &[&str]| world.local(words, b"");
    local(&["acl:add", "comm-acl", "bob"]).succeeded();
    assert_eq!(
        local(&["acl:list", "comm-acl"]).succeeded().stdout.trim(),
        "bob"
    );
    assert_eq!(
        local(&["acl:allowed", "bob"]).succeeded().stdout.trim(),
        "comm-acl"
    );
    let report = local(&["acl:report", "comm-acl"]).succeeded().stdout;
    assert!(report.contains("comm-acl acl information"), "{report}");
    bob(&["urls", "comm-acl"]).succeeded();
    push().succeeded();
    bob(&["config:show", "comm-acl"]).failed();
    local(&["acl:remove", "comm-acl", "bob"]).succeeded();
    world.commit("comm-acl", "Once more");
    push().failed();
    // Whom the lists name as above them is not asked.
    world.ssh(&["config:show", "comm-acl"]).succeeded();
    world.push("comm-acl").succeeded();
    world
        .ssh(&["--force", "apps:destroy", "comm-acl"])
        .succeeded();
}

#[test]
fn host_keys_live_beside_apps() {
    let world = World::new();
    // Its commands have another name than its address.
    let name = ["--name", "hostkeys"];
    if !install_as(&world, "cedricziel", "dokku-hostkeys-plugin", &name) {
        return;
    }
    let home = world.daemon.data.join("git/.hostkeys");
    let ssh = |words: &[&str]| world.ssh(words).succeeded().all();
    ssh(&["apps:create", "comm-keys"]);
    assert!(home.join("comm-keys/.ssh/known_hosts").is_file());
    let key = "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGXb";
    ssh(&["hostkeys:add", "comm-keys", &format!("'{key}'")]);
    let shown = ssh(&["hostkeys:show", "comm-keys"]);
    assert!(shown.contains(key), "{shown}");
    ssh(&["hostkeys:delete", "comm-keys"]);
    let shown = ssh(&["hostkeys:show", "comm-keys"]);
    assert!(!shown.contains(key), "{shown}");
    ssh(&["--force", "apps:destroy", "comm-keys"]);
    assert!(!home.join("comm-keys/.ssh").exists());
}

#[test]
fn a_firewall_is_told_of_ports() {
    let world = World::new();
    if !install(&world, "dokku-community", "dokku-ufw") {
        return;
    }
    let ssh = |words: &[&str]| world.ssh(words).succeeded().all();
    world.folder("comm-ufw", "hello");
    ssh(&["apps:create", "comm-ufw"]);
    // The router's ports are not the app's.
    world.push("comm-ufw").succeeded();
    let refused = world.ssh(&["ufw:list", "comm-ufw"]).failed().all();
    assert!(refused.contains("no ports exposed"), "{refused}");
    let help = ssh(&["help", "--all"]);
    assert!(help.contains("ufw:open <app>"), "{help}");
    let mut which = Command::new("which");
    which.arg("ufw");
    if run(which, b"").code != 0 {
        skipped("The community plugin ufw, ports: there is no firewall ufw on this machine");
    }
}
