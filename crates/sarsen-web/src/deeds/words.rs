//! From the fields of a form to the words of a command.
//!
//! | in the template | becomes |
//! |---|---|
//! | `ps:restart`, `--build`, `--` | itself |
//! | `{name}` | the field, which must be there; may stand within a word: `{source}:{path}` |
//! | `{name?}` | the field; a word with one that is empty is left out |
//! | `{name...}` | the field's words, one at least, quoted as in a shell |
//! | `{...=}` | every field that the template does not name, as `field=value` |
//! | `{name=value:word}` | the word, when the field has that value |
//! | `{confirm=name}` | nothing; the field `confirm` must be the same as the field `name` |
//!
//! A value may not begin with a dash, so that none is taken for a flag; what follows `--` may.

use std::collections::BTreeSet;

use super::Deed;

/// Fields that are for us and not for the command.
const OURS: [&str; 3] = ["csrf", "back", "done"];
/// Longer values are a mistake.
const LONGEST: usize = 16 * 1024;

/// A deed with its fields filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filled {
    pub(crate) argv: Vec<String>,
    pub(crate) stdin: Vec<u8>,
    /// The command line as people type it.
    pub(crate) shown: String,
}

/// Whether a value may begin with a dash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dashes {
    Refused,
    /// Behind `--`.
    Taken,
}

/// The fields of a form.
pub(crate) type Fields = [(String, String)];

/// Makes the command, or says which field is wrong.
pub(crate) fn fill(deed: &Deed, fields: &Fields) -> Result<Filled, String> {
    let get = |name: &str| {
        let found = fields.iter().find(|(field, _)| field == name);
        found
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    };
    let mut argv: Vec<String> = Vec::new();
    let mut dashes = Dashes::Refused;
    for item in deed.words.split(' ') {
        if item == "--" {
            dashes = Dashes::Taken;
        }
        let words = match brace(item) {
            Some(inner) => whole(deed, inner, &get, fields)?,
            None => embedded(item, &get)?.into_iter().collect(),
        };
        for word in &words {
            check(item, word, dashes)?;
        }
        argv.extend(words);
    }
    let stdin = match deed.stdin {
        // A secret that is empty is still one.
        Some(name) => {
            let found = fields.iter().find(|(field, _)| field == name);
            let (_, value) = found.ok_or_else(|| missing(name))?;
            value.replace("\r\n", "\n").into_bytes()
        }
        None => Vec::new(),
    };
    let input = deed.stdin.map(|name| format!(" < {name}"));
    let shown = format!("sarsen {}{}", quoted(&argv), input.unwrap_or_default());
    Ok(Filled { argv, stdin, shown })
}

/// The command line of a deed for a page, with `<field>` for what is not known yet.
pub(crate) fn line(deed: &Deed, known: &[(&str, &str)]) -> String {
    let mut words = Vec::new();
    for item in deed.words.split(' ') {
        let Some(inner) = brace(item) else {
            words.extend(sketched(item, known));
            continue;
        };
        if inner == "...=" {
            words.push("<process>=<count>".to_owned());
        } else if !inner.contains('=') {
            words.extend(sketched(item, known));
        }
    }
    if let Some(name) = deed.stdin {
        words.push(format!("< {name}"));
    }
    format!("sarsen {}", words.join(" "))
}

/// What stands within braces, when these are the whole word.
fn brace(item: &str) -> Option<&str> {
    let inner = item.strip_prefix('{')?.strip_suffix('}')?;
    (!inner.contains('{')).then_some(inner)
}

fn whole<'a>(
    deed: &Deed,
    inner: &str,
    get: &impl Fn(&str) -> Option<&'a str>,
    fields: &Fields,
) -> Result<Vec<String>, String> {
    if inner == "...=" {
        return rest(deed, fields);
    }
    if let Some(name) = inner.strip_suffix("...") {
        let text = get(name).ok_or_else(|| missing(name))?;
        let words = shlex::split(text).filter(|words| !words.is_empty());
        return words.ok_or_else(|| format!("The quotes of the field {name} do not match"));
    }
    if let Some((name, rest)) = inner.split_once('=') {
        let Some((value, word)) = rest.split_once(':') else {
            return match get(name).is_some() && get(name) == get(rest) {
                true => Ok(Vec::new()),
                false => Err(format!("To confirm, put the {rest} into the field {name}")),
            };
        };
        let is_so = get(name) == Some(value);
        return Ok(is_so.then(|| word.to_owned()).into_iter().collect());
    }
    let optional = inner.strip_suffix('?');
    match (get(optional.unwrap_or(inner)), optional) {
        (Some(value), _) => Ok(vec![value.to_owned()]),
        (None, Some(_)) => Ok(Vec::new()),
        (None, None) => Err(missing(inner)),
    }
}

/// A word with fields in it; none when one of them may be left out and is.
fn embedded<'a>(
    item: &str,
    get: &impl Fn(&str) -> Option<&'a str>,
) -> Result<Option<String>, String> {
    let mut word = String::new();
    let mut left = item;
    while let Some((before, after)) = left.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        word.push_str(before);
        match (get(name.trim_end_matches('?')), name.ends_with('?')) {
            (Some(value), _) => {
                if before.is_empty() && word.is_empty() && value.starts_with('-') {
                    return Err(dash(name));
                }
                word.push_str(value);
            }
            (None, true) => return Ok(None),
            (None, false) => return Err(missing(name)),
        }
        left = after;
    }
    word.push_str(left);
    Ok(Some(word))
}

fn rest(deed: &Deed, fields: &Fields) -> Result<Vec<String>, String> {
    let own = fields_of(deed).into_iter().map(|(name, _)| name);
    // The app of the path comes as a field as well.
    let named: BTreeSet<&str> = own.chain(["app"]).collect();
    let others = fields.iter().filter(|(name, value)| {
        !named.contains(name.as_str()) && !OURS.contains(&name.as_str()) && !value.trim().is_empty()
    });
    let words: Vec<_> = others
        .map(|(name, value)| format!("{name}={}", value.trim()))
        .collect();
    match words.is_empty() {
        true => Err("Nothing is to be changed: fill in a field".to_owned()),
        false => Ok(words),
    }
}

fn check(item: &str, word: &str, dashes: Dashes) -> Result<(), String> {
    let name = item.trim_matches(['{', '}', '.', '?']);
    if word.chars().any(|character| character.is_control()) {
        return Err(format!("The field {name} holds control characters"));
    }
    if word.len() > LONGEST {
        return Err(format!("The field {name} is too long"));
    }
    let is_field = item.starts_with('{');
    let is_flag = word.starts_with('-') && !item.contains(":-");
    if is_field && is_flag && dashes == Dashes::Refused {
        return Err(dash(name));
    }
    Ok(())
}

fn dash(name: &str) -> String {
    format!("The field {name} may not begin with a dash")
}

fn missing(name: &str) -> String {
    format!("The field {name} is missing")
}

fn sketched(item: &str, known: &[(&str, &str)]) -> Option<String> {
    let mut word = String::new();
    let mut left = item;
    while let Some((before, after)) = left.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        word.push_str(before);
        let bare = name.trim_end_matches(['?', '.']);
        match known.iter().find(|(field, _)| *field == bare) {
            Some((_, value)) if value.is_empty() && name.ends_with('?') => return None,
            Some((_, value)) => word.push_str(&quoted(&[(*value).to_owned()])),
            None if name.ends_with('?') => return None,
            None => word.push_str(&format!("<{bare}>")),
        }
        left = after;
    }
    word.push_str(left);
    Some(word)
}

/// Words as one types them into a shell.
pub(crate) fn quoted(words: &[String]) -> String {
    let is_bare = |word: &str| {
        let plain =
            |character: char| character.is_ascii_alphanumeric() || "_-./:=@%+,".contains(character);
        !word.is_empty() && word.chars().all(plain)
    };
    let words = words.iter().map(|word| match shlex::try_quote(word) {
        _ if is_bare(word) => word.clone(),
        Ok(quoted) => quoted.into_owned(),
        // Nothing that can be typed.
        Err(_) => word.escape_debug().to_string(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The fields of a deed, and whether each may be left out; the app of the path is none.
pub(crate) fn fields_of(deed: &Deed) -> Vec<(&'static str, bool)> {
    let mut fields: Vec<(&'static str, bool)> = Vec::new();
    for part in deed.words.split('{').skip(1) {
        let inner = part.split('}').next().unwrap_or_default();
        if inner == "...=" {
            continue;
        }
        let is_choice = inner.contains('=') && inner.contains(':');
        let name = inner.split('=').next().unwrap_or_default();
        let name = name.trim_end_matches(['?', '.']);
        let is_path = deed.of_app && name == "app";
        if !is_path && !fields.iter().any(|(known, _)| *known == name) {
            fields.push((name, inner.ends_with('?') || is_choice));
        }
    }
    fields.extend(deed.stdin.map(|name| (name, false)));
    fields
}
