//! Host names as requests spell them: with a port, in capitals, with a trailing dot.

use std::borrow::Cow;

/// The host name inside a `Host` header or a URI's authority: lower case, without port or trailing dot.
///
/// `None` when it is not a host name at all; such a request is refused rather than guessed at.
pub(crate) fn normalise(raw: &str) -> Option<Cow<'_, str>> {
    let name = strip_port(raw)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    // An empty label is in nobody's name; with it, the dot at the end could be there twice.
    if name.len() > 253 || name.split('.').any(str::is_empty) {
        return None;
    }
    let bracketed = name.starts_with('[');
    let legal = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            !bracketed || b == b'.' || b.is_ascii_hexdigit()
        }
        b'[' | b']' | b':' => bracketed,
        _ => false,
    };
    if !name.bytes().all(legal) {
        return None;
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Some(Cow::Owned(name.to_ascii_lowercase()));
    }
    Some(Cow::Borrowed(name))
}

// `name`, `name:80`, `name:` (legal: an empty port), `[::1]`, `[::1]:80`.
fn strip_port(raw: &str) -> Option<&str> {
    let (name, port) = if raw.starts_with('[') {
        let end = raw.find(']')?;
        let (name, rest) = raw.split_at(end + 1);
        match rest.strip_prefix(':') {
            Some(port) => (name, port),
            None if rest.is_empty() => (name, ""),
            None => return None,
        }
    } else {
        raw.split_once(':').unwrap_or((raw, ""))
    };
    (port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_name() {
        for (raw, name) in [
            ("example.com", "example.com"),
            ("Example.COM:8080", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:80", "example.com"),
            ("example.com:", "example.com"),
            ("old_name.localhost", "old_name.localhost"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(normalise(raw).as_deref(), Some(name), "{raw}");
        }
    }

    #[test]
    fn what_is_not_a_host_name() {
        let long = "a".repeat(254);
        for raw in [
            "",
            ".",
            "a..",
            "a..b",
            ".a",
            ":80",
            "a b",
            "a/b",
            "a@b",
            "a:b",
            "a:1:2",
            "a:123456",
            "[::1",
            "[::1]x",
            "[g]",
            "a\"b",
            "ä.com",
            long.as_str(),
        ] {
            assert_eq!(normalise(raw), None, "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(raw in "\\PC{0,40}") {
            if let Some(once) = normalise(&raw) {
                let twice = normalise(&once);
                prop_assert_eq!(twice.as_deref(), Some(&*once));
            }
        }

        #[test]
        fn case_port_and_dot_do_not_matter(name in "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z0-9]{1,8}){0,3}", port in 1u16..) {
            let upper = name.to_ascii_uppercase();
            for raw in [format!("{upper}:{port}"), format!("{name}.:{port}"), format!("{upper}.")] {
                let found = normalise(&raw);
                prop_assert_eq!(found.as_deref(), Some(name.as_str()));
            }
        }

        #[test]
        fn the_result_is_safe_to_print(raw in any::<String>()) {
            if let Some(name) = normalise(&raw) {
                prop_assert!(name.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && !b.is_ascii_uppercase()));
            }
        }
    }
}
