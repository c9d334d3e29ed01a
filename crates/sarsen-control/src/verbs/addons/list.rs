//! The verbs that addons have, each with its usage and its help.

use sarsen_addons::Addon;

use super::{backups, data, expose, life, links, make, settings, show};
use crate::access::Action;
use crate::table::Handler;

/// A verb that every addon has which can do it.
pub(super) struct Verb {
    pub(super) verb: &'static str,
    pub(super) usage: &'static str,
    pub(super) action: Action,
    /// `%` stands for the addon's title.
    pub(super) help: &'static str,
    pub(super) run: Handler,
    pub(super) has: fn(&Addon) -> bool,
}

macro_rules! verb {
    ($name:literal, $usage:expr, $action:ident, $help:literal, $function:expr) => {
        verb!($name, $usage, $action, $help, $function, |_| true)
    };
    ($name:literal, $usage:expr, $action:ident, $help:literal, $function:expr, $has:expr) => {
        Verb {
            verb: $name,
            usage: $usage,
            action: Action::$action,
            help: $help,
            run: |control, call| Box::pin($function(control, call)),
            has: $has,
        }
    };
}

/// What can be chosen for a service when it is made, cloned or upgraded.
macro_rules! chosen {
    ($rest:literal) => {
        concat!(
            "[-c|--config-options OPTIONS] [-C|--custom-env ENV] [-i|--image IMAGE] [-I|--image-version VERSION] ",
            "[-m|--memory MEGABYTES] [-N|--initial-network NETWORKS] [-P|--post-create-network NETWORKS] ",
            "[-S|--post-start-network NETWORKS] [-s|--shm-size SIZE] ",
            $rest
        )
    };
}

pub(super) const VERBS: &[Verb] = &[
    verb!(
        "app-links",
        "<app>",
        Read,
        "Lists the % services that an app is linked to",
        links::of_app
    ),
    verb!(
        "backup",
        "<service> [<destination>]",
        Host,
        "Backs a % service up to a bucket or a folder of this host",
        backups::backup,
        Addon::exports
    ),
    verb!(
        "backup-auth",
        "<service> <aws-access-key-id> [<aws-secret-access-key>] [<aws-default-region>] [<aws-signature-version>] [<endpoint-url>]",
        Host,
        "Says who we are to the S3 storage of a % service's backups; the secret may come on standard input",
        backups::auth,
        Addon::exports
    ),
    verb!(
        "backup-deauth",
        "<service>",
        Host,
        "Forgets who we are to the S3 storage of a % service's backups",
        backups::deauth,
        Addon::exports
    ),
    verb!(
        "backup-list",
        "[--format stdout|json] <service>",
        Read,
        "Lists the backups of a % service",
        backups::list,
        Addon::exports
    ),
    verb!(
        "backup-restore",
        "[-f|--force] <service> [<backup>]",
        Host,
        "Replaces the data of a % service by that of a backup, else of its newest one",
        backups::restore,
        Addon::imports
    ),
    verb!(
        "backup-schedule",
        "<service> <schedule> [<destination>]",
        Host,
        "Backs a % service up at these times, given as a cron expression",
        backups::schedule,
        Addon::exports
    ),
    verb!(
        "backup-schedule-cat",
        "<service>",
        Read,
        "Prints when a % service is backed up, and where to",
        backups::schedule_cat,
        Addon::exports
    ),
    verb!(
        "backup-set-encryption",
        "<service> [<passphrase>]",
        Host,
        "Encrypts the backups of a % service with a passphrase, which may come on standard input",
        backups::set_encryption,
        Addon::exports
    ),
    verb!(
        "backup-set-public-key-encryption",
        "<service> <public-key>",
        Host,
        "Encrypts the backups of a % service for the holder of a private key (age)",
        backups::set_recipient,
        Addon::exports
    ),
    verb!(
        "backup-unschedule",
        "<service>",
        Host,
        "Backs a % service up no more by itself",
        backups::unschedule,
        Addon::exports
    ),
    verb!(
        "backup-unset-encryption",
        "<service>",
        Host,
        "Encrypts the backups of a % service no more with a passphrase",
        backups::unset_encryption,
        Addon::exports
    ),
    verb!(
        "backup-unset-public-key-encryption",
        "<service>",
        Host,
        "Encrypts the backups of a % service no more with a public key",
        backups::unset_recipient,
        Addon::exports
    ),
    verb!(
        "backup-verify",
        "<service> [<backup>]",
        Host,
        "Restores a backup of a % service, else its newest one, into a throw-away service and looks whether it is all there",
        backups::verify,
        Addon::imports
    ),
    verb!(
        "clone",
        chosen!("[-p|--password PASSWORD] [-r|--root-password PASSWORD] <service> <new-service>"),
        Host,
        "Makes a % service with the data of another one",
        make::clone
    ),
    verb!(
        "connect",
        "<service>",
        Inside,
        "Opens a client's session with a % service",
        data::connect,
        Addon::connects
    ),
    verb!(
        "create",
        chosen!("[-p|--password PASSWORD] [-r|--root-password PASSWORD] <service>"),
        Host,
        "Creates a % service",
        make::create
    ),
    verb!(
        "destroy",
        "[-f|--force] <service>",
        Host,
        "Permanently destroys a % service and its data",
        make::destroy
    ),
    verb!(
        "enter",
        "<service> [<command...>]",
        Inside,
        "Runs a command, or a shell, in the container of a % service",
        data::enter
    ),
    verb!(
        "exists",
        "<service>",
        Read,
        "Checks if a % service exists",
        show::exists
    ),
    verb!(
        "export",
        "<service>",
        Inside,
        "Writes the data of a % service to standard output",
        data::export,
        Addon::exports
    ),
    verb!(
        "expose",
        "<service> [<port>...]",
        Host,
        "Opens the ports of a % service on the host: [ADDRESS:]PORT each, else free ones",
        expose::expose
    ),
    verb!(
        "import",
        "<service>",
        Inside,
        "Replaces the data of a % service by what comes on standard input",
        data::import,
        Addon::imports
    ),
    verb!(
        "info",
        "[--config-dir] [--config-options] [--data-dir] [--data-size] [--dsn] [--exposed-ports] [--id] [--initial-network] [--internal-ip] \
         [--last-backup] [--last-verify] [--links] [--post-create-network] [--post-start-network] [--service-root] [--status] [--version] \
         [--volume] [--format stdout|json] <service>",
        Inside,
        "Displays a report about a % service, its URL included",
        show::info
    ),
    verb!(
        "link",
        "[-a|--alias ALIAS] [-n|--no-restart] [-q|--querystring QUERY] <service> <app>",
        Change,
        "Links a % service to an app, which gets its URL as a config var",
        links::link
    ),
    verb!(
        "linked",
        "<service> <app>",
        Read,
        "Checks if a % service is linked to an app",
        links::linked
    ),
    verb!(
        "links",
        "<service>",
        Read,
        "Lists the apps that a % service is linked to",
        links::links
    ),
    verb!(
        "list",
        "[--format stdout|json]",
        Read,
        "Lists the % services",
        show::list
    ),
    verb!(
        "logs",
        "[-t|--tail] [-n|--num N] <service>",
        Read,
        "Shows the last log lines of a % service, or follows them",
        show::logs
    ),
    verb!(
        "pause",
        "<service>",
        Change,
        "Stops a % service and keeps its container",
        life::pause
    ),
    verb!(
        "promote",
        "[-n|--no-restart] <service> <app>",
        Change,
        "Makes a % service that is linked to an app the one of its usual config var",
        links::promote
    ),
    verb!(
        "restart",
        "<service>",
        Change,
        "Restarts a % service",
        life::restart
    ),
    verb!(
        "set",
        "<service> <key> [<value>]",
        Host,
        "Sets a property of a % service, or clears it",
        settings::set
    ),
    verb!(
        "start",
        "<service>",
        Change,
        "Starts a % service",
        life::start
    ),
    verb!(
        "stop",
        "<service>",
        Change,
        "Stops a % service and removes its container; the data stays",
        life::stop
    ),
    verb!(
        "unexpose",
        "<service>",
        Host,
        "Closes the ports of a % service on the host",
        expose::unexpose
    ),
    verb!(
        "unlink",
        "[-n|--no-restart] <service> <app>",
        Change,
        "Takes the link of a % service to an app, and its config var, away",
        links::unlink
    ),
    verb!(
        "upgrade",
        chosen!("[-R|--restart-apps] <service>"),
        Host,
        "Gives a % service another image or other settings; its data comes along",
        make::upgrade
    ),
];
