//! Whether a container listens on a port, read from its network namespace without connecting to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use sarsen_runtime::ContainerInfo;
use tokio::net::TcpStream;
use tokio::time::timeout;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// `Err` says where the container listens instead, as far as that can be seen.
pub(super) async fn look(info: &ContainerInfo, port: u16) -> Result<(), Vec<SocketAddr>> {
    let Some(found) = listeners(info).await else {
        // Not our kernel, or not ours to read: then only trying helps.
        return if connects(info, port).await {
            Ok(())
        } else {
            Err(Vec::new())
        };
    };
    let on_port = |address: &&SocketAddr| address.port() == port;
    let reachable = |address: &SocketAddr| is_reachable(address.ip(), info);
    let mut there = found.iter().filter(on_port);
    if there
        .clone()
        .any(|address| address.is_ipv4() && reachable(address))
    {
        return Ok(());
    }
    // Most sockets on [::] take IPv4 too, but they need not.
    if there.any(reachable) && connects(info, port).await {
        return Ok(());
    }
    // The host's own listeners say nothing of the app.
    Err(if info.host_network { Vec::new() } else { found })
}

fn is_reachable(ip: IpAddr, info: &ContainerInfo) -> bool {
    ip.is_unspecified() || info.host_network || info.addresses.values().any(|own| *own == ip)
}

async fn connects(info: &ContainerInfo, port: u16) -> bool {
    let ip = if info.host_network {
        Some(IpAddr::V4(Ipv4Addr::LOCALHOST))
    } else {
        info.address()
    };
    let Some(ip) = ip else { return false };
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect((ip, port))).await;
    matches!(connected, Ok(Ok(_)))
}

/// What the container listens on; `None` when this host cannot tell.
async fn listeners(info: &ContainerInfo) -> Option<Vec<SocketAddr>> {
    if info.pid == 0 {
        return None;
    }
    let process = format!("/proc/{}", info.pid);
    // The number could belong to another process, seen from here: the engine may run in another PID namespace.
    let groups = read(&format!("{process}/cgroup")).await?;
    if !groups.contains(info.id.as_str()) {
        return None;
    }
    let mut found = parse(&read(&format!("{process}/net/tcp")).await?);
    // Without IPv6 there is no such file.
    let v6 = read(&format!("{process}/net/tcp6")).await;
    found.extend(parse(&v6.unwrap_or_default()));
    found.retain(|address| !is_engines_resolver(address));
    Some(found)
}

/// On user-defined networks the engine answers DNS inside the container.
fn is_engines_resolver(address: &SocketAddr) -> bool {
    address.ip() == IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11))
}

async fn read(path: &str) -> Option<String> {
    tokio::fs::read_to_string(path).await.ok()
}

/// The listening sockets of a `/proc/net/tcp` or `tcp6` table.
fn parse(table: &str) -> Vec<SocketAddr> {
    table.lines().skip(1).filter_map(listener).collect()
}

fn listener(line: &str) -> Option<SocketAddr> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next()?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddr::new(address(ip)?, port))
}

/// Words of 32 bits, each in the byte order of this machine.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |start: usize| {
        let word = u32::from_str_radix(hex.get(start..start + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            let ip = Ipv6Addr::from(bytes);
            Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_both_tables() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n";
        let v4 = format!(
            "{head}   0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n\
             \x20  1: 00000000:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n\
             \x20  2: 090011AC:0BB8 010011AC:C350 01 00000000:00000000 00:00000000 00000000\n"
        );
        let shown = |table: &str| {
            parse(table)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(&v4), ["127.0.0.1:5000", "0.0.0.0:3000"]);
        let v6 = format!(
            "{head}   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A x\n\
             \x20  1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A x\n\
             \x20  2: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A x\n"
        );
        assert_eq!(shown(&v6), ["[::]:8080", "[::1]:80", "127.0.0.1:81"]);
    }

    #[test]
    fn odd_lines_are_skipped() {
        assert!(parse("head\n0: x 0 0A\n0: 00:1 0 0A\n\n0: 0000000G:0001 0 0A").is_empty());
    }
}
