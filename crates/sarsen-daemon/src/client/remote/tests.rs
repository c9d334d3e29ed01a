//! Hosts, apps and words.

use super::line::{Line, Place, Said};

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn place(url: &str) -> Place {
    Place::of_url(url).unwrap()
}

/// What is sent from a checkout of `shop`.
fn sent(line: &str) -> String {
    Line::new(&Said::read(&words(line)), &place("dokku@host:shop"))
        .unwrap()
        .text()
}

#[test]
fn remotes_name_hosts_and_apps() {
    for (url, address, port, app) in [
        (
            "dokku@example.com:shop",
            "dokku@example.com",
            None,
            Some("shop"),
        ),
        (
            "dokku@example.com:/shop",
            "dokku@example.com",
            None,
            Some("shop"),
        ),
        (
            "ssh://dokku@example.com/shop",
            "dokku@example.com",
            None,
            Some("shop"),
        ),
        (
            "ssh://dokku@example.com:2222/shop.git",
            "dokku@example.com",
            Some(2222),
            Some("shop"),
        ),
        (
            "ssh://dokku@[::1]:2222/shop",
            "dokku@::1",
            Some(2222),
            Some("shop"),
        ),
        ("git@example.com:", "git@example.com", None, None),
    ] {
        let place = place(url);
        assert_eq!(place.address(), address, "{url}");
        assert_eq!((place.port, place.app.as_deref()), (port, app), "{url}");
    }
    for url in [
        "https://example.com/shop",
        "/srv/git:shop",
        "example.com",
        "dokku@-oProxyCommand=x:shop",
        "ssh://dokku@-oProxyCommand=x/shop",
        "ssh://dokku@host:0/shop",
        "-x@host:shop",
        "dokku@ho st:shop",
    ] {
        assert_eq!(Place::of_url(url), None, "{url}");
    }
    for url in [
        "dokku@host:shop",
        "ssh://dokku@host:22/shop",
        "ssh://dokku@[::1]/shop",
    ] {
        assert_eq!(place(url).url("shop"), url);
    }
}

#[test]
fn the_checkouts_app_goes_in_front() {
    for (said, expected) in [
        ("config:set A=1", "--app shop config:set A=1"),
        ("--app other config:set A=1", "--app other config:set A=1"),
        ("ps:scale web=2", "--app shop ps:scale web=2"),
        ("config:set shop A=1", "config:set shop A=1"),
        (
            "--quiet --remote x logs -n 5",
            "--quiet --app shop logs -n 5",
        ),
        ("apps:list", "apps:list"),
        ("apps:create blog", "apps:create blog"),
        ("apps:destroy --force", "apps:destroy --force shop"),
        ("config:set --global A=1", "config:set --global A=1"),
        ("--global config:set A=1", "config:set --global A=1"),
        ("domains:add-global x.test", "domains:add-global x.test"),
        ("plugin:list", "plugin:list"),
        ("help", "help"),
        ("ps:help", "ps:help"),
    ] {
        assert_eq!(sent(said), expected, "{said}");
    }
    let random = sent("apps:create");
    assert!(
        random.starts_with("apps:create ") && random.matches('-').count() == 2,
        "{random}"
    );
}

#[test]
fn words_arrive_as_they_were_said() {
    let argv: Vec<String> = ["run", "echo", "it's", "$HOME", "", "a b\n", "*"]
        .map(str::to_owned)
        .into();
    let line = Line::new(&Said::read(&argv), &place("dokku@host:shop")).unwrap();
    let back = sarsen_ssh::words_of(&line.text()).unwrap();
    assert_eq!(back.split_off_app(), (Some("shop"), &argv[..]));
}

trait SplitApp {
    fn split_off_app(&self) -> (Option<&str>, &[String]);
}

impl SplitApp for Vec<String> {
    fn split_off_app(&self) -> (Option<&str>, &[String]) {
        match self.as_slice() {
            [flag, app, rest @ ..] if flag == "--app" => (Some(app), rest),
            rest => (None, rest),
        }
    }
}
