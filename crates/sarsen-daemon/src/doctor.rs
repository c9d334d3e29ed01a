//! `sarsen doctor`: looks at everything the daemon depends on, and says what to do about what is wrong.

mod checks;
mod engine;

use std::fmt;

use crate::command::say;
use crate::config::{ConfigError, Loaded};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    grade: Grade,
    what: String,
    /// What to do about it.
    advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Ok,
    Warn,
    Fail,
}

impl Finding {
    fn ok(what: impl Into<String>) -> Self {
        Self {
            grade: Grade::Ok,
            what: what.into(),
            advice: None,
        }
    }

    fn warn(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            grade: Grade::Warn,
            what: what.into(),
            advice: Some(advice.into()),
        }
    }

    fn fail(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            grade: Grade::Fail,
            ..Self::warn(what, advice)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "FAIL",
        };
        writeln!(f, "{grade:<5} {}", self.what)?;
        match &self.advice {
            Some(advice) => writeln!(f, "      -> {advice}"),
            None => Ok(()),
        }
    }
}

/// Runs every check; the exit code is 1 when one of them fails.
pub fn run(loaded: &Result<Loaded, ConfigError>) -> u8 {
    let findings = examine(loaded);
    let lines: String = findings.iter().map(Finding::to_string).collect();
    let failed = findings
        .iter()
        .filter(|finding| finding.grade == Grade::Fail)
        .count();
    let warned = findings
        .iter()
        .filter(|finding| finding.grade == Grade::Warn)
        .count();
    let verdict = match (failed, warned) {
        (0, 0) => "All is well.".to_owned(),
        (0, some) => format!("All works; warnings: {some}."),
        (some, _) => format!("Problems: {some}."),
    };
    say(&format!("{lines}\n{verdict}\n")).max(u8::from(failed > 0))
}

fn examine(loaded: &Result<Loaded, ConfigError>) -> Vec<Finding> {
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            let advice = "correct it; deploy/sarsen.toml explains every setting";
            return error
                .0
                .iter()
                .map(|problem| Finding::fail(problem, advice))
                .collect();
        }
    };
    let config = &loaded.config;
    let mut findings = vec![checks::configuration(loaded)];
    let (daemon, running) = checks::daemon(config);
    findings.push(daemon);
    findings.extend(checks::data(config));
    if !running {
        findings.extend(checks::ports(config));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            if !running {
                findings.extend(runtime.block_on(checks::database(config)));
            }
            findings.extend(runtime.block_on(engine::examine(config)));
        }
        Err(error) => findings.push(Finding::fail(
            format!("cannot start a runtime: {error}"),
            "free some memory",
        )),
    }
    findings.push(checks::clock());
    findings
}
