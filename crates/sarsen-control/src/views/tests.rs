//! Views on a real file system.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::files::{Files, Folder, GLOBAL, Mode, Wanted};

struct Fixture {
    folder: TempDir,
    files: Files,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let files = Files {
            root: at("home/dokku"),
            lib: at("lib"),
            lists: at("lists"),
            owner: None,
        };
        files.make_folders(&["config", "data/storage"]).unwrap();
        Self { folder, files }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn apply(&self, name: &str, wanted: &[Wanted]) -> usize {
        self.files.apply(name, wanted).unwrap().len()
    }
}

fn root(path: &str, text: &str) -> Wanted {
    Wanted::root(path, text.to_owned())
}

fn property(plugin: &str, key: &str, value: &str) -> Wanted {
    Wanted::property(plugin, "app", key, value.to_owned()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn only_what_differs_is_written_and_only_what_was_written_is_removed() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("home/dokku/app")).unwrap();
    let first = [
        root("app/VHOST", "a.test\n"),
        property("ps", "scale", "web=1\n"),
    ];
    assert_eq!(fixture.apply("app", &first), 2);
    assert_eq!(fixture.apply("app", &first), 0);
    let scale = fixture.path("lib/config/ps/app/scale");
    assert_eq!(fs::read_to_string(&scale).unwrap(), "web=1\n");
    assert_eq!(mode(&scale), 0o600);
    assert_eq!(mode(&fixture.path("home/dokku/app/VHOST")), 0o644);

    fs::write(&scale, "web=9\n").unwrap();
    fs::write(fixture.path("lib/config/ps/app/theirs"), "x").unwrap();
    fs::write(fixture.path("home/dokku/app/htpasswd"), "x").unwrap();
    assert_eq!(fixture.apply("app", &first), 1);
    assert_eq!(fixture.apply("app", &[]), 0);
    assert!(!scale.exists() && !fixture.path("home/dokku/app/VHOST").exists());
    assert!(fixture.path("lib/config/ps/app/theirs").exists());
    assert!(fixture.path("home/dokku/app/htpasswd").exists());
    assert!(fixture.files.listed().is_empty());

    fixture.apply("app", &[property("git", "deploy-branch", "main")]);
    assert_eq!(fixture.files.listed(), ["app"]);
    fixture.apply("app", &[]);
    assert!(!fixture.path("lib/config/git/app").exists());
    assert!(fixture.path("lib/config/git").exists());
}

#[test]
fn an_app_without_a_repository_gets_no_folder() {
    let fixture = Fixture::new();
    let wanted = [root("app/VHOST", "x"), property("ps", "scale", "web=1\n")];
    assert_eq!(fixture.apply("app", &wanted), 1);
    assert!(!fixture.path("home/dokku/app").exists());
}

#[test]
fn links_are_not_followed() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("home/dokku/app")).unwrap();
    let victim = fixture.path("victim");
    fs::write(&victim, "untouched").unwrap();
    symlink(&victim, fixture.path("home/dokku/app/VHOST")).unwrap();
    symlink(&victim, fixture.path("home/dokku/app/.VHOST.new")).unwrap();
    assert_eq!(fixture.apply("app", &[root("app/VHOST", "a\n")]), 1);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    let vhost = fixture.path("home/dokku/app/VHOST");
    assert!(fs::symlink_metadata(&vhost).unwrap().is_file());

    let outside = fixture.path("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, fixture.path("lib/config/ps")).unwrap();
    let refused = fixture
        .files
        .apply("app", &[property("ps", "scale", "web=1\n")]);
    assert!(refused.unwrap_err().to_string().contains("not a folder"));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn names_that_cannot_be_files_are_left_out() {
    for (plugin, key) in [
        ("..", "x"),
        ("a/b", "x"),
        ("ps", ".."),
        ("ps", "a\nb"),
        ("", "x"),
    ] {
        let wanted = Wanted::property(plugin, GLOBAL, key, String::new());
        assert_eq!(wanted, None, "{plugin} {key}");
    }
    let wanted = Wanted::property("resource", GLOBAL, "web.limit.cpu", "1".to_owned()).unwrap();
    assert_eq!(
        wanted,
        Wanted {
            place: (
                Folder::Lib,
                "config/resource/--global/web.limit.cpu".to_owned()
            ),
            bytes: b"1".to_vec(),
            mode: Mode::Private,
        }
    );
}
