//! The engine's progress about image layers, reduced to lines worth reading.

/// A line for the states that last: bars and waiting states are left out.
pub(super) fn calm(id: Option<&str>, status: Option<&str>) -> Option<String> {
    const PASSING: [&str; 6] = [
        "Downloading",
        "Download complete",
        "Extracting",
        "Pulling fs layer",
        "Verifying Checksum",
        "Waiting",
    ];
    let status = status
        .map(str::trim_end)
        .filter(|status| !status.is_empty())?;
    if PASSING.contains(&status) || status.starts_with("Retrying in") {
        return None;
    }
    match id {
        // The id of this one is the tag, which the next lines repeat.
        Some(id) if !status.starts_with("Pulling from") => Some(format!("{id}: {status}")),
        _ => Some(status.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lasts_is_told() {
        let line = |id, status| calm(Some(id), Some(status));
        assert_eq!(
            line("latest", "Pulling from library/x").unwrap(),
            "Pulling from library/x"
        );
        assert_eq!(
            line("a1b2", "Pull complete").unwrap(),
            "a1b2: Pull complete"
        );
        assert_eq!(
            calm(None, Some("Status: Image is up to date"))
                .unwrap()
                .len(),
            27
        );
        for passing in ["Downloading", "Extracting", "Retrying in 3 seconds", " "] {
            assert_eq!(line("a1b2", passing), None, "{passing}");
        }
    }
}
