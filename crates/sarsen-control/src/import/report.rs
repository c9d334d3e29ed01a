//! What an import says.

use super::ImportMode;

/// The report, as it grows.
pub(super) struct Report {
    mode: ImportMode,
    lines: String,
    left_out: usize,
}

impl Report {
    pub(super) fn new(mode: ImportMode) -> Self {
        Self {
            mode,
            lines: String::new(),
            left_out: 0,
        }
    }

    pub(super) fn writes(&self) -> bool {
        self.mode == ImportMode::Write
    }

    pub(super) fn section(&mut self, name: &str) {
        self.lines.push_str(&format!("-----> {name}\n"));
    }

    pub(super) fn say(&mut self, what: &str) {
        self.lines.push_str(&format!("       {what}\n"));
    }

    pub(super) fn count(&mut self, count: usize, what: &str) {
        match count {
            0 => {}
            1 => self.say(&format!("1 {what}")),
            many if what.ends_with("property") => {
                self.say(&format!("{many} {}ies", what.trim_end_matches('y')));
            }
            many => self.say(&format!("{many} {what}s")),
        }
    }

    /// Something that stays behind. Values are never shown: they may be secret.
    pub(super) fn left_out(&mut self, what: &str) {
        self.left_out += 1;
        self.lines.push_str(&format!(
            " !     not carried over: {}\n",
            what.escape_debug()
        ));
    }

    pub(super) fn text(mut self) -> String {
        let left_out = self.left_out;
        let end = match (self.mode, left_out) {
            (ImportMode::DryRun, _) => {
                format!("-----> Nothing was written; {left_out} things would be left out\n")
            }
            (ImportMode::Write, 0) => "-----> Everything was carried over\n".to_owned(),
            (ImportMode::Write, _) => {
                format!("-----> Done; {left_out} things were left out, each told above\n")
            }
        };
        self.lines.push_str(&end);
        self.lines
    }
}
