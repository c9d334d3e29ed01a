//! Whether a container still runs, without asking the engine: the kernel knows its first process.
//!
//! An engine gives an address to another container only after the first one has ended. So for as long as the first
//! process of a container lives, its address is its own, whatever the engine is doing meanwhile.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// The first process of a container. A number is given again, but not with the same start time during one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FirstProcess {
    pid: u32,
    /// In ticks since the machine was booted.
    started: u64,
}

impl FirstProcess {
    /// The process of this number, if it lives here and has this address. It has not when the engine counts processes
    /// otherwise than we do (we are in a container), or runs elsewhere: then nothing can be known without asking it.
    pub(crate) fn behind(pid: u32, address: IpAddr) -> Option<Self> {
        let started = start_time(pid)?;
        let found = Self { pid, started };
        found.has(address).then_some(found)
    }

    pub(crate) fn lives(self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Whether the address is one of its network's own.
    pub(crate) fn has(self, address: IpAddr) -> bool {
        let of_process = |file: &str| {
            let path = format!("/proc/{}/net/{file}", self.pid);
            fs::read_to_string(path).unwrap_or_default()
        };
        match address {
            IpAddr::V4(address) => is_in_trie(&of_process("fib_trie"), address),
            IpAddr::V6(address) => is_in_list(&of_process("if_inet6"), address),
        }
    }
}

/// What tells this boot of the machine from every other.
pub(crate) fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// None when there is no such process, or nothing is left of it but its exit code.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_start_time(&stat)
}

fn parse_start_time(stat: &str) -> Option<u64> {
    // The name in the parentheses may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let is_over = matches!(state, "Z" | "X" | "x");
    // The state is field 3, the start time field 22.
    fields.nth(18)?.parse().ok().filter(|_| !is_over)
}

// `|-- 172.17.0.2`, and below it `/32 host LOCAL`.
fn is_in_trie(trie: &str, address: Ipv4Addr) -> bool {
    let mut last = None;
    for line in trie.lines().map(str::trim) {
        if let Some(node) = line.strip_prefix("|-- ") {
            last = node.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" && last == Some(address) {
            return true;
        }
    }
    false
}

// One address a line, which begins with its 32 digits.
fn is_in_list(list: &str, address: Ipv6Addr) -> bool {
    let wanted = format!("{:032x}", u128::from(address));
    list.lines()
        .any(|line| line.split_ascii_whitespace().next() == Some(&wanted))
}

#[cfg(test)]
#[expect(
    clippy::disallowed_types,
    reason = "a process is needed that ends, and nothing here is asynchronous"
)]
mod tests {
    use super::*;
    use std::process::Command;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn this_process_lives_and_has_the_loopback_address() {
        let own = FirstProcess::behind(std::process::id(), LOOPBACK).unwrap();
        assert!(own.lives());
        let earlier = FirstProcess {
            started: own.started - 1,
            ..own
        };
        assert!(!earlier.lives(), "the number alone says nothing");
        let elsewhere = "192.0.2.1".parse().unwrap();
        assert_eq!(FirstProcess::behind(std::process::id(), elsewhere), None);
    }

    #[test]
    fn a_process_that_has_ended_is_known_to_have_even_when_nobody_asked_for_its_code() {
        let mut child = Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let process = FirstProcess::behind(child.id(), LOOPBACK).unwrap();
        assert!(process.lives());
        child.kill().unwrap();
        let begun = std::time::Instant::now();
        // A zombie until it is waited for.
        while process.lives() {
            assert!(begun.elapsed().as_secs() < 10, "it lives on");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!process.lives());
    }

    #[test]
    fn names_of_processes_confuse_nobody() {
        let stat = "42 (a) R 1 (b) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 8801 1 1";
        assert_eq!(parse_start_time(stat), Some(8801));
        assert_eq!(parse_start_time(&stat.replace(") S", ") Z")), None);
        assert_eq!(parse_start_time("42 (a"), None);
    }

    #[test]
    fn only_addresses_of_its_own_count() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     \
                    +-- 172.17.0.0/16 2 0 2\n        |-- 172.17.0.0\n           /16 link UNICAST\n        \
                    |-- 172.17.0.2\n           /32 host LOCAL\n        |-- 172.17.255.255\n           \
                    /32 link BROADCAST\n";
        for (address, expected) in [
            ("172.17.0.2", true),
            ("172.17.0.0", false),
            ("172.17.255.255", false),
            ("172.17.0.20", false),
        ] {
            assert_eq!(is_in_trie(trie, address.parse().unwrap()), expected);
        }
        let list = "fd000000000000000000000000000002 09 40 00 80     eth0\n";
        assert!(is_in_list(list, "fd00::2".parse().unwrap()));
        assert!(!is_in_list(list, "fd00::3".parse().unwrap()));
    }
}
