//! Where an app listens, read from `EXPOSE`.

use sarsen_domain::{PortMapping, Scheme};

/// What an app without any `EXPOSE` gets.
pub(crate) fn default_ports() -> Vec<PortMapping> {
    vec![PortMapping {
        scheme: Scheme::Http,
        host: 80,
        container: 5000,
    }]
}

/// The first port of each `EXPOSE` line of the last stage, else the image's exposed ports, else the default.
pub(crate) fn detect_ports(dockerfile: Option<&str>, image: &[(u16, bool)]) -> Vec<PortMapping> {
    let mut exposed = dockerfile.map(expose_lines).unwrap_or_default();
    if exposed.is_empty() {
        exposed = image.to_vec();
        exposed.sort_unstable();
    }
    let mut mappings: Vec<PortMapping> = Vec::new();
    for (port, udp) in exposed {
        let scheme = match port {
            _ if udp => Scheme::Udp,
            443 => Scheme::Https,
            _ => Scheme::Http,
        };
        let mapping = PortMapping {
            scheme,
            host: port,
            container: port,
        };
        if !mappings.contains(&mapping) {
            mappings.push(mapping);
        }
    }
    if mappings.is_empty() {
        return default_ports();
    }
    mappings
}

/// First port and "is UDP" of each `EXPOSE` line. A new stage starts from nothing; a line with a variable or
/// without a legal port says nothing.
fn expose_lines(dockerfile: &str) -> Vec<(u16, bool)> {
    let mut found = Vec::new();
    for line in logical_lines(dockerfile) {
        let mut words = line.split_whitespace();
        let instruction = words.next().unwrap_or_default();
        if instruction.eq_ignore_ascii_case("FROM") {
            found.clear();
        } else if instruction.eq_ignore_ascii_case("EXPOSE")
            && let Some(exposed) = words.next().and_then(parse_expose)
        {
            found.push(exposed);
        }
    }
    found
}

fn parse_expose(word: &str) -> Option<(u16, bool)> {
    let word = word.trim_matches(['"', '\'']);
    let (ports, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let first = ports.split('-').next()?;
    let port: u16 = first.parse().ok().filter(|port| *port != 0)?;
    match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Some((port, false)),
        "udp" => Some((port, true)),
        _ => None,
    }
}

/// Lines with continuations joined and comment lines left out, as the engine's parser does.
fn logical_lines(dockerfile: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current = String::new();
    for line in dockerfile.lines() {
        let line = line.trim();
        if line.starts_with('#') || (line.is_empty() && !current.is_empty()) {
            continue;
        }
        if let Some(start) = line.strip_suffix('\\') {
            current.push_str(start);
            current.push(' ');
        } else {
            current.push_str(line);
            lines.push(std::mem::take(&mut current));
        }
    }
    lines.push(current);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dockerfile: &str, image: &[(u16, bool)], expected: &str) {
        let mappings = detect_ports(Some(dockerfile), image);
        let text: Vec<_> = mappings.iter().map(ToString::to_string).collect();
        assert_eq!(text.join(" "), expected, "{dockerfile:?}");
    }

    #[test]
    fn expose_lines_become_mappings() {
        check("FROM x\nEXPOSE 3000", &[], "http:3000:3000");
        check(
            "FROM x\nexpose 80 81 82\nEXPOSE 443",
            &[],
            "http:80:80 https:443:443",
        );
        check(
            "FROM x\nEXPOSE 53/udp\nEXPOSE 53/tcp",
            &[],
            "udp:53:53 http:53:53",
        );
        check("FROM x\nEXPOSE 8000-8010/TCP", &[], "http:8000:8000");
        check("FROM x\nEXPOSE 80\nEXPOSE 80", &[], "http:80:80");
        check(
            "FROM x\nEXPOSE \\\n# why\n  3000 \\\n  4000\n",
            &[],
            "http:3000:3000",
        );
        check("FROM x\nEXPOSE \"3000\"", &[], "http:3000:3000");
    }

    #[test]
    fn only_the_last_stage_counts() {
        check("FROM a AS b\nEXPOSE 1\nFROM c\nEXPOSE 2", &[], "http:2:2");
        check(
            "FROM a AS b\nEXPOSE 1\nFROM c\n",
            &[(2, false), (1, false)],
            "http:1:1 http:2:2",
        );
    }

    #[test]
    fn what_cannot_be_read_falls_back_to_the_image() {
        let image = [(8080, false), (53, true)];
        check("FROM x\nEXPOSE $PORT", &image, "udp:53:53 http:8080:8080");
        check(
            "FROM x\nEXPOSE 0\nEXPOSE 70000\nEXPOSE 1/sctp\n",
            &[],
            "http:80:5000",
        );
        check("FROM x\nRUN echo \\\nEXPOSE 9", &[], "http:80:5000");
        check("FROM x", &[], "http:80:5000");
    }

    proptest::proptest! {
        #[test]
        fn there_is_always_a_port(text in "(FROM x|EXPOSE|expose|[0-9]{0,6}|/udp|/tcp|-|\\$P|\\\\|#| |\n){0,12}") {
            let mappings = detect_ports(Some(&text), &[]);
            proptest::prop_assert!(mappings.iter().all(|mapping| mapping.container > 0));
            proptest::prop_assert!(!mappings.is_empty());
        }
    }
}
