//! The line discipline a kernel terminal would give: echo, erase, Ctrl-C and Ctrl-D on input; `\n` shown as `\r\n` on output.
//!
//! A client that asked for a terminal has put its own into raw mode and leaves these to us, until a command wants the bytes untouched.

use bytes::Bytes;

const INTERRUPT: u8 = 0x03;
const END_OF_FILE: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const KILL_LINE: u8 = 0x15;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;
/// As in the kernel: what does not fit on one line is not taken.
const LONGEST_LINE: usize = 4096;

/// The line being typed.
#[derive(Debug, Default)]
pub(crate) struct LineEditor {
    line: Vec<u8>,
    after_return: bool,
}

/// What typing led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Typed {
    /// Whole lines for the command.
    pub(crate) input: Vec<u8>,
    /// What the typist sees.
    pub(crate) echo: Vec<u8>,
    pub(crate) signal: Option<Signal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C
    Interrupt,
    /// Ctrl-D on an empty line.
    EndOfFile,
}

impl LineEditor {
    pub(crate) fn type_in(&mut self, bytes: &[u8]) -> Typed {
        let mut typed = Typed::default();
        for &byte in bytes {
            if typed.signal.is_some() {
                break;
            }
            self.key(byte, &mut typed);
            self.after_return = byte == b'\r';
        }
        typed
    }

    fn key(&mut self, byte: u8, typed: &mut Typed) {
        match byte {
            // The second half of a pasted \r\n.
            b'\n' if self.after_return => {}
            b'\r' | b'\n' => {
                typed.input.append(&mut self.line);
                typed.input.push(b'\n');
                typed.echo.extend(b"\r\n");
            }
            BACKSPACE | DELETE => self.erase(typed),
            KILL_LINE => {
                while !self.line.is_empty() {
                    self.erase(typed);
                }
            }
            INTERRUPT => {
                self.line.clear();
                typed.echo.extend(b"^C\r\n");
                typed.signal = Some(Signal::Interrupt);
            }
            END_OF_FILE if self.line.is_empty() => typed.signal = Some(Signal::EndOfFile),
            END_OF_FILE => typed.input.append(&mut self.line),
            _ if self.line.len() >= LONGEST_LINE => {}
            ESCAPE => {
                self.line.push(byte);
                typed.echo.extend(b"^[");
            }
            other => {
                self.line.push(other);
                typed.echo.push(other);
            }
        }
    }

    fn erase(&mut self, typed: &mut Typed) {
        // The bytes of one UTF-8 character: continuation bytes, then the one that starts it.
        let mut erased = self.line.pop();
        while erased.is_some_and(|byte| byte & 0xc0 == 0x80) {
            erased = self.line.pop();
        }
        match erased {
            Some(ESCAPE) => typed.echo.extend(b"\x08 \x08\x08 \x08"),
            Some(_) => typed.echo.extend(b"\x08 \x08"),
            None => {}
        }
    }
}

/// Output as a terminal in raw mode must get it. Keeps whether the last byte was `\r`, so that nothing is doubled.
#[derive(Debug, Default)]
pub(crate) struct LineEnds {
    after_return: bool,
}

impl LineEnds {
    pub(crate) fn convert(&mut self, bytes: Bytes) -> Bytes {
        if !bytes.contains(&b'\n') {
            self.after_return = bytes
                .last()
                .map_or(self.after_return, |&byte| byte == b'\r');
            return bytes;
        }
        let mut converted = Vec::with_capacity(bytes.len() + 64);
        for &byte in &bytes {
            if byte == b'\n' && !self.after_return {
                converted.push(b'\r');
            }
            converted.push(byte);
            self.after_return = byte == b'\r';
        }
        converted.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> (String, String, Option<Signal>) {
        let Typed {
            input,
            echo,
            signal,
        } = LineEditor::default().type_in(bytes);
        (
            String::from_utf8(input).unwrap(),
            String::from_utf8(echo).unwrap(),
            signal,
        )
    }

    #[test]
    fn lines_are_edited_and_echoed() {
        for (keys, input, echo) in [
            (&b"abc"[..], "", "abc"),
            (b"abc\r", "abc\n", "abc\r\n"),
            (b"a\r\nb\n", "a\nb\n", "a\r\nb\r\n"),
            (b"ax\x7fb\r", "ab\n", "ax\x08 \x08b\r\n"),
            (b"\x7f\r", "\n", "\r\n"),
            ("aä\u{8}b\r".as_bytes(), "ab\n", "aä\x08 \x08b\r\n"),
            (b"ab\x15c\r", "c\n", "ab\x08 \x08\x08 \x08c\r\n"),
            (b"ab\x04", "ab", "ab"),
        ] {
            assert_eq!(typed(keys), (input.into(), echo.into(), None), "{keys:?}");
        }
    }

    #[test]
    fn control_keys() {
        assert_eq!(
            typed(b"a\rb\x03c"),
            ("a\n".into(), "a\r\nb^C\r\n".into(), Some(Signal::Interrupt))
        );
        assert_eq!(
            typed(b"\x04"),
            (String::new(), String::new(), Some(Signal::EndOfFile))
        );
        let long = typed(&[b'x'; 2 * LONGEST_LINE]);
        assert_eq!(long.1.len(), LONGEST_LINE);
    }

    #[test]
    fn line_ends_are_not_doubled() {
        let mut ends = LineEnds::default();
        assert_eq!(ends.convert("a\nb\r\n\n".into()), "a\r\nb\r\n\r\n");
        assert_eq!(ends.convert("x\r".into()), "x\r");
        assert_eq!(ends.convert("\ny".into()), "\ny");
        assert_eq!(ends.convert("\n".into()), "\r\n");
    }
}
