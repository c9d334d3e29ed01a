//! The entry of `fuzz/` for texts, on thousands of inputs that were good until something happened to them.

use proptest::prelude::*;

#[path = "../../../fuzz/entries/app_json.rs"]
mod entry;

const SEEDS: [&str; 8] = [
    r#"{"name": "shop", "env": {"A": {"value": "1", "required": false}, "B": {"generator": "secret"}}}"#,
    r#"{"formation": {"web": {"quantity": 2, "max_parallel": 1}}, "scripts": {"dokku": {"predeploy": "x"}, "postdeploy": "y"}}"#,
    r#"{"cron": [{"command": "a b", "schedule": "0 3 * * *", "concurrency_policy": "forbid"}], // remark
      "healthchecks": {"web": [{"type": "startup", "path": "/up", "attempts": 3, "timeout": 5}]}}"#,
    "web: serve --port $PORT\nworker: work # remark\n# more\nrelease: migrate\n",
    "http:80:5000",
    "registry.example.com:5000/team/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "*.example.com",
    "feature/some-branch",
];

/// What happens to a text: where, what, and how much of it.
fn changed(text: &str, (at, kind, piece): (usize, u8, String)) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let at = at % (chars.len() + 1);
    match kind % 4 {
        0 => chars.truncate(at),
        1 => drop(chars.splice(at..at, piece.chars())),
        2 => drop(chars.drain(at..(at + piece.len()).min(chars.len()))),
        _ => {
            let tail: Vec<char> = chars.iter().skip(at).copied().collect();
            chars.extend(tail);
        }
    }
    chars.into_iter().collect()
}

#[test]
fn good_texts_are_read() {
    for seed in SEEDS {
        entry::run(seed);
    }
    sarsen_domain::AppJson::parse(SEEDS.first().unwrap()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn damaged_texts_have_an_answer(
        seed in 0..SEEDS.len(),
        changes in prop::collection::vec((any::<usize>(), any::<u8>(), "[\\PC\\n\\x00]{0,8}"), 1..6),
    ) {
        let seed = SEEDS.get(seed).copied().unwrap_or_default();
        entry::run(&changes.into_iter().fold(seed.to_owned(), |text, change| changed(&text, change)));
    }

    #[test]
    fn any_text_has_an_answer(text in any::<String>()) {
        entry::run(&text);
    }
}
