//! The output of an app's containers as one stream of lines.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{Stream, StreamExt};
use sarsen_domain::{ContainerId, ProcessIndex};
use sarsen_runtime::{EngineStream, LogChunk, LogOptions, RuntimeError};
use tokio::time::{Instant, timeout_at};

use crate::lines::Lines;
use crate::{DeployError, Deployer};

/// Colours of containers 1, 2, …
const COLOURS: [u8; 5] = [36, 33, 32, 35, 31];

/// Live lines wait this long for older ones of other containers.
const REORDER: Duration = Duration::from_millis(30);
/// But no longer than this while lines keep coming,
const REORDER_MAX: Duration = Duration::from_millis(200);
/// and no more of them.
const REORDER_LINES: usize = 1000;

/// One container to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSource {
    /// `web.1`
    pub dyno: String,
    pub container: ContainerId,
    /// Chooses the colour.
    pub index: ProcessIndex,
}

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// The app's line alone.
    Raw,
    /// `TIMESTAMP app[web.1]: line`
    #[default]
    Full,
}

/// Whether terminals' colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextStyle {
    #[default]
    Plain,
    Coloured,
}

/// Formatted lines, each with its newline.
pub type LogStream = Pin<Box<dyn Stream<Item = Result<Bytes, RuntimeError>> + Send>>;

type LineStream = BoxStream<'static, Result<Line, RuntimeError>>;

/// A line and its time, which sorts as text.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    time: Vec<u8>,
    formatted: Bytes,
}

impl Deployer {
    /// The containers' output, merged by time. `options.timestamps` is ignored: `format` decides. Containers that are
    /// gone are left out.
    pub async fn log_stream(
        &self,
        sources: Vec<LogSource>,
        options: LogOptions,
        format: (LogFormat, TextStyle),
    ) -> Result<LogStream, DeployError> {
        let options = LogOptions {
            timestamps: true,
            ..options
        };
        let mut streams = Vec::new();
        for source in sources {
            match self.runtime.logs(&source.container, options).await {
                Ok(chunks) => streams.push(lines_of(chunks, Prefix::new(&source, format))),
                Err(RuntimeError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let lines = if options.follow {
            merged_live(streams)
        } else {
            merged(streams)
        };
        Ok(Box::pin(lines.map(|line| line.map(|line| line.formatted))))
    }
}

/// How the lines of one container begin.
#[derive(Debug, Clone)]
struct Prefix {
    dyno: String,
    colour: Option<u8>,
    format: LogFormat,
}

impl Prefix {
    fn new(source: &LogSource, (format, style): (LogFormat, TextStyle)) -> Self {
        let place = (source.index.saturating_sub(1)) as usize % COLOURS.len();
        let colour = COLOURS.get(place).copied();
        Self {
            dyno: source.dyno.clone(),
            colour: colour.filter(|_| style == TextStyle::Coloured),
            format,
        }
    }

    /// A line as the engine gives it: time, space, text.
    fn line(&self, raw: &[u8]) -> Line {
        let space = raw.iter().position(|byte| *byte == b' ');
        let (time, text) = raw.split_at(space.unwrap_or(raw.len()));
        let text = text.strip_prefix(b" ").unwrap_or(text);
        let mut line = Vec::with_capacity(raw.len() + self.dyno.len() + 20);
        if self.format == LogFormat::Full {
            let time = String::from_utf8_lossy(time);
            let head = format!("{time} app[{}]:", self.dyno);
            let head = match self.colour {
                Some(colour) => format!("\x1b[{colour}m{head}\x1b[0m "),
                None => format!("{head} "),
            };
            line.extend_from_slice(head.as_bytes());
        }
        line.extend_from_slice(text);
        line.push(b'\n');
        Line {
            time: time.to_vec(),
            formatted: line.into(),
        }
    }
}

fn lines_of(chunks: EngineStream<LogChunk>, prefix: Prefix) -> LineStream {
    let state = (Some(chunks), Lines::default(), prefix);
    let batches = futures_util::stream::unfold(state, |(chunks, mut lines, prefix)| async move {
        let mut chunks = chunks?;
        let (left, complete) = match chunks.next().await {
            Some(Ok(chunk)) => (Some(chunks), lines.feed(&chunk)),
            Some(Err(error)) => return Some((vec![Err(error)], (None, lines, prefix))),
            None => (None, lines.rest()),
        };
        let complete = complete.iter().map(|raw| Ok(prefix.line(raw))).collect();
        Some((complete, (left, lines, prefix)))
    });
    batches
        .flat_map(futures_util::stream::iter::<Vec<_>>)
        .boxed()
}

/// Streams that end, merged exactly.
fn merged(streams: Vec<LineStream>) -> LineStream {
    let heads = streams
        .into_iter()
        .map(|stream| (None, stream))
        .collect::<Vec<(Option<Line>, LineStream)>>();
    futures_util::stream::unfold(heads, |mut heads| async move {
        let mut filled = Vec::with_capacity(heads.len());
        for (head, mut stream) in heads.drain(..) {
            match head {
                Some(line) => filled.push((line, stream)),
                None => match stream.next().await {
                    Some(Ok(line)) => filled.push((line, stream)),
                    Some(Err(error)) => return Some((Err(error), Vec::new())),
                    None => {}
                },
            }
        }
        let (oldest, _) = filled
            .iter()
            .enumerate()
            .min_by(|(_, (a, _)), (_, (b, _))| a.time.cmp(&b.time))?;
        let (line, stream) = filled.remove(oldest);
        let mut heads: Vec<_> = filled
            .into_iter()
            .map(|(line, s)| (Some(line), s))
            .collect();
        heads.insert(oldest, (None, stream));
        Some((Ok(line), heads))
    })
    .boxed()
}

/// Streams that go on, merged as well as a short wait allows.
fn merged_live(streams: Vec<LineStream>) -> LineStream {
    let state = (
        futures_util::stream::select_all(streams),
        VecDeque::<Result<Line, RuntimeError>>::new(),
    );
    futures_util::stream::unfold(state, |(mut streams, mut ready)| async move {
        if ready.is_empty() {
            ready = batch(&mut streams).await;
        }
        let line = ready.pop_front()?;
        Some((line, (streams, ready)))
    })
    .boxed()
}

/// The next lines, by time; none when all streams have ended.
async fn batch(streams: &mut SelectAll<LineStream>) -> VecDeque<Result<Line, RuntimeError>> {
    let mut lines = Vec::new();
    let mut problem = None;
    match streams.next().await {
        Some(Ok(line)) => lines.push(line),
        Some(Err(error)) => problem = Some(error),
        None => {}
    }
    let latest = Instant::now() + REORDER_MAX;
    while problem.is_none() && !lines.is_empty() && lines.len() < REORDER_LINES {
        let until = latest.min(Instant::now() + REORDER);
        match timeout_at(until, streams.next()).await {
            Ok(Some(Ok(line))) => lines.push(line),
            Ok(Some(Err(error))) => problem = Some(error),
            Ok(None) | Err(_) => break,
        }
    }
    lines.sort_by(|a, b| a.time.cmp(&b.time));
    lines.into_iter().map(Ok).chain(problem.map(Err)).collect()
}

#[cfg(test)]
mod tests;
