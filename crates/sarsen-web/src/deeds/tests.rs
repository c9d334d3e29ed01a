//! Deeds become the commands that they say, and nothing else.

use std::collections::HashSet;

use super::*;

fn filled(name: &str, fields: &[(&str, &str)]) -> Result<Filled, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let fields: Vec<_> = [("app", "shop")].iter().chain(fields).map(owned).collect();
    fill(find(name).unwrap(), &fields)
}

#[test]
fn fields_become_words() {
    for (name, fields, line) in [
        ("restart", &[][..], "sarsen ps:restart shop"),
        (
            "restart",
            &[("process", "web")],
            "sarsen ps:restart shop web",
        ),
        (
            "scale",
            &[("web", "2"), ("csrf", "x"), ("worker", "")],
            "sarsen ps:scale shop web=2",
        ),
        (
            "run",
            &[("command", "echo a && rake \"b c\" | wc -c")],
            "sarsen run --no-tty shop -- 'echo a && rake \"b c\" | wc -c'",
        ),
        (
            "limit",
            &[("memory", "64m")],
            "sarsen resource:limit --memory=64m shop",
        ),
        (
            "destroy",
            &[("confirm", "shop")],
            "sarsen --force apps:destroy shop",
        ),
        (
            "addon-link",
            &[("kind", "redis"), ("name", "r")],
            "sarsen redis:link r shop",
        ),
        (
            "storage-mount",
            &[("source", "/a"), ("path", "/b")],
            "sarsen storage:mount shop /a:/b",
        ),
        (
            "config-unset",
            &[("key", "A B"), ("restart", "next")],
            "sarsen config:unset --no-restart shop A B",
        ),
    ] {
        assert_eq!(filled(name, fields).unwrap().shown, line);
    }
    let set = filled("config-set", &[("text", "A=s3cret\r\n")]).unwrap();
    assert_eq!(set.stdin, b"A=s3cret\n");
    assert!(!set.shown.contains("s3cret") && !set.argv.iter().any(|word| word.contains("s3cret")));
}

#[test]
fn nothing_is_smuggled_in() {
    for (name, fields) in [
        ("create", &[("name", "--global")][..]),
        ("rollback", &[("release", "--x")]),
        ("config-reveal", &[("key", "--quoted")]),
        ("storage-mount", &[("source", "-v"), ("path", "/b")]),
        ("addon-create", &[("kind", "--force"), ("name", "x")]),
        ("from-image", &[("image", "a\nb")]),
        ("run", &[("command", "")]),
        ("destroy", &[("confirm", "other")]),
        ("destroy", &[]),
        ("scale", &[]),
        ("config-set", &[]),
    ] {
        assert!(filled(name, fields).is_err(), "{name} {fields:?}");
    }
    let scale = filled("scale", &[("--all", "2")]);
    assert!(scale.is_err(), "{scale:?}");
}

#[test]
fn pages_show_the_line_before_it_is_filled() {
    let line = |name, known: &[(&str, &str)]| super::line(find(name).unwrap(), known);
    assert_eq!(line("rollback", &[("app", "shop")]), "sarsen rollback shop");
    assert_eq!(
        line("scale", &[("app", "shop")]),
        "sarsen ps:scale shop <process>=<count>"
    );
    assert_eq!(
        line("domain-add", &[("app", "shop")]),
        "sarsen domains:add shop <domain>"
    );
    assert_eq!(
        line("destroy", &[("app", "shop")]),
        "sarsen --force apps:destroy shop"
    );
}

/// The route asks for at least what the command asks for.
#[test]
fn every_deed_is_a_command_of_the_table_with_the_same_action() {
    let mut names = HashSet::new();
    for deed in ALL {
        assert!(names.insert(deed.name), "{} is declared twice", deed.name);
        let verb = deed
            .words
            .split(' ')
            .find(|word| !word.starts_with('-'))
            .unwrap();
        if verb.contains('{') {
            continue;
        }
        let command = sarsen_control::commands().find(|command| command.name == verb);
        let command = command.unwrap_or_else(|| panic!("there is no command {verb}"));
        assert_eq!(command.action, deed.action, "{}", deed.name);
        assert_eq!(deed.of_app, deed.words.contains("{app}"), "{}", deed.name);
    }
    assert!(fields_of(find("set").unwrap()).contains(&("value", true)));
}
