//! What pages and programs can have done, each declared once: a name, and how the fields of a form become the words of
//! a command. What is shown as the equivalent command line is what is carried out.

mod words;

use sarsen_control::{Action, Keeping};

#[cfg(test)]
pub(crate) use words::Filled;
pub(crate) use words::{fields_of, fill, line, quoted};

/// Something that can be done.
#[derive(Debug)]
pub(crate) struct Deed {
    pub(crate) name: &'static str,
    /// To the app of the path, or to the host.
    pub(crate) of_app: bool,
    pub(crate) action: Action,
    /// The command's words: see [`words`].
    pub(crate) words: &'static str,
    /// The field that the command reads from its standard input; always a secret.
    pub(crate) stdin: Option<&'static str>,
    pub(crate) about: &'static str,
    /// What it writes is a secret.
    pub(crate) keeping: Keeping,
}

macro_rules! deed {
    ($place:ident $name:literal $action:ident, $words:literal, $about:literal $(, $option:ident $value:expr)*) => {
        Deed {
            $($option: $value,)*
            ..Deed {
                name: $name,
                of_app: deed!(@ $place),
                action: Action::$action,
                words: $words,
                stdin: None,
                about: $about,
                keeping: Keeping::Hour,
            }
        }
    };
    (@ app) => { true };
    (@ host) => { false };
}

/// Everything that can be done.
pub(crate) static ALL: &[Deed] = &[
    deed!(host "create" Host, "apps:create {name}", "Creates an app"),
    deed!(app "destroy" Host, "--force apps:destroy {app} {confirm=app}", "Destroys an app; the field confirm must be its name"),
    deed!(app "rename" Host, "apps:rename {app} {name}", "Renames an app"),
    deed!(app "clone" Host, "apps:clone {app} {name}", "Copies an app"),
    deed!(app "lock" Change, "apps:lock {app}", "Locks an app against deploys"),
    deed!(app "unlock" Change, "apps:unlock {app}", "Lets an app be deployed again"),
    deed!(app "from-image" Deploy, "git:from-image {app} {image}", "Deploys an image"),
    deed!(app "from-git" Deploy, "git:sync --build {app} {url} {ref?}", "Deploys from another git server"),
    deed!(app "rebuild" Deploy, "ps:rebuild {app}", "Builds and deploys again"),
    deed!(app "restart" Deploy, "ps:restart {app} {process?}", "Restarts an app, or one process type"),
    deed!(app "stop" Deploy, "ps:stop {app}", "Stops an app"),
    deed!(app "start" Deploy, "ps:start {app}", "Starts an app"),
    deed!(app "scale" Deploy, "ps:scale {app} {...=}", "Changes quantities: a field for each process type"),
    deed!(app "rollback" Deploy, "rollback {app} {release?}", "Goes back to an earlier release"),
    deed!(app "cancel" Deploy, "builds:cancel {app}", "Stops the deploy under way"),
    deed!(app "run" Inside, "run --no-tty {app} -- {command}", "Runs a line in the shell of a new container"),
    deed!(app "config-set" Change, "--quiet config:import --format envfile {restart=next:--no-restart} {app} -", "Sets config vars from lines of KEY=value; restart=next waits for the next deploy", stdin Some("text")),
    deed!(app "config-replace" Change, "--quiet config:import --format envfile --replace {restart=next:--no-restart} {app} -", "Replaces all config vars", stdin Some("text")),
    deed!(app "config-unset" Change, "config:unset {restart=next:--no-restart} {app} {key...}", "Removes config vars"),
    deed!(app "config-reveal" Inside, "config:get {app} {key}", "Shows the value of a config var; audited", keeping Keeping::OneLook),
    deed!(app "domain-add" Change, "domains:add {app} {domain}", "Adds a domain"),
    deed!(app "domain-remove" Change, "domains:remove {app} {domain}", "Removes a domain"),
    deed!(app "domains-enable" Change, "domains:enable {app}", "Has an app reached by its domains"),
    deed!(app "domains-disable" Change, "domains:disable {app}", "Has an app reached by no domain"),
    deed!(app "tls-enable" Change, "letsencrypt:enable {app}", "Gets a certificate, and keeps it renewed"),
    deed!(app "tls-disable" Change, "letsencrypt:disable {app}", "Stops getting certificates"),
    deed!(app "cert-renew" Change, "letsencrypt:auto-renew {app}", "Renews a certificate that is due"),
    deed!(app "cert-generate" Change, "certs:generate {app} {domain}", "Makes a self-signed certificate"),
    deed!(app "limit" Change, "resource:limit --process-type={process?} --cpu={cpu?} --memory={memory?} {app}", "Limits what processes may use"),
    deed!(app "reserve" Change, "resource:reserve --process-type={process?} --cpu={cpu?} --memory={memory?} {app}", "Reserves processor and memory"),
    deed!(app "addon-link" Host, "{kind}:link {name} {app}", "Links a service to an app"),
    deed!(app "addon-unlink" Host, "{kind}:unlink {name} {app}", "Unlinks a service from an app"),
    deed!(host "addon-create" Host, "{kind}:create {name}", "Creates a service"),
    deed!(host "addon-restart" Host, "{kind}:restart {name}", "Restarts a service"),
    deed!(host "addon-stop" Host, "{kind}:stop {name}", "Stops a service"),
    deed!(host "addon-start" Host, "{kind}:start {name}", "Starts a service"),
    deed!(host "addon-backup" Host, "{kind}:backup {name} {target?}", "Backs a service up"),
    deed!(host "addon-verify" Host, "{kind}:backup-verify {name}", "Restores the last backup into a container of its own, and checks it"),
    deed!(host "addon-destroy" Host, "--force {kind}:destroy {name} {confirm=name}", "Destroys a service and its data; the field confirm must be its name"),
    deed!(app "cron-run" Inside, "cron:run {app} {id}", "Runs a scheduled task now"),
    deed!(app "cron-suspend" Change, "cron:suspend {app} {id}", "Suspends a scheduled task"),
    deed!(app "cron-resume" Change, "cron:resume {app} {id}", "Resumes a scheduled task"),
    deed!(app "storage-mount" Change, "storage:mount {app} {source}:{path}", "Mounts storage"),
    deed!(app "storage-unmount" Change, "storage:unmount {app} {source}:{path}", "Unmounts storage"),
    deed!(app "maintenance-on" Change, "maintenance:enable {app}", "Shows visitors the maintenance page"),
    deed!(app "maintenance-off" Change, "maintenance:disable {app}", "Lets visitors through again"),
    deed!(app "set" Change, "{verb}:set {app} {key} {value?}", "Sets a property, such as checks or nginx"),
    deed!(host "token-create" Own, "tokens:create --right={right?} --on={app?} --days={days?} {name}", "Makes a token for the API", keeping Keeping::OneLook),
    deed!(host "token-revoke" Own, "tokens:revoke {name}", "Takes a token back"),
    deed!(host "session-end" Own, "dashboard:logout {id}", "Ends a session of the dashboard"),
];

/// The deed of this name.
#[cfg(test)]
pub(crate) fn find(name: &str) -> Option<&'static Deed> {
    ALL.iter().find(|deed| deed.name == name)
}

#[cfg(test)]
mod tests;
