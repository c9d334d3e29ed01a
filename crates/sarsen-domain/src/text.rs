//! Text in columns.

/// Appends text, and spaces up to a width. The formatter's own padding ends the program beyond 65,535.
pub fn padded(line: &mut String, text: &str, width: usize) {
    line.push_str(text);
    let missing = width.saturating_sub(text.chars().count());
    line.extend(std::iter::repeat_n(' ', missing));
}

#[cfg(test)]
mod tests {
    use super::padded;

    #[test]
    fn any_width_will_do() {
        let mut line = String::new();
        padded(&mut line, "é:", 4);
        padded(&mut line, "longer", 2);
        assert_eq!(line, "é:  longer");
        padded(&mut line, "", 100_000);
        assert_eq!(line.chars().count(), 100_010);
    }
}
