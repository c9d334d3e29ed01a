//! `export-ignore` patterns of all sorts, judged by the real `git archive`.

use git2::{Oid, Repository, Signature, Tree};
use proptest::prelude::{Just, Strategy, prop, prop_oneof};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sarsen_domain::CommitId;
use sarsen_git::SourceTree;

use crate::tree::archive;
use crate::world::{collect, unpack};

const FILES: [&str; 24] = [
    "a",
    "b",
    "ab",
    "a.b",
    "A",
    "foo/a",
    "foo/b",
    "foo/bar/a",
    "foo/bar/b/c",
    "foobar/a",
    "foox/y/bar",
    "bar",
    "x/foo/bar",
    "x/y/z/a",
    "[a]",
    "a b",
    "a*",
    "-",
    "a\\b",
    "#x",
    "!x",
    "ü/ö",
    "\"q\"",
    "x/a/b/a/b",
];

/// Words that make up patterns.
fn pattern() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop_oneof!["a", "b", "foo", "bar", "x", "y", "z", "A"],
        3 => prop_oneof!["/", "/", "\\*", "\\?", "\\*\\*", "\\*\\*/", "/\\*\\*", "/\\*\\*/"],
        2 => prop_oneof![
            "\\[ab\\]", "\\[!a\\]", "\\[\\^b\\]", "\\[a-f\\]", "\\[\\]a\\]", "\\[\\[:alpha:\\]\\]", "\\[\\[:nope:\\]\\]", "\\[a",
            "\\[b-a\\]", "\\[a-\\]", "\\[/\\]", "\\[\\\\\\]\\]", "\\[\\[:x\\]",
        ],
        1 => prop_oneof!["\\\\a", "\\\\\\*", "\\\\", "\\.", "-", "#", "!", "ü", "\""],
    ];
    prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

fn line() -> impl Strategy<Value = String> {
    let state = prop_oneof![
        6 => Just("export-ignore"),
        2 => Just("-export-ignore"),
        1 => Just("!export-ignore"),
        1 => Just("export-ignore=1"),
        1 => Just("gone"),
        1 => Just("-gone"),
        1 => Just("text export-ignore -export-ignore"),
        1 => Just("export-ignore b@d"),
        1 => Just("builtin_x export-ignore"),
    ];
    prop_oneof![
        12 => (pattern(), state).prop_map(|(pattern, state)| format!("{pattern} {state}")),
        1 => Just("[attr]gone export-ignore".to_owned()),
        1 => Just("[attr]more gone".to_owned()),
        1 => Just("foo more".to_owned()),
        1 => Just("\"a b\" export-ignore".to_owned()),
        1 => Just("\"\\303\\274\" export-ignore".to_owned()),
        1 => Just("\"a export-ignore".to_owned()),
        1 => Just("\t \\#x export-ignore\r".to_owned()),
    ]
}

fn file() -> impl Strategy<Value = String> {
    prop::collection::vec(line(), 0..5).prop_map(|lines| lines.join("\n"))
}

/// A tree of these files; the first name of each path decides where it goes.
fn plant(repo: &Repository, files: &[(String, String)]) -> Oid {
    let mut builder = repo.treebuilder(None::<&Tree<'_>>).unwrap();
    let mut folders: Vec<&str> = Vec::new();
    for (path, content) in files {
        match path.split_once('/') {
            None => {
                let blob = repo.blob(content.as_bytes()).unwrap();
                builder.insert(path, blob, 0o100_644).unwrap();
            }
            Some((folder, _)) if !folders.contains(&folder) => folders.push(folder),
            Some(_) => {}
        }
    }
    for folder in folders {
        let prefix = format!("{folder}/");
        let inside: Vec<_> = files
            .iter()
            .filter_map(|(path, content)| {
                Some((path.strip_prefix(&prefix)?.to_owned(), content.clone()))
            })
            .collect();
        builder
            .insert(folder, plant(repo, &inside), 0o040_000)
            .unwrap();
    }
    builder.write().unwrap()
}

#[tokio::test]
async fn patterns_mean_what_git_means() {
    let dir = tempfile::tempdir().unwrap();
    let repo = Repository::init_bare(dir.path()).unwrap();
    let mut runner = TestRunner::deterministic();
    let strategy = (file(), file(), file());
    for _ in 0..60 {
        let (root, foo, x) = strategy.new_tree(&mut runner).unwrap().current();
        let mut files: Vec<_> = FILES
            .iter()
            .map(|path| ((*path).to_owned(), String::new()))
            .collect();
        for (path, content) in [
            (".gitattributes", &root),
            ("foo/.gitattributes", &foo),
            ("x/.gitattributes", &x),
        ] {
            files.push((path.to_owned(), content.clone()));
        }
        let tree = repo.find_tree(plant(&repo, &files)).unwrap();
        let who = Signature::new("A", "a@b", &git2::Time::new(1, 0)).unwrap();
        let commit = repo
            .commit(None, &who, &who, "x", &tree, &[])
            .unwrap()
            .to_string();
        let (wanted, _) = archive(dir.path(), &commit).await;
        let commit = CommitId::parse(&commit).unwrap();
        let source = SourceTree::open(dir.path(), None, &commit, None).unwrap();
        let (got, _) = unpack(&collect(source.tar()).await.unwrap());
        assert_eq!(got, wanted, "\n/: {root:?}\nfoo: {foo:?}\nx: {x:?}");
    }
}
