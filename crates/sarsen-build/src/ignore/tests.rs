//! Table cases; what `docker build` does with the same files is compared in `tests/docker/ignore.rs`.

use super::*;

#[track_caller]
fn check(rules: &str, ignored: &[&str], sent: &[&str]) {
    let ignore = Ignore::parse(rules, "Dockerfile").unwrap();
    for path in ignored {
        assert!(
            ignore.ignores(Path::new(path)),
            "{rules:?} must ignore {path}"
        );
    }
    for path in sent {
        assert!(
            !ignore.ignores(Path::new(path)),
            "{rules:?} must send {path}"
        );
    }
}

#[test]
fn plain_names_are_anchored_and_take_folders_whole() {
    check(
        "node_modules",
        &["node_modules", "node_modules/a/b"],
        &["x/node_modules/a", "node_modules2"],
    );
    check("/a/b/", &["a/b", "a/b/c"], &["a", "b", "x/a/b"]);
    check("./a//b/../c", &["a/c"], &["a/b"]);
    check("a.b", &["a.b"], &["axb"]);
    check("a+(b)|{c}$^", &["a+(b)|{c}$^"], &["a"]);
}

#[test]
fn wildcards_stay_in_a_folder() {
    check("*.log", &["a.log", ".log"], &["x/a.log", "a.log2"]);
    check(
        "*/temp*",
        &["a/temporary", "a/temp/b"],
        &["temp", "a/b/temp"],
    );
    check("*/*/temp*", &["a/b/temp"], &["a/temp", "a/b/c/temp"]);
    check("temp?", &["tempa", "tempé"], &["temp", "temp/", "tempab"]);
    check("[a-c]x[^0-9]", &["bxy"], &["dxy", "bx1"]);
    check("[]x]", &["]", "x"], &["a"]);
    check(r"a\*b\[c", &["a*b[c"], &["axb[c"]);
    check("*", &["a", "a/b"], &["Dockerfile"]);
}

#[test]
fn double_stars_span_folders() {
    check("**/*.go", &["a.go", "x/y/a.go"], &["a.goo"]);
    check(
        "**/secret",
        &["secret", "a/b/secret", "a/secret/b"],
        &["a/xsecret"],
    );
    check("a/**", &["a/b", "a/b/c"], &["ab", "b/a/c"]);
    check("a/**/z", &["a/z", "a/b/c/z", "a/b/z/q"], &["a/bz", "z"]);
    check("**", &["a", "a/b/c", ".dockerignore"], &["Dockerfile"]);
    check("**/a*/**", &["ab/c", "x/ab/c/d"], &["x/b/c"]);
}

#[test]
fn the_last_rule_that_matches_decides() {
    check("*.md\n!README.md", &["a.md"], &["README.md"]);
    check("!README.md\n*.md", &["README.md"], &[]);
    check(
        "*.md\n!README*.md\nREADME-secret.md",
        &["README-secret.md", "x.md"],
        &["README-a.md"],
    );
    check(
        "docs\n!docs/keep",
        &["docs/a"],
        &["docs/keep", "docs/keep/all"],
    );
    check(
        "*\n!src\nsrc/*.tmp",
        &["a", "src/x.tmp"],
        &["src/x", "src/a/x.tmp"],
    );
}

#[test]
fn comments_blanks_and_marks() {
    check("\u{feff}a\r\n\n  b  \n# c\n", &["a", "b"], &["c", "# c"]);
    check("! a", &[], &["a"]);
    check("a\n! a", &[], &["a"]);
    check("", &[], &["a"]);
    check(".", &[], &["a"]);
    check("..\n../a", &[], &["a"]);
}

#[test]
fn what_the_engine_reads_is_always_sent() {
    check("Dockerfile\n.dockerignore\n*", &["x"], &["Dockerfile"]);
    let ignore = Ignore::parse("deploy", "./deploy/Dockerfile").unwrap();
    assert!(!ignore.ignores(Path::new("deploy/Dockerfile")));
    assert!(ignore.ignores(Path::new("deploy/other")));
}

#[test]
fn broken_patterns_name_their_line() {
    for bad in ["[", "a[b", "a\\", "[]", "[a-", "!", "[a\\"] {
        let error = Ignore::parse(&format!("ok\n{bad}\n"), "").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{bad:?}: {error}");
    }
}

#[test]
fn a_hostile_pattern_costs_no_more_than_its_length() {
    let ignore = Ignore::parse(&"*a".repeat(200), "").unwrap();
    assert!(!ignore.ignores(Path::new(
        &"a".repeat(4000).replace("aaaaaaaaaa", "aaaaaaaaab")
    )));
    let ignore = Ignore::parse(&format!("{}x", "**/".repeat(200)), "").unwrap();
    assert!(!ignore.ignores(Path::new(&"a/".repeat(1000))));
}

proptest::proptest! {
    #[test]
    fn any_rules_and_paths_are_survived(rules in "[a!*?/.\\[\\]\\\\^ #-]{0,12}(\n[a!*?/]{0,8})?", path in "[a-b/.]{1,12}") {
        if let Ok(ignore) = Ignore::parse(&rules, "Dockerfile") {
            ignore.ignores(Path::new(&path));
        }
    }

    #[test]
    fn an_ignored_folder_takes_all_that_is_in_it(rule in "[ab*?/]{1,8}", folder in "[ab]{1,3}(/[ab]{1,3})?", file in "[ab]{1,3}") {
        let ignore = Ignore::parse(&rule, "").unwrap();
        let inside = format!("{folder}/{file}");
        proptest::prop_assert!(!ignore.ignores(Path::new(&folder)) || ignore.ignores(Path::new(&inside)));
    }
}
