//! Runs are written down once, ended once, and forgotten in order.

use super::*;
use crate::test_support::{TestStore, app};

fn task(text: &str) -> CronId {
    CronId::parse(text).unwrap()
}

fn run(due_at: Option<i64>) -> NewCronRun {
    NewCronRun {
        app: app("a"),
        task: task("t1"),
        command: "true".to_owned(),
        due_at,
        missed: 2,
        ttl: 60,
    }
}

fn end(state: CronRunState, code: i64) -> Handled {
    Handled {
        state,
        exit_code: Some(code),
        message: None,
    }
}

#[tokio::test]
async fn a_due_time_is_handled_with_its_run() {
    let store = TestStore::with_apps(&["a"]).await;
    let key = (app("a"), task("t1"));
    store.cron().set_cursor(&key.0, &key.1, 100).await.unwrap();
    let id = store.cron().begin(&run(Some(160))).await.unwrap();
    assert_eq!(store.cron().cursors().await.unwrap()[&key], 160);
    let store = store.reopened().await;
    let open = store.cron().open_runs().await.unwrap();
    assert_eq!((open[0].id, open[0].state), (id, CronRunState::Starting));
    assert_eq!((open[0].missed, open[0].ttl), (2, 60));
    // One that a person asked for moves nothing.
    store.cron().begin(&run(None)).await.unwrap();
    assert_eq!(store.cron().cursors().await.unwrap()[&key], 160);
    store.cron().forget(&key.0, &key.1).await.unwrap();
    assert!(store.cron().cursors().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_first_verdict_stands() {
    let store = TestStore::with_apps(&["a"]).await;
    let cron = store.cron();
    let id = cron.begin(&run(Some(1))).await.unwrap();
    cron.set_running(id, "a.run.1").await.unwrap();
    let replaced = end(CronRunState::Replaced, 143);
    cron.finish(id, &replaced).await.unwrap();
    cron.finish(id, &end(CronRunState::Failed, 1))
        .await
        .unwrap();
    cron.set_running(id, "late").await.unwrap();
    let found = cron.by_container("a.run.1").await.unwrap().unwrap();
    assert_eq!(found.state, CronRunState::Replaced);
    assert_eq!(found.exit_code, Some(143));
    assert!(found.finished_at.is_some());
    assert!(cron.open_runs().await.unwrap().is_empty());
}

#[tokio::test]
async fn old_runs_are_forgotten_and_skipped_ones_are_not_the_last() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let cron = store.cron();
    let mut ids = Vec::new();
    for state in [
        CronRunState::Succeeded,
        CronRunState::Failed,
        CronRunState::Skipped,
    ] {
        let id = cron.begin(&run(None)).await.unwrap();
        cron.finish(id, &end(state, 0)).await.unwrap();
        ids.push(id);
    }
    let last = cron.last_runs(&app("a")).await.unwrap();
    assert_eq!(last[&task("t1")].id, ids[1]);
    assert!(cron.last_runs(&app("b")).await.unwrap().is_empty());
    let newest = cron.runs(&app("a"), Some(&task("t1")), 2).await.unwrap();
    assert_eq!(
        newest.iter().map(|run| run.id).collect::<Vec<_>>(),
        [ids[2], ids[1]]
    );
    let open = cron.begin(&run(None)).await.unwrap();
    assert_eq!(
        cron.prune(&app("a"), &task("t1"), 1).await.unwrap().len(),
        2
    );
    assert_eq!(cron.ids().await.unwrap(), [ids[2], open]);
    assert!(cron.runs(&app("c"), None, 1).await.is_err());
}
