//! Names of plugins and of triggers: each is a file's name below the plugins' folder, and nothing else.

use sarsen_domain::{Invalid, text_newtype};
use serde::{Deserialize, Serialize};

const LONGEST: usize = 64;

/// A plugin's name: `[0-9A-Za-z_][0-9A-Za-z_-]*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PluginName(String);
text_newtype!(PluginName);

impl PluginName {
    /// Dokku's rule, and no name that a command line could take for an option.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if plain(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new(format!(
            "Invalid plugin name '{}': letters, digits, underscores and hyphens, at most {LONGEST}",
            text.escape_debug()
        )))
    }
}

fn plain(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !text.is_empty() && text.len() <= LONGEST && !text.starts_with('-') && text.chars().all(legal)
}

macro_rules! triggers {
    ($($(#[$doc:meta])* $name:ident = $file:literal,)*) => {
        /// A moment at which plugins are asked to act. The ones that we fire are known by name.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Trigger {
            $($(#[$doc])* $name,)*
            /// One that plugins fire among themselves.
            Custom(PluginName),
        }

        impl Trigger {
            /// The name of the file that answers it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $file,)*
                    Self::Custom(name) => name.as_str(),
                }
            }

            /// The names of those that we fire.
            pub const NAMES: &[&str] = &[$($file,)*];

            fn known(text: &str) -> Option<Self> {
                match text {
                    $($file => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

triggers! {
    /// APP url|urls; prints what is shown instead
    AppUrls = "app-urls",
    /// BUILDER_TYPE APP FOLDER IMAGE; prints the image to build on
    BuilderCreateDokkuImage = "builder-create-dokku-image",
    /// APP FOLDER; the first line is the builder
    BuilderDetect = "builder-detect",
    /// BUILDER_TYPE APP FOLDER IMAGE; prints the image to build on
    BuilderDokkuImage = "builder-dokku-image",
    /// APP CONTAINER_ID PROC PORT IP INDEX
    CheckDeploy = "check-deploy",
    /// APP INTERNAL_PORT INTERNAL_IP IMAGE_TAG
    CorePostDeploy = "core-post-deploy",
    /// APP FOLDER REV
    CorePostExtract = "core-post-extract",
    /// SCHEDULER; prints `SCHEDULE;COMMAND[;LOGFILE]`
    CronEntries = "cron-entries",
    /// Nothing: packages of the host are to be installed
    Dependencies = "dependencies",
    /// APP SOURCE METADATA
    DeploySourceSet = "deploy-source-set",
    /// APP IMAGE_SOURCE_TYPE; prints flags
    DockerArgsBuild = "docker-args-build",
    /// APP IMAGE_TAG PROC INDEX; prints flags
    DockerArgsDeploy = "docker-args-deploy",
    /// APP IMAGE_SOURCE_TYPE; prints flags
    DockerArgsProcessBuild = "docker-args-process-build",
    /// APP IMAGE_SOURCE_TYPE IMAGE_TAG PROC INDEX; prints flags
    DockerArgsProcessDeploy = "docker-args-process-deploy",
    /// APP IMAGE_SOURCE_TYPE IMAGE_TAG; prints flags
    DockerArgsProcessRun = "docker-args-process-run",
    /// APP IMAGE_TAG; prints flags
    DockerArgsRun = "docker-args-run",
    /// APP
    GitPostPull = "git-post-pull",
    /// APP
    GitPrePull = "git-pre-pull",
    /// Nothing: a plugin was installed
    Install = "install",
    /// OLD NEW
    PostAppClone = "post-app-clone",
    /// OLD NEW
    PostAppCloneSetup = "post-app-clone-setup",
    /// OLD NEW
    PostAppRename = "post-app-rename",
    /// OLD NEW
    PostAppRenameSetup = "post-app-rename-setup",
    /// BUILDER_TYPE APP FOLDER
    PostBuild = "post-build",
    /// APP FOLDER
    PostBuildBuildpack = "post-build-buildpack",
    /// APP
    PostBuildDockerfile = "post-build-dockerfile",
    /// APP
    PostCertsRemove = "post-certs-remove",
    /// APP
    PostCertsUpdate = "post-certs-update",
    /// APP set|unset|clear KEY…
    PostConfigUpdate = "post-config-update",
    /// app CONTAINER_ID APP PHASE PROC
    PostContainerCreate = "post-container-create",
    /// APP
    PostCreate = "post-create",
    /// APP IMAGE_TAG
    PostDelete = "post-delete",
    /// APP INTERNAL_PORT INTERNAL_IP IMAGE_TAG
    PostDeploy = "post-deploy",
    /// APP ACTION DOMAIN…
    PostDomainsUpdate = "post-domains-update",
    /// APP FOLDER REV
    PostExtract = "post-extract",
    /// APP ACTION
    PostProxyPortsUpdate = "post-proxy-ports-update",
    /// SERVER USER; the password is in `DOCKER_REGISTRY_PASS`
    PostRegistryLogin = "post-registry-login",
    /// BUILDER_TYPE APP IMAGE
    PostReleaseBuilder = "post-release-builder",
    /// APP VALUE
    PostStackSet = "post-stack-set",
    /// APP
    PostStop = "post-stop",
    /// BUILDER_TYPE APP FOLDER
    PreBuild = "pre-build",
    /// APP FOLDER
    PreBuildBuildpack = "pre-build-buildpack",
    /// APP
    PreBuildDockerfile = "pre-build-dockerfile",
    /// APP IMAGE_TAG
    PreDelete = "pre-delete",
    /// APP IMAGE_TAG
    PreDeploy = "pre-deploy",
    /// APP
    PreDisableVhost = "pre-disable-vhost",
    /// APP
    PreEnableVhost = "pre-enable-vhost",
    /// APP BUILDER_TYPE FOLDER REV
    PreReceiveApp = "pre-receive-app",
    /// BUILDER_TYPE APP IMAGE
    PreReleaseBuilder = "pre-release-builder",
    /// APP IMAGE_TAG
    PreReleaseBuildpack = "pre-release-buildpack",
    /// APP IMAGE_TAG
    PreReleaseDockerfile = "pre-release-dockerfile",
    /// Nothing: apps are to be started again
    PreRestore = "pre-restore",
    /// APP
    PreStart = "pre-start",
    /// APP
    ProxyDisable = "proxy-disable",
    /// APP
    ProxyEnable = "proxy-enable",
    /// APP; prints a section
    Report = "report",
    /// APP PROC
    SchedulerPostDeployProcess = "scheduler-post-deploy-process",
    /// APP CONTAINER_ID
    RetireContainerFailed = "retire-container-failed",
    /// SCHEDULER APP CONTAINER_ID EXIT_CODE
    SchedulerPostRun = "scheduler-post-run",
    /// PLUGIN
    Uninstall = "uninstall",
    /// Nothing: plugins were updated
    Update = "update",
    /// SSH_USER SSH_NAME WORD…
    UserAuth = "user-auth",
    /// SSH_USER SSH_NAME APP…; prints those that may be seen
    UserAuthApp = "user-auth-app",
}

impl Trigger {
    /// The trigger of this name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if let Some(known) = Self::known(text) {
            return Ok(known);
        }
        match PluginName::parse(text) {
            Ok(name) => Ok(Self::Custom(name)),
            Err(_) => Err(Invalid::new(format!(
                "Invalid trigger name '{}': letters, digits, underscores and hyphens, at most {LONGEST}",
                text.escape_debug()
            ))),
        }
    }
}

impl std::fmt::Display for Trigger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_harmless_segment() {
        for good in ["hello", "20_events", "a-b", "A", "_x"] {
            assert!(PluginName::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in [
            "", "-x", ".", "..", "a/b", "a.b", "a b", "a\n", "ä", "$(x)", &long,
        ] {
            assert!(PluginName::parse(bad).is_err(), "{bad:?}");
            assert!(Trigger::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn triggers_keep_their_name() {
        assert_eq!(Trigger::parse("pre-deploy").unwrap(), Trigger::PreDeploy);
        assert_eq!(
            Trigger::parse("service-list").unwrap().as_str(),
            "service-list"
        );
    }
}
