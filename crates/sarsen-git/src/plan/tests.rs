//! Tables and invariants of the push rules.

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use sarsen_domain::{Branch, CommitId};

use super::*;

fn id(digit: char) -> CommitId {
    CommitId::parse(&digit.to_string().repeat(40)).unwrap()
}

fn push(name: &str) -> RefUpdate {
    RefUpdate {
        old: id('0'),
        new: id('a'),
        name: name.to_owned(),
    }
}

fn delete(name: &str) -> RefUpdate {
    RefUpdate {
        old: id('a'),
        new: id('0'),
        name: name.to_owned(),
    }
}

fn set(branch: &str) -> DeployBranch {
    DeployBranch::Set(Branch::parse(branch).unwrap())
}

fn accepted(updates: &[RefUpdate], branch: &DeployBranch) -> Accepted {
    match plan_push(updates, branch) {
        PushPlan::Accept(accepted) => accepted,
        PushPlan::Refuse(reason) => panic!("refused: {reason}"),
    }
}

#[test]
fn what_deploys() {
    let (main, master, other) = ("refs/heads/main", "refs/heads/master", "refs/heads/a/b");
    let tag = "refs/tags/main";
    let cases: [(&[&str], &DeployBranch, Option<&str>); 11] = [
        (&[main], &set("main"), Some(main)),
        (&[other], &set("a/b"), Some(other)),
        (&[tag], &set("main"), Some(tag)),
        (&[tag, main], &set("main"), Some(main)),
        (&[other], &set("main"), None),
        (&["refs/notes/main"], &set("main"), None),
        (&[other], &DeployBranch::Unset, Some(other)),
        (&[other, master], &DeployBranch::Unset, Some(master)),
        (&[master, other, main], &DeployBranch::Unset, Some(main)),
        (&[tag], &DeployBranch::Unset, None),
        (&[], &DeployBranch::Unset, None),
    ];
    for (names, branch, want) in cases {
        let updates: Vec<_> = names.iter().map(|name| push(name)).collect();
        let got = accepted(&updates, branch);
        assert_eq!(
            got.deploy.as_ref().map(|deploy| deploy.name.as_str()),
            want,
            "{names:?} with {branch:?}"
        );
        let becomes = matches!(branch, DeployBranch::Unset).then(|| got.deploy.map(|d| d.branch));
        assert_eq!(got.set_branch, becomes.flatten(), "{names:?}");
    }
}

#[test]
fn other_branches_get_two_lines() {
    let got = accepted(
        &[push("refs/heads/dev"), push("refs/heads/x")],
        &set("main"),
    );
    assert_eq!(
        got.warnings,
        [
            "deploy did not complete, you must push to main.",
            "for example, try 'git push <remote> dev:refs/heads/main'"
        ]
    );
    let tag = accepted(&[push("refs/tags/v1")], &DeployBranch::Unset);
    assert!(tag.warnings[1].contains("v1^{}:refs/heads/main"));
    assert!(
        accepted(&[push("refs/notes/commits")], &set("main"))
            .warnings
            .is_empty()
    );
    assert!(
        accepted(&[delete("refs/heads/dev")], &set("main"))
            .warnings
            .is_empty()
    );
}

#[test]
fn the_deploy_branch_stays() {
    let both = [push("refs/heads/dev"), delete("refs/heads/main")];
    assert!(matches!(
        plan_push(&both, &set("main")),
        PushPlan::Refuse(_)
    ));
    assert_eq!(
        accepted(&both, &set("dev")).deploy.unwrap().branch.as_str(),
        "dev"
    );
    assert_eq!(
        accepted(&[delete("refs/tags/main")], &set("main")),
        Accepted::default()
    );
    assert_eq!(
        accepted(&[delete("refs/heads/main")], &DeployBranch::Unset),
        Accepted::default()
    );
}

#[test]
fn a_flood_of_refs_is_refused() {
    let updates: Vec<_> = (0..=MAX_UPDATES)
        .map(|n| push(&format!("refs/heads/b{n}")))
        .collect();
    assert!(matches!(
        plan_push(&updates, &set("b1")),
        PushPlan::Refuse(_)
    ));
}

#[test]
fn lines_of_the_hook() {
    let text = format!("{} {} refs/heads/ä b\n", id('0'), id('b'));
    let updates = RefUpdate::parse_lines(&text).unwrap();
    assert_eq!(updates[0].name, "refs/heads/ä b");
    for bad in [
        "x",
        "a b refs/heads/c",
        &format!("{} {} HEAD", id('0'), id('b')),
    ] {
        assert!(RefUpdate::parse_lines(bad).is_err(), "{bad}");
    }
}

fn updates() -> impl Strategy<Value = Vec<RefUpdate>> {
    let name = prop_oneof![
        "refs/(heads|tags)/(main|master|dev|v1)",
        "refs/(heads|tags|notes)/[a-z-][a-z./-]{0,6}",
    ];
    let one = (name, any::<bool>())
        .prop_map(|(name, gone)| if gone { delete(&name) } else { push(&name) });
    prop::collection::vec(one, 0..6)
}

proptest! {
    #[test]
    fn a_plan_keeps_its_promises(updates in updates(), branch in prop_oneof!["main", "dev", "-"]) {
        let setting = Branch::parse(&branch).map_or(DeployBranch::Unset, DeployBranch::Set);
        match plan_push(&updates, &setting) {
            PushPlan::Refuse(_) => {
                let lost = format!("refs/heads/{branch}");
                prop_assert!(updates.iter().any(|u| u.is_delete() && u.name == lost));
            }
            PushPlan::Accept(plan) => {
                if let Some(deploy) = &plan.deploy {
                    prop_assert!(updates.iter().any(|u| u.name == deploy.name && u.new == deploy.object));
                    prop_assert!(!deploy.object.is_zero());
                    prop_assert!(deploy.name.ends_with(deploy.branch.as_str()));
                    prop_assert!(plan.warnings.is_empty());
                }
                let unset = setting == DeployBranch::Unset;
                prop_assert_eq!(plan.set_branch.is_some(), unset && plan.deploy.is_some());
                if let DeployBranch::Set(set) = &setting {
                    prop_assert!(plan.deploy.is_none_or(|deploy| deploy.branch == *set));
                }
                prop_assert!(plan.warnings.is_empty() || plan.warnings.len() == 2);
            }
        }
    }
}
