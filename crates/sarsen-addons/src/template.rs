//! Texts with `{{placeholders}}`.

use std::collections::BTreeMap;

use rand::Rng;
use rand::distr::Alphanumeric;
use sarsen_domain::Secret;

/// Passwords by name.
pub type Secrets = BTreeMap<String, Secret<String>>;

/// The placeholders that are no secrets.
pub(crate) const PLAIN: [&str; 5] = ["name", "host", "port", "database", "hooks"];

const SECRET_LENGTH: usize = 32;

/// A text whose placeholders were found to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Placeholder(String),
}

impl Template {
    /// Reads a text that may hold these placeholders.
    pub(crate) fn parse<'a>(
        text: &str,
        known: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, behind) = after
                .split_once("}}")
                .ok_or_else(|| "a {{ without its }}".to_owned())?;
            if !known.clone().any(|known| known == name) {
                let known: Vec<_> = known.map(|name| format!("{{{{{name}}}}}")).collect();
                return Err(format!(
                    "{{{{{}}}}} means nothing here: use {}",
                    name.escape_debug(),
                    known.join(", ")
                ));
            }
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Placeholder(name.to_owned()));
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The text with these values; parsing has seen to it that all are there.
    pub(crate) fn fill(&self, values: &BTreeMap<&str, &str>) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Placeholder(name) => values.get(name.as_str()).copied().unwrap_or_default(),
        });
        pieces.collect()
    }
}

/// New passwords of letters and digits, which need no quoting anywhere.
pub(crate) fn generate(names: &[String]) -> Secrets {
    let one = |name: &String| {
        let letters = rand::rng().sample_iter(Alphanumeric).take(SECRET_LENGTH);
        let value: String = letters.map(char::from).collect();
        (name.clone(), Secret::new(value))
    };
    names.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_others_refused() {
        let known = ["a", "b"];
        let parse = |text: &str| Template::parse(text, known.iter().copied());
        let values = BTreeMap::from([("a", "1"), ("b", "{{a}}")]);
        let filled = |text: &str| parse(text).unwrap().fill(&values);
        assert_eq!(filled(""), "");
        assert_eq!(filled("x{{a}}y{{b}}"), "x1y{{a}}", "values are not read");
        assert_eq!(filled("} {a} {{a}}"), "} {a} 1");
        let error = parse("{{c}}").unwrap_err();
        assert_eq!(error, "{{c}} means nothing here: use {{a}}, {{b}}");
        assert!(parse("{{a").unwrap_err().contains("without"));
    }

    #[test]
    fn passwords_are_long_and_differ() {
        let made = generate(&["p".to_owned(), "q".to_owned()]);
        let values: Vec<_> = made.values().map(|value| value.expose().clone()).collect();
        assert_ne!(values[0], values[1]);
        for value in values {
            assert_eq!(value.len(), 32);
            assert!(value.chars().all(|c| c.is_ascii_alphanumeric()));
        }
    }
}
