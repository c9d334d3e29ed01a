//! Definitions that can be read, and what is said of those that cannot.

use super::*;

const GOOD: &str = r#"
name = "store"
title = "Store"
image = "team/store"
version = "1.2"
ports = [4000, 4001]
data = "/data"
variable = "STORE_URL"
url = "store://{{password}}@{{host}}:{{port}}/{{database}}"
secrets = ["password"]
command = ["serve", "--name", "{{name}}"]
[env]
PASSWORD = "{{password}}"
[export]
command = ["{{hooks}}/load"]
file = "sql"
[import]
command = ["load"]
while-stopped = true
[check]
command = ["count"]
counts = "rows"
"#;

fn parse(text: &str) -> Result<Addon, DefinitionError> {
    let hooks = [("load".to_owned(), "#!/bin/sh\n".to_owned())];
    Addon::parse("service.toml", text, hooks.into())
}

#[test]
fn a_definition_is_read_whole() {
    let addon = parse(GOOD).unwrap();
    assert_eq!(addon.alias(), "STORE");
    assert_eq!(addon.ports, [4000, 4001]);
    assert!(addon.imports() && addon.exports() && !addon.connects());
    let image = |repository, version| addon.image(repository, version).unwrap().to_string();
    assert_eq!(image(None, None), "team/store:1.2");
    assert_eq!(image(Some("mine"), None), "mine:1.2");
    assert_eq!(image(None, Some("2")), "team/store:2");
    assert!(addon.image(None, Some("2; rm")).is_err());
    assert_eq!(addon.export_form(), Some(("sql", true)));
    assert_eq!(addon.counts(), Some("rows"));
    let secrets = addon.new_secrets();
    assert_eq!(secrets.keys().collect::<Vec<_>>(), ["password"]);
    let service = ServiceName::parse("x").unwrap();
    assert_eq!(addon.host(&service), "dokku-store-x");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_wrong_is_said() {
    for (from, to, problem) in [
        (
            "name = \"store\"",
            "name = \"My Store\"",
            "name: Invalid addon name",
        ),
        (
            "version = \"1.2\"",
            "version = \"1 2\"",
            "image, version: Invalid image",
        ),
        ("[4000, 4001]", "[]", "ports: give at least one"),
        ("[4000, 4001]", "[0]", "ports: give at least one"),
        ("[4000, 4001]", "[70000]", "70000"),
        (
            "data = \"/data\"",
            "data = \"data\"",
            "data: 'data' is no absolute path",
        ),
        ("data = \"/data\"", "data = \"/a/../b\"", "no absolute path"),
        ("data = \"/data\"", "", "import: there is no data"),
        ("\"STORE_URL\"", "\"STORE\"", "variable: must end with _URL"),
        ("\"STORE_URL\"", "\"A B_URL\"", "variable: Invalid key name"),
        (
            "{{host}}",
            "{{hots}}",
            "url: {{hots}} means nothing here: use {{name}}, {{host}}",
        ),
        ("[\"password\"]", "[]", "{{password}} means nothing here"),
        (
            "[\"password\"]",
            "[\"password\", \"host\"]",
            "secrets: 'host' cannot be",
        ),
        (
            "{{name}}",
            "{{password}}",
            "command: {{password}} would show in the list of processes",
        ),
        ("PASSWORD =", "\"PASS WORD\" =", "env: Invalid key name"),
        ("[\"load\"]", "[]", "import: the command has no words"),
        ("[\"count\"]", "[]", "check: the command has no words"),
        (
            "\"rows\"",
            "\"table rows\"",
            "check: counts: 'table rows' is not one word",
        ),
        (
            "\"sql\"",
            "\"../sql\"",
            "export: file: '../sql' is not one word",
        ),
        (
            "{{hooks}}/load",
            "{{hooks}}/save",
            "export: there is no file hooks/save",
        ),
        ("title =", "titel =", "unknown field `titel`"),
        (
            "while-stopped = true",
            "stopped = true",
            "unknown field `stopped`",
        ),
        ("title = \"Store\"", "", "missing field `title`"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.starts_with("service.toml: "), "{error}");
        assert!(error.contains(problem), "{problem}\n{error}");
    }
}
