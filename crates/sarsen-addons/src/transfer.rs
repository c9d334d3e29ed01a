//! Commands in services: a client's session, a shell, the data out and in.

use futures_util::stream;
use sarsen_domain::ContainerId;
use sarsen_domain::container::label;
use sarsen_runtime::{Attached, Exec, ExecSpec, RestartPolicy, RuntimeError, TtySize};

use crate::engine::{Values, tar_of};
use crate::template::Template;
use crate::{Addon, AddonError, Engine, Service};

/// A container that takes an import is given up after this many seconds.
const IMPORT_SECONDS: u32 = 6 * 3600;

/// bash where there is one. The text is run in the container, as it stands here.
const SHELL: [&str; 3] = [
    "/bin/sh",
    "-c",
    "if [ -x /bin/bash ]; then exec /bin/bash; fi; exec /bin/sh",
];

/// What to run in a service's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand<'a> {
    /// The client that the addon names.
    Connect,
    /// These words; a shell when there are none.
    Enter(&'a [String]),
    /// What writes the data to standard output.
    Export,
    /// What reads the data from standard input, of addons whose server runs meanwhile.
    Import,
}

/// The caller's terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tty {
    /// `TERM`
    pub term: String,
    pub size: TtySize,
}

/// A container that takes an import while the service stands still.
pub struct OfflineImport {
    pub container: ContainerId,
    pub streams: Attached,
}

impl Addon {
    /// Whether an import needs the service to stand still: see [`Engine::begin_import`].
    pub fn imports_while_stopped(&self) -> bool {
        self.import
            .as_ref()
            .is_some_and(|import| import.while_stopped)
    }
}

impl Engine {
    /// Runs a command in the service's container, which must run.
    pub async fn run(
        &self,
        addon: &Addon,
        service: &Service,
        errand: Errand<'_>,
        tty: Option<Tty>,
    ) -> Result<Exec, AddonError> {
        let info = self.find(addon, service).await?;
        let info = info.filter(sarsen_runtime::ContainerInfo::is_running);
        let info = info.ok_or_else(|| AddonError::NotRunning(service.name.to_string()))?;
        let values = Values::of(addon, service);
        let filled = |words: &[Template]| words.iter().map(|word| values.fill(word)).collect();
        let command: Vec<String> = match errand {
            Errand::Connect => filled(&addon.connect),
            Errand::Enter([]) => SHELL.map(str::to_owned).to_vec(),
            Errand::Enter(words) => words.to_vec(),
            Errand::Export => addon
                .export
                .as_ref()
                .map(|t| filled(&t.command))
                .unwrap_or_default(),
            Errand::Import => addon
                .import
                .as_ref()
                .map(|t| filled(&t.command))
                .unwrap_or_default(),
        };
        if command.is_empty() {
            let title = &addon.title;
            let problem = format!("{title} services have no command for that");
            return Err(AddonError::Unsupported(problem));
        }
        let mut env = match errand {
            Errand::Enter(_) => Vec::new(),
            Errand::Connect | Errand::Export | Errand::Import => values.env(&addon.exec_env),
        };
        env.extend(tty.as_ref().map(|tty| format!("TERM={}", tty.term)));
        let spec = ExecSpec {
            command,
            env,
            stdin: true,
            tty: tty.is_some(),
            size: tty.map(|tty| tty.size),
            ..ExecSpec::default()
        };
        Ok(self.runtime.exec(&info.id, &spec).await?)
    }

    /// Stops the service and starts the container that takes its new data. Whatever comes of it, the caller then
    /// calls [`Engine::end_import`] and makes the service run again.
    pub async fn begin_import(
        &self,
        addon: &Addon,
        service: &Service,
    ) -> Result<OfflineImport, AddonError> {
        self.stop(addon, service).await?;
        let values = Values::of(addon, service);
        let words = addon.import.iter().flat_map(|import| &import.command);
        let mut spec = self.basis(addon, service);
        spec.entrypoint = Some(Vec::new());
        spec.command = Some(words.map(|word| values.fill(word)).collect());
        spec.env.extend(values.env(&addon.exec_env));
        spec.workdir.clone_from(&addon.data);
        spec.flags.shm_size = service.shape.shm_size;
        spec.stdin = true;
        spec.restart = RestartPolicy::No;
        // Should the daemon end meanwhile, it goes the way of one-off containers whose caller is gone.
        for (key, value) in [
            (label::CONTAINER_TYPE, "run".to_owned()),
            (label::DEADLINE, IMPORT_SECONDS.to_string()),
        ] {
            spec.labels.insert(key.to_owned(), value);
        }
        let container = self.runtime.create(&spec).await?;
        let streams = async {
            if !addon.hooks.is_empty() {
                let files = Box::pin(stream::iter([Ok(tar_of(addon, &values)?)]));
                self.runtime.upload(&container, "/", files).await?;
            }
            let streams = self.runtime.attach(&container).await?;
            self.runtime.start(&container).await?;
            Ok::<_, RuntimeError>(streams)
        };
        match streams.await {
            Ok(streams) => Ok(OfflineImport { container, streams }),
            Err(error) => {
                self.runtime.remove(&container).await?;
                Err(error.into())
            }
        }
    }

    /// The exit code of an import whose input and output have ended, or which is cut off; its container is removed.
    pub async fn end_import(&self, container: &ContainerId) -> Result<i64, AddonError> {
        let code = self.runtime.wait(container).await;
        self.runtime.remove(container).await?;
        Ok(code?)
    }

    /// Gives an import up: what it did not finish is as if it had not begun.
    pub async fn cut_import(&self, container: &ContainerId) -> Result<(), AddonError> {
        Ok(self.runtime.remove(container).await?)
    }
}
