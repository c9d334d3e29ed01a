//! What the daemon itself uses, as the kernel tells it.

use std::time::Duration;

/// Ticks of the kernel's clock in a second; the same on every Linux that we run on.
const TICKS: u64 = 100;
/// Pages of memory.
const PAGE: u64 = 4096;

/// The daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) cpu: Duration,
    /// In bytes.
    pub(crate) resident: u64,
    pub(crate) open_files: u64,
    /// In Unix seconds.
    pub(crate) started: u64,
}

/// Looks at this process.
pub(crate) fn look() -> Option<Process> {
    let own = std::fs::read_to_string("/proc/self/stat").ok()?;
    let kernel = std::fs::read_to_string("/proc/stat").ok()?;
    let files = std::fs::read_dir("/proc/self/fd").ok()?.count();
    read(&own, &kernel, files as u64)
}

fn read(own: &str, kernel: &str, open_files: u64) -> Option<Process> {
    // The name of the program, in parentheses, may hold anything.
    let (_, rest) = own.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |place: usize| {
        fields
            .get(place)
            .and_then(|field| field.parse::<u64>().ok())
    };
    let ticks = number(11)? + number(12)?;
    let booted = kernel
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    let booted: u64 = booted.trim().parse().ok()?;
    Some(Process {
        cpu: Duration::from_millis(ticks * 1000 / TICKS),
        resident: number(21)? * PAGE,
        open_files,
        started: booted + number(19)? / TICKS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read_in_place() {
        let own = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15 16 17 18 1000 20 3 22";
        let process = read(own, "cpu 1\nbtime 1700000000\n", 9).unwrap();
        let expected = Process {
            cpu: Duration::from_secs(2),
            resident: 3 * PAGE,
            open_files: 9,
            started: 1_700_000_010,
        };
        assert_eq!(process, expected);
        let now = look().unwrap();
        assert!(now.resident > 0 && now.open_files > 0);
    }
}
