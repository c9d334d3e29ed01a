//! Curves as inline SVG: no script, no style attributes.

use std::fmt::Write as _;

use sarsen_control::board::Charts;

use super::show;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 60.0;

/// One figure of an app's page.
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    /// The newest value in words.
    pub(crate) now: String,
    pub(crate) svg: String,
    /// What the colours mean, as HTML.
    pub(crate) legend: &'static str,
}

/// A line through time; steps without a value are 0 or left out.
struct Curve {
    class: &'static str,
    points: Vec<(i64, f64)>,
}

/// The minutes of an hour in a cell of a table.
pub(crate) fn spark(values: &[u32]) -> String {
    let most = values.iter().copied().max().unwrap_or_default();
    let total = show::sum(values);
    let mut line = String::new();
    let step = 120.0 / f64::from(u32::try_from(values.len().max(2) - 1).unwrap_or(1));
    for (index, value) in values.iter().enumerate() {
        let x = step * f64::from(u32::try_from(index).unwrap_or_default());
        let y = 22.0 - 20.0 * f64::from(*value) / f64::from(most.max(1));
        write!(line, "{x:.0},{y:.1} ").ok();
    }
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 120 24\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{total} requests in the last hour\"><polyline class=\"curve\" points=\"{}\"/></svg>",
        line.trim_end()
    )
}

/// Requests, latency, CPU and memory of the last hour.
pub(crate) fn four(charts: &Charts) -> Vec<Chart> {
    vec![
        requests(charts),
        latency(charts),
        cpu(charts),
        memory(charts),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "pixels")]
fn requests(charts: &Charts) -> Chart {
    let step = charts.step.max(1) as f64;
    let all = charts
        .traffic
        .iter()
        .map(|point| (point.at, point.by_class.iter().sum::<u64>() as f64 / step));
    let failed = charts.traffic.iter().map(|point| {
        let [.., fives] = point.by_class;
        (point.at, fives as f64 / step)
    });
    let all = filled(charts, all.collect());
    let failed = filled(charts, failed.collect());
    let now = all.last().map_or(0.0, |(_, value)| *value);
    let svg = draw(charts, &[curve("curve", all), curve("worst", failed)], 0.0);
    Chart {
        title: "Requests",
        now: format!("{now:.1}/s"),
        svg,
        legend: "<span class=\"key\"></span>all <span class=\"key worst\"></span>5xx",
    }
}

fn latency(charts: &Charts) -> Chart {
    let p50: Vec<_> = charts
        .traffic
        .iter()
        .map(|point| (point.at, point.p50_ms))
        .collect();
    let p95: Vec<_> = charts
        .traffic
        .iter()
        .map(|point| (point.at, point.p95_ms))
        .collect();
    let now = p95.last().map_or(String::new(), |(_, value)| {
        format!("p95 {}", show::latency(value))
    });
    Chart {
        title: "Latency",
        now,
        svg: draw(charts, &[curve("curve", p50), curve("second", p95)], 0.0),
        legend: "<span class=\"key\"></span>p50 <span class=\"key second\"></span>p95",
    }
}

#[expect(clippy::cast_precision_loss, reason = "pixels")]
fn cpu(charts: &Charts) -> Chart {
    let points = charts
        .usage
        .iter()
        .map(|point| (point.at, point.cpu_millis as f64 / 10.0));
    let points: Vec<_> = points.collect();
    let now = points.last().map_or(String::new(), |(_, value)| {
        format!("{value:.0} % of a core")
    });
    Chart {
        title: "CPU",
        now,
        svg: draw(charts, &[curve("curve", points)], 5.0),
        legend: "",
    }
}

#[expect(clippy::cast_precision_loss, reason = "pixels")]
fn memory(charts: &Charts) -> Chart {
    let points = charts
        .usage
        .iter()
        .map(|point| (point.at, point.memory as f64));
    let now = charts.usage.last();
    let now = now.map_or(String::new(), |point| show::bytes(&point.memory));
    Chart {
        title: "Memory",
        now,
        svg: draw(charts, &[curve("curve", points.collect())], 1_048_576.0),
        legend: "",
    }
}

fn curve(class: &'static str, points: Vec<(i64, f64)>) -> Curve {
    Curve { class, points }
}

/// Steps without requests are not kept: they are 0.
fn filled(charts: &Charts, points: Vec<(i64, f64)>) -> Vec<(i64, f64)> {
    let step = charts.step.max(1);
    let mut full = Vec::new();
    let first = charts.since - charts.since.rem_euclid(step);
    let mut known = points.into_iter().peekable();
    let mut at = first;
    while at < charts.until - step {
        while known.next_if(|(other, _)| *other < at).is_some() {}
        let value = known
            .next_if(|(other, _)| *other == at)
            .map_or(0.0, |(_, value)| value);
        full.push((at, value));
        at += step;
    }
    full
}

/// Curves over one time and one scale, which begins at 0 and ends at the highest value, or at `least`.
fn draw(charts: &Charts, curves: &[Curve], least: f64) -> String {
    let values = curves.iter().flat_map(|curve| &curve.points);
    let most = values.map(|(_, value)| *value).fold(least, f64::max);
    let most = if most > 0.0 { most * 1.08 } else { 1.0 };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <path class=\"rule\" d=\"M0 {HEIGHT}H{WIDTH}M0 {}H{WIDTH}\"/>",
        HEIGHT / 2.0
    );
    for mark in &charts.marks {
        let x = place(charts, mark.at);
        write!(
            svg,
            "<path class=\"deploy\" d=\"M{x:.1} 0V{HEIGHT}\"><title>deploy</title></path>"
        )
        .ok();
    }
    let is_worth_it = |curve: &Curve| curve.points.iter().any(|(_, value)| *value > 0.0);
    let shown = curves.iter().enumerate();
    // A line along the bottom would hide the first one there.
    for (index, curve) in shown.filter(|(index, curve)| *index == 0 || is_worth_it(curve)) {
        let dots: Vec<_> = curve
            .points
            .iter()
            .filter(|(at, _)| *at >= charts.since)
            .map(|(at, value)| (place(charts, *at), HEIGHT - HEIGHT * value / most))
            .collect();
        if let (0, Some((start, _)), Some((end, _))) = (index, dots.first(), dots.last()) {
            let line = path(&dots);
            write!(
                svg,
                "<path class=\"area\" d=\"{line}L{end:.1} {HEIGHT}L{start:.1} {HEIGHT}Z\"/>"
            )
            .ok();
        }
        write!(
            svg,
            "<path class=\"{}\" d=\"{}\"/>",
            curve.class,
            path(&dots)
        )
        .ok();
    }
    svg.push_str("</svg>");
    svg
}

fn path(dots: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (index, (x, y)) in dots.iter().enumerate() {
        let letter = if index == 0 { 'M' } else { 'L' };
        write!(path, "{letter}{x:.1} {y:.1}").ok();
    }
    path
}

#[expect(clippy::cast_precision_loss, reason = "pixels")]
fn place(charts: &Charts, at: i64) -> f64 {
    let length = (charts.until - charts.since).max(1) as f64;
    (WIDTH * (at - charts.since) as f64 / length).clamp(0.0, WIDTH)
}

#[cfg(test)]
mod tests {
    use sarsen_control::board::{Mark, TrafficPoint};

    use super::*;

    #[test]
    fn a_spark_line_says_its_sum() {
        let svg = spark(&[0, 5, 10]);
        assert!(
            svg.contains("aria-label=\"15 requests in the last hour\""),
            "{svg}"
        );
        assert!(svg.contains("points=\"0,22.0 60,12.0 120,2.0\""), "{svg}");
        assert!(spark(&[]).contains("points=\"\""));
    }

    #[test]
    fn steps_without_requests_are_nought() {
        let charts = Charts {
            step: 10,
            since: 1000,
            until: 1060,
            traffic: vec![TrafficPoint {
                at: 1020,
                by_class: [0, 90, 0, 0, 10],
                ..TrafficPoint::default()
            }],
            marks: vec![Mark {
                at: 1030,
                release: Some(1),
                build: "b".to_owned(),
                status: "succeeded",
            }],
            ..Charts::default()
        };
        let [requests, ..] = &four(&charts)[..] else {
            panic!("four");
        };
        assert_eq!(requests.now, "0.0/s");
        assert!(
            requests.svg.contains("class=\"deploy\" d=\"M180.0 0V60\""),
            "{}",
            requests.svg
        );
        assert!(!requests.svg.contains("style="));
    }
}
