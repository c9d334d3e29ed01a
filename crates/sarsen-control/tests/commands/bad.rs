//! Bad input: the exit code, a sentence, and nothing changed.

use std::fs;

use crate::golden::files;
use crate::world::World;

#[tokio::test]
async fn what_is_wrong_changes_nothing() {
    let world = World::new().await;
    let before = world.state().await;
    let mut wrong = Vec::new();
    for path in files("bad") {
        for line in fs::read_to_string(&path).unwrap().lines() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Err(why) = refuse(&world, line, &before).await {
                wrong.push(format!("{}: {line}\n  {why}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn refuse(world: &World, line: &str, before: &str) -> Result<(), String> {
    let words = shlex::split(line).ok_or("quotes do not match")?;
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let [code, said, command @ ..] = words.as_slice() else {
        return Err("write it as CODE WORDS COMMAND".to_owned());
    };
    let ended = world.run(command, "").await;
    if ended.code.to_string() != *code {
        return Err(format!("exit code {}: {}", ended.code, ended.stderr));
    }
    let silent = said.is_empty() && ended.stderr.is_empty();
    if !silent && (said.is_empty() || !ended.stderr.contains(said)) {
        return Err(format!("says: {}", ended.stderr));
    }
    let after = world.state().await;
    if after == before {
        return Ok(());
    }
    let changed = after.lines().filter(|line| !before.contains(*line));
    Err(format!(
        "something changed: {}",
        changed.collect::<Vec<_>>().join("\n")
    ))
}
