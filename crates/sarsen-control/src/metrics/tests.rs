//! Ticks, without a clock.

use sarsen_router::LATENCY_MS;

use super::*;

fn stats(app: &str, ok: u64, in_flight: usize) -> AppStats {
    let mut latency = [0; LATENCY_MS.len() + 1];
    latency[3] = ok;
    AppStats {
        app: app.parse().unwrap(),
        requests: ok,
        by_class: [0, ok, 0, 0, 0],
        errors: 0,
        upstream_errors: 0,
        retries: 0,
        bytes: 10 * ok,
        latency,
        latency_sum: Duration::ZERO,
        in_flight,
    }
}

#[test]
fn rows_hold_what_happened_since_the_last_look() {
    let mut collector = Collector::default();
    collector.count(&[stats("a", 100, 0)], 0);
    let rows = collector.count(&[stats("a", 103, 0), stats("idle", 0, 0)], 1_010);
    assert_eq!(rows.len(), 1);
    let (app, step, row) = &rows[0];
    assert_eq!((app.as_str(), *step, row.at), ("a", Step::Fine, 1_000));
    assert_eq!((row.by_class[1], row.bytes), (3, 30));
    assert!(collector.count(&[stats("a", 103, 0)], 1_020).is_empty());
    // Made anew: the counters began again.
    let rows = collector.count(&[stats("a", 2, 1)], 1_030);
    assert_eq!((rows[0].2.by_class[1], rows[0].2.in_flight), (2, 1));
}

#[test]
fn five_minutes_are_summed_up_and_then_begin_anew() {
    let mut collector = Collector::default();
    collector.count(&[stats("a", 3, 0)], 1_190);
    let app: AppName = "a".parse().unwrap();
    for (cpu_millis, memory) in [(100, 50), (300, 20)] {
        let usage = Usage {
            dyno: "web.1".to_owned(),
            cpu_millis,
            memory,
            ..Usage::default()
        };
        collector.add_usage(&app, &usage);
    }
    let mut tick = Tick::default();
    collector.close_coarse(&mut tick, 1_190);
    assert!(tick.traffic.is_empty());
    collector.close_coarse(&mut tick, 1_200);
    let (_, step, row) = &tick.traffic[0];
    assert_eq!((*step, row.at, row.by_class[1]), (Step::Coarse, 900, 3));
    let (_, _, usage) = &tick.usage[0];
    assert_eq!((usage.cpu_millis, usage.memory, usage.at), (200, 50, 900));
    let mut next = Tick::default();
    collector.close_coarse(&mut next, 1_500);
    assert!(next.traffic.is_empty() && next.usage.is_empty());
}

#[test]
fn cpu_is_in_thousandths_of_a_core() {
    let second = Duration::from_secs(1);
    assert_eq!(rate(second, 2 * second), 500);
    assert_eq!(rate(2 * second, second), 2_000);
    assert_eq!(rate(second, Duration::ZERO), 1_000_000);
}
