//! Archives for git:from-archive: nothing panics, and nothing lands outside of the repository.

use std::fs;
use std::io::{Seek, Write};
use std::sync::OnceLock;

use sarsen_domain::archive::Caps;
use sarsen_domain::{AppName, Branch};
use sarsen_git::{Import, RepoSettings, Repos, SubmodulePolicy};
use tokio_util::task::TaskTracker;

struct World {
    runtime: tokio::runtime::Runtime,
    repos: Repos,
    app: AppName,
    folder: tempfile::TempDir,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let repos = Repos::new(RepoSettings {
            root: folder.path().join("git"),
            work: None,
            hook_binary: "/bin/false".into(),
            hooks: None,
            max_pack_bytes: 1 << 20,
            submodules: SubmodulePolicy::default(),
            tasks: TaskTracker::new(),
        })
        .expect("repositories");
        let app = AppName::parse("app").expect("a name");
        runtime.block_on(repos.init(&app)).expect("a repository");
        World {
            runtime,
            repos,
            app,
            folder,
        }
    })
}

/// Imports the bytes; gives whether they were taken for an archive.
pub(crate) fn run(bytes: &[u8]) -> bool {
    let world = world();
    let mut archive = tempfile::tempfile().expect("a file");
    archive.write_all(bytes).expect("written");
    archive.rewind().expect("rewound");
    let import = Import {
        archive,
        kind: None,
        caps: Caps {
            members: 100,
            bytes: 1 << 20,
        },
        author: ("Ada".to_owned(), "ada@example.com".to_owned()),
        message: "fuzz".to_owned(),
        branch: Branch::parse("main").expect("a branch"),
    };
    let imported = world
        .runtime
        .block_on(world.repos.import(&world.app, import));
    let mut beside: Vec<_> = fs::read_dir(world.folder.path())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    beside.retain(|name| {
        !["git", "hooks", "git-home", "submodules"]
            .iter()
            .any(|own| name == own)
    });
    assert!(beside.is_empty(), "beside the repositories: {beside:?}");
    imported.is_ok()
}
