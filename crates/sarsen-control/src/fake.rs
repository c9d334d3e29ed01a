//! A control whose store is in a folder of the caller's and whose engine and certificate authority are in memory, for
//! tests of what is said to it.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sarsen_addons::Catalog;
use sarsen_build::{BuildSettings, Builder};
use sarsen_deploy::{DeploySettings, Deployer};
use sarsen_git::{RepoSettings, Repos, SubmodulePolicy};
use sarsen_plugins::{PluginSettings, Plugins};
use sarsen_registry::{Host, Registry, RegistrySettings};
use sarsen_router::{FakeIssuer, Router, RouterSettings};
use sarsen_runtime::Runtime;
use sarsen_runtime::fake::FakeRuntime;
use sarsen_store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{AcmeSettings, Control, ControlSettings, Parts, RouterPorts};

/// What was kept in the folder before is there again, as after a restart.
pub async fn control(
    root: &Path,
    engine: &FakeRuntime,
    issuer: &FakeIssuer,
) -> Result<Control, Box<dyn Error + Send + Sync>> {
    let runtime: Runtime = Arc::new(engine.clone());
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let registry = RegistrySettings::new("test", Host::local("test"));
    Ok(Control::new(Parts {
        store: Store::open(&root.join("db"), &root.join("key")).await?,
        repos: Repos::new(repos(root, &tasks))?,
        registry: Registry::new(runtime.clone(), registry),
        router: Router::new(RouterSettings::default()),
        router_ports: RouterPorts::new(shutdown.clone(), tasks.clone()),
        builder: Builder::new(runtime.clone(), BuildSettings::default()),
        deployer: Deployer::new(runtime.clone(), DeploySettings::new("test")),
        plugins: Plugins::new(&plugins(root, &tasks))?,
        issuer: Arc::new(issuer.clone()),
        addons: Catalog::load(&root.join("addons"), &crate::nouns())?,
        runtime,
        tasks,
        shutdown,
        settings: settings(root),
    }))
}

fn repos(root: &Path, tasks: &TaskTracker) -> RepoSettings {
    RepoSettings {
        root: root.join("git"),
        work: None,
        hook_binary: "/bin/false".into(),
        hooks: None,
        max_pack_bytes: 1 << 20,
        submodules: SubmodulePolicy::default(),
        tasks: tasks.clone(),
    }
}

fn plugins(root: &Path, tasks: &TaskTracker) -> PluginSettings {
    PluginSettings {
        root: root.join("plugins"),
        lib_root: root.to_owned(),
        dokku_root: root.join("git"),
        socket: root.join("control.sock"),
        binary: "/bin/false".into(),
        stack_image: String::new(),
        env: Vec::new(),
        trigger_time_limit: Duration::from_secs(1),
        tasks: tasks.clone(),
    }
}

fn settings(root: &Path) -> ControlSettings {
    ControlSettings {
        owner: "test".to_owned(),
        data_dir: root.to_owned(),
        dokku_root: root.join("git"),
        dokku_lib_root: root.to_owned(),
        dokku_owner: None,
        binary: "/usr/local/bin/sarsen".into(),
        socket: root.join("control.sock"),
        http_ip: [127, 0, 0, 1].into(),
        http_port: 8080,
        http_public_port: 8080,
        https_port: None,
        https_public_port: None,
        ssh_host: "localhost".to_owned(),
        ssh_port: 2222,
        dashboard: None,
        dashboard_host: None,
        dashboard_address: None,
        dashboard_pair: None,
        access_log: Some(root.join("access.log")),
        keep_releases: 10,
        acme: AcmeSettings::default(),
    }
}
