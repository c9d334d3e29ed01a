//! What docker's flags ask of a build, laid over the engine's request.

use bollard::query_parameters::BuildImageOptions;
use sarsen_domain::BuildFlags;
use sarsen_domain::docker_flags::NetworkMode;

use crate::{Result, RuntimeError};

/// Microseconds over which a build's share of the CPUs is counted.
const CPU_PERIOD: i32 = 100_000;

/// The client library counts a build's bytes in 32 bits.
pub(super) fn check(flags: &BuildFlags) -> Result<()> {
    for (flag, bytes) in [
        ("--memory", flags.memory),
        ("--memory-swap", flags.memory_swap),
        ("--shm-size", flags.shm_size),
    ] {
        if bytes.is_some_and(|bytes| i32::try_from(bytes).is_err()) {
            return Err(RuntimeError::Engine(format!(
                "{flag} of a build can be 2047m at most"
            )));
        }
    }
    Ok(())
}

/// The request that asks for everything that the flags do; [`check`] has passed.
pub(super) fn applied(flags: &BuildFlags, options: BuildImageOptions) -> BuildImageOptions {
    let narrow = |number: i64| i32::try_from(number).ok();
    let memory = flags.memory.and_then(narrow);
    let quota = flags.nano_cpus.map(|nanos| {
        nanos / 1_000_000_000 * i64::from(CPU_PERIOD) + nanos % 1_000_000_000 / 10_000
    });
    BuildImageOptions {
        extrahosts: (!flags.add_hosts.is_empty()).then(|| flags.add_hosts.join(",")),
        cachefrom: (!flags.cache_from.is_empty()).then(|| flags.cache_from.clone()),
        memory,
        // The sum of memory and swap: the same number means no swap.
        memswap: flags.memory_swap.and_then(narrow).or(memory),
        cpushares: flags.cpu_shares.and_then(narrow),
        cpusetcpus: flags.cpuset_cpus.clone(),
        cpuperiod: quota.map(|_| CPU_PERIOD),
        cpuquota: quota.and_then(narrow),
        shmsize: flags.shm_size.and_then(narrow),
        networkmode: flags.network.as_ref().map(|network| match network {
            NetworkMode::Named(name) => name.clone(),
            NetworkMode::Host => "host".to_owned(),
            NetworkMode::None => "none".to_owned(),
            NetworkMode::Container(name) => format!("container:{name}"),
        }),
        platform: flags.platform.clone().unwrap_or_default(),
        ..options
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_domain::DockerFlags;

    #[test]
    fn limits_reach_the_request() {
        let flags = DockerFlags::parse_build_text("--memory 256m --cpus 1.5 --network none");
        let options = applied(&flags.unwrap(), BuildImageOptions::default());
        assert_eq!(
            (options.memory, options.memswap),
            (Some(256 << 20), Some(256 << 20))
        );
        assert_eq!(
            (options.cpuperiod, options.cpuquota),
            (Some(100_000), Some(150_000))
        );
        assert_eq!(options.networkmode.as_deref(), Some("none"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let flags = DockerFlags::parse_build_text("--memory 4g").unwrap();
        assert!(check(&flags).unwrap_err().to_string().contains("--memory"));
    }
}
