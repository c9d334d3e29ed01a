//! Steps, ages, and apps that come and go.

use super::*;
use crate::test_support::{TestStore, app};

fn row(at: i64, requests: u64) -> Traffic {
    Traffic {
        at,
        by_class: [0, requests, 0, 0, 0],
        p50_ms: 1.5,
        p95_ms: 20.0,
        ..Traffic::default()
    }
}

fn used(dyno: &str, at: i64) -> Usage {
    Usage {
        dyno: dyno.to_owned(),
        at,
        cpu_millis: 250,
        memory: 1 << 20,
        memory_limit: None,
        restarts: 2,
    }
}

#[tokio::test]
async fn rows_come_back_by_step_and_the_old_ones_go() {
    let store = TestStore::with_apps(&["a"]).await;
    let (metrics, a) = (store.metrics(), app("a"));
    let traffic = |step, at| (a.clone(), step, row(at, 3));
    let tick = Tick {
        traffic: vec![
            traffic(Step::Fine, 1_000),
            traffic(Step::Fine, 1_010),
            traffic(Step::Coarse, 900),
            (app("gone"), Step::Fine, row(1_000, 1)),
        ],
        usage: vec![
            (a.clone(), Step::Fine, used("web.1", 1_000)),
            (a.clone(), Step::Fine, used("web.1", 1_010)),
            (a.clone(), Step::Fine, used("worker.1", 1_010)),
        ],
    };
    metrics.record(&tick, 1_010).await.unwrap();
    let fine = metrics.traffic(&a, Step::Fine, 1_005).await.unwrap();
    assert_eq!(fine, [row(1_010, 3)]);
    assert_eq!(metrics.usage(&a, Step::Fine, 0).await.unwrap().len(), 3);
    let last = metrics.last_usage(0).await.unwrap();
    assert_eq!(last[&a], [used("web.1", 1_010), used("worker.1", 1_010)]);
    let later = 1_005 + Step::Fine.kept();
    metrics.record(&Tick::default(), later).await.unwrap();
    let fine = metrics.traffic(&a, Step::Fine, 0).await.unwrap();
    assert_eq!(fine.iter().map(|r| r.at).collect::<Vec<_>>(), [1_010]);
    let coarse = metrics.traffic(&a, Step::Coarse, 0).await.unwrap();
    assert_eq!(coarse.len(), 1);
    store.apps().destroy(&a).await.unwrap();
    assert!(metrics.traffic(&a, Step::Fine, 0).await.is_err());
}
