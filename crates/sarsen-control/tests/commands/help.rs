//! Every family of Dokku's commands has a help of its own, in Dokku's form.

use std::collections::BTreeSet;

use sarsen_control::conformance;

use crate::world::World;

#[tokio::test]
async fn every_family_tells_of_its_commands() {
    let world = World::new().await;
    let facts = conformance::facts(include_str!("../../../../docs/dokku-commands.tsv")).unwrap();
    let noun = |command: &str| command.split(':').next().unwrap_or_default().to_owned();
    let here: Vec<_> = facts.iter().filter(|fact| fact.note.is_empty()).collect();
    let families: BTreeSet<_> = here
        .iter()
        .filter(|fact| fact.command.ends_with(":help"))
        .map(|fact| noun(&fact.command))
        .collect();
    assert!(families.len() > 35, "{families:?}");
    for family in &families {
        let ended = world.run(&[&format!("{family}:help")], "").await;
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{family}");
        let text = &ended.stdout;
        assert!(text.starts_with("Usage: dokku "), "{text}");
        let rows: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .collect();
        let commands = here.iter().map(|fact| fact.command.as_str());
        let own = commands.filter(|command| noun(command) == *family);
        for command in own.filter(|command| command.contains(':') && !command.ends_with(":help")) {
            let row = rows
                .iter()
                .find(|row| row.split([' ', '\n']).next() == Some(command));
            let row = row.unwrap_or_else(|| panic!("{family}:help has no row for {command}"));
            // Two columns: the usage, and what it does.
            assert!(row.contains("  "), "{row}");
        }
        let again = world.run(&["help", family], "").await;
        assert_eq!(again.stdout, *text, "help {family}");
    }
}
