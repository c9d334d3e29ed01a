//! The templates keep to what the headers allow, and to their own rules.

use std::fs;
use std::path::Path;

fn templates() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let pages = files.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "html")
    });
    let read = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    pages.map(read).collect()
}

#[test]
fn no_script_or_style_stands_in_a_page() {
    let all = templates();
    assert!(all.len() > 20);
    for (name, text) in all {
        for forbidden in [
            " style=",
            "<style",
            " onclick",
            " onload",
            " onsubmit",
            "javascript:",
        ] {
            assert!(!text.contains(forbidden), "{name} contains {forbidden}");
        }
        for script in text.split("<script").skip(1) {
            assert!(script.starts_with(" src=\"/script.js\""), "{name}");
        }
    }
}

#[test]
fn what_changes_something_carries_the_token() {
    for (name, text) in templates() {
        for form in text.split("<form").skip(1) {
            let head = form.split('>').next().unwrap_or_default();
            let body = form.split("</form>").next().unwrap_or_default();
            let posts = head.contains("method=\"post\"");
            let carries = body.contains("csrf.html") || body.contains("back.html");
            assert_eq!(posts, carries, "{name}: <form{head}>");
        }
    }
}

#[test]
fn only_what_we_make_ourselves_is_printed_as_html() {
    const OURS: [&str; 10] = [
        "log",
        "chart.svg",
        "chart.legend",
        "show::ago(",
        "show::ago_ms(",
        "show::since(",
        "show::phase(",
        "chart::spark(",
        "run.when",
        "phase",
    ];
    for (name, text) in templates() {
        for printed in text.split("{{").skip(1) {
            let Some((what, filters)) = printed
                .split("}}")
                .next()
                .and_then(|all| all.split_once('|'))
            else {
                continue;
            };
            let trusted = OURS.iter().any(|ours| what.trim().starts_with(ours));
            assert!(
                trusted && filters.trim() == "safe",
                "{name}: {what}|{filters}"
            );
        }
    }
}
