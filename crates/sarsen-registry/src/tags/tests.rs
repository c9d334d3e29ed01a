//! Templates as people write them.

use super::*;

fn tags(template: &str) -> Vec<String> {
    let container = serde_json::json!({
        "Name": "/web",
        "Config": {
            "Image": "team/web:v2", "Hostname": "c1",
            "Labels": {"a.b": "dotted", "plain": "p"},
            "Env": ["A=1", "VERSION=7", "B=2"],
        },
        "HostConfig": {"Privileged": false},
    });
    ExtraTags::parse(template).unwrap().of(&container).unwrap()
}

#[test]
fn a_plain_list_is_the_same_for_all() {
    let tags = ExtraTags::parse(r"a,b\,c").unwrap();
    assert_eq!(tags.fixed().unwrap(), ["a", "b,c"]);
    assert_eq!(ExtraTags::default().fixed().unwrap(), Vec::<String>::new());
    assert_eq!(ExtraTags::parse("x{{.Name}}").unwrap().fixed(), None);
}

#[test]
fn templates_are_worked_out() {
    for (template, expected) in [
        ("x,{{.Config.Hostname}}", vec!["x", "c1"]),
        (
            r#"{{.Config.Image | splitIndex -1 "/" | toUpper}}"#,
            vec!["WEB:V2"],
        ),
        (r#"{{index .Config.Labels "a.b"}}"#, vec!["dotted"]),
        (r#"{{mIndex "plain" .Config.Labels}}"#, vec!["p"]),
        (
            ".Config.Labels.none: {{.Config.Labels.none}}!",
            vec![".Config.Labels.none: !"],
        ),
        (
            r#"{{.Config.Env | matchFirstElement "^VERSION=" | split "=" | sIndex 1}}"#,
            vec!["7"],
        ),
        (r#"{{sIndex 9 (split ":" .Config.Image)}}"#, vec!["v2"]),
        (
            r#"{{join "+" (split "/" .Config.Image)}}"#,
            vec!["team+web:v2"],
        ),
        (r#"{{strSlice .Name 1}}"#, vec!["web"]),
        (r#"{{strSlice .Name 1 3}}"#, vec!["we"]),
        (
            r#"{{replace -1 "e" "E" .Config.Image}}"#,
            vec!["tEam/wEb:v2"],
        ),
        (
            r#"{{replace 1 "e" "E" .Config.Image}}"#,
            vec!["tEam/web:v2"],
        ),
        (
            "{{if .HostConfig.Privileged}}root{{else}}plain{{end}}",
            vec!["plain"],
        ),
        (
            r#"{{if eq .Config.Hostname "c1" "c2"}}yes{{end}}"#,
            vec!["yes"],
        ),
        (r#"a{{- /* nothing */ -}} ,b"#, vec!["a", "b"]),
        (r#"{{"}}"}}"#, vec!["}}"]),
        (r#"{{len .Config.Env}}"#, vec!["3"]),
        (
            r#"{{matchAllElements "=[12]$" .Config.Env | join ","}}"#,
            vec!["A=1", "B=2"],
        ),
    ] {
        assert_eq!(tags(template), expected, "{template}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    for (template, problem) in [
        ("{{.A", "never closed"),
        ("{{shout .A}}", "there is no function shout"),
        ("{{httpGet `http://x`}}", "httpGet is not supported"),
        ("{{range .A}}{{end}}", "'range' is not supported"),
        ("{{$x}}", "variables are not supported"),
        ("{{if .A}}", "an if has no end"),
        ("{{end}}", "an end without an if"),
        ("{{.A | .B}}", "only a function"),
        ("{{(.A}}", "never closed"),
        ("{{toUpper .A) }}", "without a ("),
    ] {
        let error = ExtraTags::parse(template).unwrap_err().to_string();
        assert!(error.contains(problem), "{template}: {error}");
    }
    let wrong = ExtraTags::parse("{{toUpper .}}").unwrap();
    let error = wrong.of(&serde_json::json!({})).unwrap_err().to_string();
    assert!(error.contains("is no text"), "{error}");
}
