//! What the kernel's control groups say of a process on this host, in their first and their second version.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ContainerUsage;

/// Where the groups are.
const ROOT: &str = "/sys/fs/cgroup";
/// The first version writes "no limit" as a very large number.
const NO_LIMIT: u64 = 1 << 60;

/// Where the groups of one process are.
#[derive(Debug, PartialEq, Eq)]
enum Places {
    First { cpu: PathBuf, memory: PathBuf },
    Second(PathBuf),
}

/// The group of this process; nothing when it is not on this host.
pub(super) async fn read(pid: u32) -> Option<ContainerUsage> {
    if pid == 0 {
        return None;
    }
    let list = tokio::fs::read_to_string(format!("/proc/{pid}/cgroup")).await;
    match places(&list.ok()?)? {
        Places::First { cpu, memory } => {
            let stat = text(&memory, "memory.stat").await?;
            let used = number(&memory, "memory.usage_in_bytes").await?;
            let limit = number(&memory, "memory.limit_in_bytes").await;
            Some(ContainerUsage {
                cpu: Duration::from_nanos(number(&cpu, "cpuacct.usage").await?),
                memory: used.saturating_sub(field(&stat, "total_inactive_file").unwrap_or(0)),
                memory_limit: limit.filter(|limit| *limit < NO_LIMIT),
            })
        }
        Places::Second(group) => {
            let (stat, cpu) = (
                text(&group, "memory.stat").await?,
                text(&group, "cpu.stat").await?,
            );
            let used = number(&group, "memory.current").await?;
            Some(ContainerUsage {
                cpu: Duration::from_micros(field(&cpu, "usage_usec")?),
                memory: used.saturating_sub(field(&stat, "inactive_file").unwrap_or(0)),
                // "max" is no number.
                memory_limit: number(&group, "memory.max").await,
            })
        }
    }
}

/// Lines are `ID:CONTROLLERS:PATH`; the second version has no controllers.
fn places(list: &str) -> Option<Places> {
    let group = |controller: &str| {
        let mut lines = list.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            Some((parts.next()?, parts.next()?))
        });
        let (_, path) = lines.find(|(names, _)| names.split(',').any(|name| name == controller))?;
        // A group of its own is not the root, which would be the whole host.
        (path.len() > 1 && !path.contains("..")).then(|| path.trim_start_matches('/').to_owned())
    };
    match (group("cpuacct"), group("memory")) {
        (Some(cpu), Some(memory)) => Some(Places::First {
            cpu: Path::new(ROOT).join("cpuacct").join(cpu),
            memory: Path::new(ROOT).join("memory").join(memory),
        }),
        _ => group("").map(|path| Places::Second(Path::new(ROOT).join(path))),
    }
}

async fn text(group: &Path, name: &str) -> Option<String> {
    tokio::fs::read_to_string(group.join(name)).await.ok()
}

async fn number(group: &Path, name: &str) -> Option<u64> {
    text(group, name).await?.trim().parse().ok()
}

fn field(stat: &str, name: &str) -> Option<u64> {
    let mut lines = stat.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(own, _)| *own == name)?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_in_both_versions_and_never_the_whole_host() {
        let first = "4:memory:/docker/ab\n2:cpu,cpuacct:/docker/ab\n0::/docker/ab\n";
        let expected = Places::First {
            cpu: "/sys/fs/cgroup/cpuacct/docker/ab".into(),
            memory: "/sys/fs/cgroup/memory/docker/ab".into(),
        };
        assert_eq!(places(first), Some(expected));
        let second = "0::/system.slice/docker-ab.scope\n";
        let path = "/sys/fs/cgroup/system.slice/docker-ab.scope";
        assert_eq!(places(second), Some(Places::Second(path.into())));
        for bad in ["", "0::/\n", "4:memory:/\n2:cpuacct:/\n", "0::/../x\n", "x"] {
            assert_eq!(places(bad), None, "{bad:?}");
        }
        assert_eq!(field("a 1\nab 2\n", "ab"), Some(2));
        assert_eq!(field("a x\n", "a"), None);
    }
}
