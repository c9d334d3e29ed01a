//! What a deploy tells the person who watches it.

/// Where the output of a build goes: its log, and through it everybody who follows.
///
/// Writing never waits for a reader, so a slow one cannot hold up a deploy.
pub trait Progress: Send + Sync {
    /// Appends bytes as they are.
    fn write(&self, bytes: &[u8]);

    /// `-----> text`
    fn header(&self, text: &str) {
        self.write(format!("-----> {text}\n").as_bytes());
    }

    /// `=====> text`
    fn header2(&self, text: &str) {
        self.write(format!("=====> {text}\n").as_bytes());
    }

    /// Seven spaces and the text, line by line.
    fn body(&self, text: &str) {
        for line in text.lines() {
            self.write(format!("       {line}\n").as_bytes());
        }
    }

    /// ` !     text`, line by line.
    fn warn(&self, text: &str) {
        for line in text.lines() {
            self.write(format!(" !     {line}\n").as_bytes());
        }
    }
}

/// Forgets everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn write(&self, _bytes: &[u8]) {}
}
