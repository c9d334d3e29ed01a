//! Tells who watches a deploy what a container lacks that takes its time.

use std::time::Duration;

use sarsen_domain::Progress;
use tokio::time::Instant;

use crate::error::seconds;

/// A container may be silent for so long; after that nothing is said more often either.
const EVERY: Duration = Duration::from_secs(5);

/// What ends the wait at last.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    /// This time.
    Time(Duration),
    /// The container engine's verdict.
    Engine,
}

/// One check of one container under way.
pub(super) struct Waiting<'a> {
    progress: &'a dyn Progress,
    dyno: String,
    limit: Limit,
    pub(super) begun: Instant,
    /// What was said last, and when.
    said: Option<(Instant, String)>,
}

impl<'a> Waiting<'a> {
    pub(super) fn begin(progress: &'a dyn Progress, dyno: String, limit: Limit) -> Self {
        Self {
            progress,
            dyno,
            limit,
            begun: Instant::now(),
            said: None,
        }
    }

    /// Says what is seen now, when it is news and nothing was said just before.
    pub(super) fn tell(&mut self, seen: &str) {
        let last = self.said.as_ref().map_or(self.begun, |(at, _)| *at);
        // What a check's command prints can be long; the end shows all of it.
        let seen = seen.lines().next().unwrap_or_default();
        let is_old = self.said.as_ref().is_some_and(|(_, text)| text == seen);
        if is_old || last.elapsed() < EVERY {
            return;
        }
        let until = match self.limit {
            Limit::Time(limit) => format!("waiting up to {}", seconds(limit)),
            Limit::Engine => "waiting until the container engine decides".to_owned(),
        };
        let dyno = &self.dyno;
        self.progress
            .body(&format!("{dyno} is not ready yet: {seen} ({until})"));
        self.said = Some((Instant::now(), seen.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Recorder;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn news_is_told_and_never_too_often() {
        let output = Recorder::default();
        let limit = Limit::Time(Duration::from_secs(60));
        let mut waiting = Waiting::begin(&output, "web.1".to_owned(), limit);
        let mut expected = String::new();
        for (after, seen, is_told) in [
            (0, "nothing listens", false),
            (4, "nothing listens", false),
            (1, "nothing listens", true),
            (1, "it listens on 3000", false),
            (4, "it listens on 3000\nand more", true),
            (30, "it listens on 3000", false),
            (1, "nothing listens", true),
        ] {
            advance(Duration::from_secs(after)).await;
            waiting.tell(seen);
            if is_told {
                let seen = seen.lines().next().unwrap();
                expected +=
                    &format!("       web.1 is not ready yet: {seen} (waiting up to 60 s)\n");
            }
            assert_eq!(output.text(), expected);
        }
    }
}
