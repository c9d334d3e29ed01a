//! Tags that every service gets: a comma list in which `{{ … }}` is worked out from the engine's own description of
//! the container, in the language of Go's templates with Registrator's functions.

mod evaluate;
mod functions;
mod parse;

use serde_json::Value;

use crate::metadata::comma_list;
use evaluate::evaluate;
use parse::{Piece, parse};

/// Why tags cannot be worked out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("The tags '{template}' cannot be worked out: {problem}")]
pub struct TagsError {
    template: String,
    problem: String,
}

/// Tags that every service gets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExtraTags {
    template: String,
    pieces: Vec<Piece>,
}

impl ExtraTags {
    /// Reads a comma list, perhaps with templates in it.
    pub fn parse(template: &str) -> Result<Self, TagsError> {
        let pieces = parse(template).map_err(|problem| TagsError {
            template: template.to_owned(),
            problem,
        })?;
        Ok(Self {
            template: template.to_owned(),
            pieces,
        })
    }

    /// As it was written.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// The tags, when they are the same for all containers.
    pub(crate) fn fixed(&self) -> Option<Vec<String>> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Action(_) | Piece::If(..) => return None,
            }
        }
        Some(comma_list(&text))
    }

    /// The tags of the container that the engine describes like this.
    pub(crate) fn of(&self, container: &Value) -> Result<Vec<String>, TagsError> {
        let text = evaluate(&self.pieces, container).map_err(|problem| TagsError {
            template: self.template.clone(),
            problem,
        })?;
        Ok(comma_list(&text))
    }
}

#[cfg(test)]
mod tests;
