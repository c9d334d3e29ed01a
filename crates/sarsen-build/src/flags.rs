//! Docker's flags for builds: each builder takes those that mean something to it and refuses the others by name.

use sarsen_domain::{BuildFlags, ContainerSettings, DockerFlags, Invalid};

use crate::{BuildError, BuildOptions};

/// `--file` names the Dockerfile, whatever builder it will be.
pub(crate) fn choose_dockerfile(options: &mut BuildOptions) {
    let files = options.docker_options.iter();
    let mut files = files.filter_map(|option| DockerFlags::parse_build_text(option).ok()?.file);
    if let Some(file) = files.next_back() {
        options.dockerfile_path = file;
    }
}

/// The flags for the engine's own build.
pub(crate) fn of_dockerfile(options: &BuildOptions) -> Result<BuildFlags, BuildError> {
    let mut flags = BuildFlags::default();
    for option in &options.docker_options {
        if is_link(option) {
            continue;
        }
        let parsed = DockerFlags::parse_build_text(option);
        flags = flags.overlaid(parsed.map_err(|error| refused("a Dockerfile", &error))?);
    }
    let limits = &options.limits;
    flags.memory = limits.memory.or(flags.memory);
    flags.memory_swap = limits.memory_swap.or(flags.memory_swap);
    flags.nano_cpus = limits.nano_cpus.or(flags.nano_cpus);
    flags.cpu_shares = limits.cpu_shares.or(flags.cpu_shares);
    if limits.gpus.is_some() || limits.memory_reservation.is_some() {
        return Err(BuildError::Invalid(Invalid::new(
            "Builds with a Dockerfile have no GPUs and no reserved memory: clear them with resource:limit and \
             resource:reserve --process-type build",
        )));
    }
    Ok(flags)
}

/// Datastore plugins give their links to all phases at once. A build with a Dockerfile has none: Dokku leaves them out, too.
fn is_link(option: &str) -> bool {
    DockerFlags::parse_text(option).is_ok_and(|flags| {
        let only = ContainerSettings {
            links: flags.links.clone(),
            ..ContainerSettings::default()
        };
        !flags.links.is_empty() && flags == only
    })
}

/// The flags for the container that buildpacks run in.
pub(crate) fn of_buildpacks(options: &BuildOptions) -> Result<ContainerSettings, BuildError> {
    let mut flags = ContainerSettings::default();
    for option in &options.docker_options {
        let parsed = DockerFlags::parse_text(option);
        flags = flags.overlaid(parsed.map_err(|error| refused("buildpacks", &error))?);
    }
    Ok(flags.overlaid(options.limits.clone()))
}

fn refused(builder: &str, error: &Invalid) -> BuildError {
    BuildError::Invalid(Invalid::new(format!(
        "A docker option of the phase build does not fit a build with {builder}: {error}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(docker_options: &[&str]) -> BuildOptions {
        BuildOptions {
            docker_options: docker_options.iter().map(|one| (*one).to_owned()).collect(),
            ..BuildOptions::default()
        }
    }

    #[test]
    fn each_builder_refuses_what_means_nothing_to_it() {
        let mut both = options(&["--memory 512m", "--build-arg A=1", "-f other/Dockerfile"]);
        let flags = of_dockerfile(&both).unwrap();
        assert_eq!((flags.memory, flags.build_args.len()), (Some(512 << 20), 1));
        let error = of_buildpacks(&both).unwrap_err().to_string();
        assert!(error.contains("--build-arg"), "{error}");
        choose_dockerfile(&mut both);
        assert_eq!(both.dockerfile_path, "other/Dockerfile");
        let linked = options(&["--link dokku.redis.a:dokku-redis-a", "--link=a:b"]);
        assert_eq!(of_dockerfile(&linked).unwrap(), BuildFlags::default());
        let error = of_dockerfile(&options(&["-v cache:/c"])).unwrap_err();
        assert!(error.to_string().contains("-v"), "{error}");
        assert_eq!(
            of_buildpacks(&options(&["-v cache:/c"]))
                .unwrap()
                .mounts
                .len(),
            1
        );
    }
}
