//! A Dokku as it lies on disk, the good parts and the bad ones.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sarsen_domain::{AppName, ProcessType};
use sarsen_git::{RepoSettings, Repos, SubmodulePolicy};
use sarsen_store::{Locked, Scope, Store};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

struct Fixture {
    folder: TempDir,
    store: Store,
    repos: Repos,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let store = Store::open(&at("db"), &at("key")).await.unwrap();
        let repos = Repos::new(RepoSettings {
            root: at("target/git"),
            work: None,
            hook_binary: "/bin/false".into(),
            hooks: None,
            max_pack_bytes: 1 << 20,
            submodules: SubmodulePolicy::default(),
            tasks: TaskTracker::new(),
        });
        let fixture = Self {
            store,
            repos: repos.unwrap(),
            folder,
        };
        fs::create_dir_all(fixture.path("home/dokku")).unwrap();
        fs::create_dir_all(fixture.path("lib/config")).unwrap();
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A bare repository with one commit on master.
    #[expect(clippy::disallowed_types, reason = "a test that waits for one program")]
    fn repository(&self, app: &str) {
        let bare = self.path(&format!("home/dokku/{app}"));
        let git = |words: &[&str], folder: &Path| {
            let done = std::process::Command::new("git")
                .args(["-c", "user.name=ada", "-c", "user.email=ada@test"])
                .args(words)
                .current_dir(folder)
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .output()
                .unwrap();
            assert!(done.status.success(), "{words:?}: {done:?}");
        };
        let bare_text = bare.to_str().unwrap();
        git(
            &["init", "-q", "--bare", "-b", "master", bare_text],
            Path::new("/"),
        );
        let work = self.path(&format!("work-{app}"));
        fs::create_dir_all(&work).unwrap();
        git(&["init", "-q", "-b", "master"], &work);
        git(&["commit", "-q", "--allow-empty", "-m", "one"], &work);
        git(&["push", "-q", bare_text, "master"], &work);
        // What a stranger's repository may bring along.
        self.write(
            &format!("home/dokku/{app}/hooks/pre-receive"),
            "#!/bin/sh\ntouch /tmp/never\n",
        );
        self.write(
            &format!("home/dokku/{app}/config"),
            "[core]\n\tbare = true\n\thooksPath = /tmp\n[uploadpack]\n\tpackObjectsHook = false\n",
        );
    }

    async fn import(&self, mode: ImportMode) -> String {
        let folders = DokkuFolders {
            root: self.path("home/dokku"),
            lib: self.path("lib"),
        };
        let target = Target {
            store: &self.store,
            repos: &self.repos,
        };
        import(&folders, &target, mode).await.unwrap()
    }
}

fn app(name: &str) -> AppName {
    AppName::parse(name).unwrap()
}

/// Two apps, one of them as Dokku 0.38 keeps it, one as older versions did.
async fn dokku() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.write("home/dokku/VHOST", "example.com\n");
    fixture.write("home/dokku/HOSTNAME", "example.com\n");
    let forced = "command=\"FINGERPRINT=SHA256:x NAME=\\\"ada\\\" `cat /home/dokku/.sshcommand` $SSH_ORIGINAL_COMMAND\"";
    fixture.write(
        "home/dokku/.ssh/authorized_keys",
        &format!("{forced},no-pty {KEY} ada@laptop\n"),
    );
    fixture.repository("shop");
    fixture.write("home/dokku/shop/VHOST", "shop.example.com\n");
    fixture.write(
        "lib/config/shop/ENV",
        "DATABASE_URL=\"postgres://x:y@z/db\"\nGIT_REV=\"abc\"\nTEXT=\"a\\nb\"\n",
    );
    fixture.write("lib/config/--global/ENV", "TZ=\"UTC\"\n");
    fixture.write("lib/config/ps/shop/scale", "web=2\nworker=1\n");
    fixture.write("lib/config/ps/shop/restart-policy", "always");
    fixture.write(
        "lib/config/ports/shop/map",
        "http:80:5000\nhttp:8080:5000\n",
    );
    fixture.write(
        "lib/config/buildpacks/shop/buildpacks",
        "https://github.com/heroku/heroku-buildpack-nodejs.git\n",
    );
    fixture.write("lib/config/resource/shop/_default_.limit.memory", "512m");
    fixture.write(
        "lib/config/docker-options/shop/_default_.deploy",
        "-v /srv/shop:/data\n--frobnicate=secret\n",
    );
    fixture.write(
        "home/dokku/blog_old/DOCKER_OPTIONS_RUN",
        "--restart=on-failure:10\n--add-host db:10.0.0.1\n",
    );
    fixture.write("lib/config/git/shop/deploy-branch", "release");
    fixture.write("lib/config/git/--global/deploy-branch", "main");
    fixture.write("lib/config/letsencrypt/shop/email", "ada@example.com");
    fixture.write("lib/data/apps/shop/.deploy.lock", "");
    fixture.write("lib/plugins/available/redis/plugin.toml", "");
    fixture.write("lib/services/redis/cache/ID", "x");
    fixture.repository("blog_old");
    fixture.write(
        "home/dokku/blog_old/ENV",
        "export NO_VHOST='1'\nexport SECRET='it'\\''s'\n",
    );
    fixture.write("home/dokku/blog_old/DOKKU_SCALE", "web=0\n");
    fixture.write("home/dokku/blog_old/tls/server.crt", "x");
    let made = sarsen_router::self_signed(&["shop.example.com"], 30).unwrap();
    fixture.write("home/dokku/shop/tls/server.crt", &made.certificate);
    fixture.write("home/dokku/shop/tls/server.key", &made.key);
    fixture
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one tree, looked at from every side")]
async fn everything_that_has_a_place_here_is_carried_over_once() {
    let fixture = dokku().await;
    let rehearsed = fixture.import(ImportMode::DryRun).await;
    assert!(rehearsed.contains("Nothing was written"), "{rehearsed}");
    assert_eq!(fixture.store.apps().list().await.unwrap(), []);
    assert_eq!(fixture.store.ssh_keys().list().await.unwrap(), []);

    let report = fixture.import(ImportMode::Write).await;
    let store = &fixture.store;
    assert_eq!(
        store.apps().list().await.unwrap(),
        [app("blog_old"), app("shop")]
    );
    let shop = Scope::App(app("shop"));
    let config = store.config().get(&shop).await.unwrap();
    assert_eq!(config.get("DATABASE_URL"), Some("postgres://x:y@z/db"));
    assert_eq!(
        (config.get("TEXT"), config.get("GIT_REV")),
        (Some("a\nb"), None)
    );
    assert_eq!(store.domains().list(&shop).await.unwrap(), []);
    assert_eq!(store.domains().list(&Scope::Global).await.unwrap().len(), 1);
    let formation = store.formation().get(&app("shop")).await.unwrap();
    assert_eq!(formation.quantity(&ProcessType::web()), 2);
    assert_eq!(store.ports().list(&app("shop")).await.unwrap().len(), 2);
    assert_eq!(store.buildpacks().get(&app("shop")).await.unwrap().len(), 1);
    let property = |scope: Scope, plugin: &'static str, key: &'static str| async move {
        store.properties().get(&scope, plugin, key).await.unwrap()
    };
    assert_eq!(
        property(shop.clone(), "git", "deploy-branch")
            .await
            .as_deref(),
        Some("release")
    );
    assert_eq!(
        property(Scope::Global, "git", "deploy-branch")
            .await
            .as_deref(),
        Some("main")
    );
    assert_eq!(
        property(shop.clone(), "ps", "restart-policy")
            .await
            .as_deref(),
        Some("always")
    );
    assert_eq!(
        property(shop.clone(), "resource", "limit.memory")
            .await
            .as_deref(),
        Some("512m")
    );
    let options = store.docker_options().list(&app("shop")).await.unwrap();
    assert_eq!(
        options
            .iter()
            .map(|one| one.option.as_str())
            .collect::<Vec<_>>(),
        ["-v /srv/shop:/data"]
    );
    assert!(
        report.contains("--frobnicate") && !report.contains("=secret"),
        "{report}"
    );
    let options = store.docker_options().list(&app("blog_old")).await.unwrap();
    assert_eq!(options.len(), 1, "{options:?}");
    assert!(store.apps().get(&app("shop")).await.unwrap().locked);
    assert!(
        !store
            .domains()
            .vhosts_enabled(&app("blog_old"))
            .await
            .unwrap()
    );
    assert!(store.certificates().exists(&app("shop")).await.unwrap());
    assert!(!store.certificates().exists(&app("blog_old")).await.unwrap());
    let old = store
        .config()
        .get(&Scope::App(app("blog_old")))
        .await
        .unwrap();
    assert_eq!(
        (old.get("SECRET"), old.get("NO_VHOST")),
        (Some("it's"), None)
    );
    let keys = store.ssh_keys().list().await.unwrap();
    assert_eq!(
        (keys[0].name.as_str(), keys[0].public_key.as_str()),
        ("ada", KEY)
    );
    for told in [
        "letsencrypt",
        "certificate",
        "plugin redis",
        "redis service cache",
    ] {
        assert!(report.contains(told), "{told} in\n{report}");
    }
    for secret in ["postgres://", "it's"] {
        assert!(
            !report.contains(secret) && !rehearsed.contains(secret),
            "{report}"
        );
    }
    let head = fixture.repos.path(&app("shop")).join("refs/heads/master");
    assert!(head.exists());
    let copied = fs::read_to_string(fixture.repos.path(&app("shop")).join("config")).unwrap();
    assert!(!copied.contains("packObjectsHook"), "{copied}");

    // The second run changes nothing, not even what was changed since.
    store
        .apps()
        .set_locked(&app("shop"), Locked::No)
        .await
        .unwrap();
    let again = fixture.import(ImportMode::Write).await;
    assert!(again.contains("is here already"), "{again}");
    assert!(!store.apps().get(&app("shop")).await.unwrap().locked);
    assert_eq!(store.ssh_keys().list().await.unwrap().len(), 1);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one tree, looked at from every side")]
async fn hostile_trees_are_told_and_left_out() {
    let fixture = Fixture::new().await;
    let secret = fixture.path("secret");
    fs::write(&secret, "TOP=secret\n").unwrap();
    for name in ["ok", "a;touch x", "-rf", "x\ny", "UPPER", ".hidden"] {
        fs::create_dir_all(fixture.path("home/dokku").join(name).join("refs")).unwrap();
    }
    symlink(&secret, fixture.path("home/dokku/ok/ENV")).unwrap();
    symlink(
        fixture.path("home/dokku/ok"),
        fixture.path("home/dokku/link"),
    )
    .unwrap();
    symlink(fixture.folder.path(), fixture.path("lib/config/ps")).unwrap();
    fixture.write("home/dokku/ok/VHOST", "good.test\nbad domain;x\n$(id)\n");
    fixture.write("lib/config/ok/ENV", "1BAD=x\nGOOD=\"1\"\n");
    fixture.write("lib/config/git/ok/deploy-branch", "--upload-pack=x");
    fixture.write("lib/config/git/ok/no-such-property", "x");
    fixture.write(
        "lib/config/ports/ok/map",
        "http:99999:1\nhttp:80:5000\nhttp:80:6000\n",
    );
    fs::write(fixture.path("lib/config/git/ok/binary"), [0xff, 0xfe]).unwrap();
    fixture.write(
        "home/dokku/.ssh/authorized_keys",
        "garbage\nssh-ed25519 AAAA nobody\n",
    );
    let report = fixture.import(ImportMode::Write).await;
    let apps = fixture.store.apps().list().await.unwrap();
    assert_eq!(apps, [app("ok")], "{report}");
    let scope = Scope::App(app("ok"));
    let config = fixture.store.config().get(&scope).await.unwrap();
    assert_eq!(
        (config.len(), config.get("GOOD")),
        (1, Some("1")),
        "{report}"
    );
    let domains = fixture.store.domains().list(&scope).await.unwrap();
    assert!(
        domains
            .iter()
            .all(|domain| !domain.as_str().contains(['$', ';'])),
        "{domains:?}"
    );
    assert_eq!(
        fixture.store.ports().list(&app("ok")).await.unwrap().len(),
        1
    );
    assert_eq!(
        fixture
            .store
            .properties()
            .get(&scope, "git", "no-such-property")
            .await
            .unwrap(),
        None
    );
    assert!(
        !report.contains("TOP") && !report.contains("\u{1b}"),
        "{report}"
    );
    assert_eq!(fixture.store.ssh_keys().list().await.unwrap(), []);
    // What has no whole repository is an app all the same, without one.
    assert!(!fixture.repos.exists(&app("ok")));
    let nowhere = DokkuFolders {
        root: fixture.path("nowhere"),
        lib: fixture.path("lib"),
    };
    let target = Target {
        store: &fixture.store,
        repos: &fixture.repos,
    };
    assert!(import(&nowhere, &target, ImportMode::Write).await.is_err());
}
