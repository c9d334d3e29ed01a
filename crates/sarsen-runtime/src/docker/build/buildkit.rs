//! What BuildKit says: the states of its steps, which repeat, and their output.

use std::collections::HashMap;

use bollard::moby::buildkit::v1::{StatusResponse, Vertex};
use bollard::models::{BuildInfo, BuildInfoAux};

use super::lines::Lines;
use super::{Renderer as Render, Told};

/// Steps that load the Dockerfile and the context, and look names up.
const INTERNAL: [&str; 2] = ["[internal]", "copy /context"];

/// Steps that fetch and run a frontend other than the built-in one (`# syntax=…`).
const FRONTEND: [&str; 2] = ["resolve image config for", "docker-image://"];

/// Words of failures that come before any step: the session, or a frontend that cannot be had.
const BUILDER_WORDS: [&str; 5] = [
    "gateway.v0",
    "no active session",
    "no active sessions",
    "buildkit not supported",
    "unknown frontend",
];

/// Tells each step once, and its output line by line behind the step's number.
#[derive(Default)]
pub(super) struct Renderer {
    steps: HashMap<String, Step>,
    /// Steps told so far.
    told: usize,
    /// Whether a step of the Dockerfile has begun: from then on the builder works.
    building: bool,
    /// Whether a frontend could not be had.
    frontend_failed: bool,
}

#[derive(Default)]
struct Step {
    /// `None` until it is told; internal ones never are.
    number: Option<usize>,
    cached: bool,
    /// What it writes to standard output and to standard error: pieces of the two must not meet in one line.
    lines: [Lines; 2],
}

/// BuildKit's number for standard error.
const STDERR: i64 = 2;

impl Render for Renderer {
    fn render(&mut self, item: &BuildInfo) -> Vec<u8> {
        let mut text = Vec::new();
        if let Some(BuildInfoAux::BuildKit(status)) = &item.aux {
            self.status(status, &mut text);
        }
        text
    }

    fn rest(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut steps: Vec<_> = self.steps.values_mut().collect();
        steps.sort_unstable_by_key(|step| step.number);
        for step in steps {
            step.flush(&mut text);
        }
        text
    }

    fn blames_builder(&self, words: &str, told: Told) -> bool {
        let known = BUILDER_WORDS.iter().any(|known| words.contains(known));
        told == Told::InStatus || !self.building && (self.frontend_failed || known)
    }
}

impl Renderer {
    fn status(&mut self, status: &StatusResponse, text: &mut Vec<u8>) {
        for vertex in &status.vertexes {
            self.vertex(vertex, text);
        }
        for log in &status.logs {
            let step = self.steps.entry(log.vertex.clone()).or_default();
            let [output, errors] = &mut step.lines;
            let lines = if log.stream == STDERR { errors } else { output };
            for line in lines.push(&log.msg) {
                tell(text, step.number, &line);
            }
        }
        for vertex in &status.vertexes {
            if vertex.completed.is_some()
                && let Some(step) = self.steps.get_mut(&vertex.digest)
            {
                step.flush(text);
            }
        }
    }

    fn vertex(&mut self, vertex: &Vertex, text: &mut Vec<u8>) {
        let frontend = FRONTEND.iter().any(|name| vertex.name.starts_with(name));
        self.frontend_failed |= frontend && !vertex.error.is_empty();
        if INTERNAL.iter().any(|name| vertex.name.starts_with(name)) {
            return;
        }
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        if vertex.started.is_some() && step.number.is_none() {
            self.told += 1;
            // `[2/5] RUN …`, `[stage 1/2] COPY …`
            self.building |= vertex.name.starts_with('[');
            step.number = Some(self.told);
            tell(text, step.number, vertex.name.as_bytes());
        }
        if vertex.cached && step.number.is_some() && !step.cached {
            step.cached = true;
            tell(text, step.number, b"CACHED");
        }
    }
}

impl Step {
    fn flush(&mut self, text: &mut Vec<u8>) {
        for line in self.lines.iter_mut().filter_map(Lines::rest) {
            tell(text, self.number, &line);
        }
    }
}

fn tell(text: &mut Vec<u8>, number: Option<usize>, line: &[u8]) {
    if line.trim_ascii().is_empty() {
        return;
    }
    if let Some(number) = number {
        text.extend_from_slice(format!("#{number} ").as_bytes());
    }
    text.extend_from_slice(line);
    text.push(b'\n');
}

#[cfg(test)]
mod tests;
