//! Works a template out.

use serde_json::Value;

use super::functions::{field, show};
use super::parse::{Command, Operand, Piece, Pipeline};

/// The text that a template comes to for this container.
pub(super) fn evaluate(pieces: &[Piece], container: &Value) -> Result<String, String> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Action(pipeline) => text.push_str(&show(&run(pipeline, container)?)),
            Piece::If(condition, then, otherwise) => {
                let branch = match is_true(&run(condition, container)?) {
                    true => then,
                    false => otherwise,
                };
                text.push_str(&evaluate(branch, container)?);
            }
        }
    }
    Ok(text)
}

fn run(pipeline: &Pipeline, container: &Value) -> Result<Value, String> {
    let mut last = None;
    for command in pipeline {
        last = Some(match command {
            Command::Value(operand) => value(operand, container)?,
            Command::Call(function, operands) => {
                let mut arguments = Vec::new();
                for operand in operands {
                    arguments.push(value(operand, container)?);
                }
                arguments.extend(last);
                function.call(&arguments)?
            }
        });
    }
    Ok(last.unwrap_or_default())
}

fn value(operand: &Operand, container: &Value) -> Result<Value, String> {
    match operand {
        Operand::Text(text) => Ok(Value::String(text.clone())),
        Operand::Number(number) => Ok(Value::from(*number)),
        Operand::Truth(truth) => Ok(Value::Bool(*truth)),
        Operand::Path(path) => walk(container.clone(), path),
        Operand::Group(pipeline, path) => walk(run(pipeline, container)?, path),
    }
}

fn walk(mut value: Value, path: &[String]) -> Result<Value, String> {
    for name in path {
        value = field(&value, name)?;
    }
    Ok(value)
}

/// As Go sees it: nothing, zero and what is empty are false.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(all) => !all.is_empty(),
        Value::Object(all) => !all.is_empty(),
    }
}
