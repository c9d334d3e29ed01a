//! What a source says about its own build, read once before anything runs.

use sarsen_domain::{
    AppJson, BuilderKind, BuildpackRef, Config, Invalid, Procfile, builder::BuildpackLocation,
};
use sarsen_git::SourceTree;

use crate::ignore::Ignore;
use crate::{BuildError, BuildOptions, BuildRequest, detect};

/// The settled questions of one build.
pub(crate) struct Plan {
    pub(crate) builder: BuilderKind,
    pub(crate) buildpacks: Vec<BuildpackRef>,
    pub(crate) app_json: Option<(String, AppJson)>,
    /// Read from the source; buildpacks may replace it.
    pub(crate) procfile: Option<String>,
    /// Its text, when that is the builder.
    pub(crate) dockerfile: Option<String>,
    pub(crate) ignore: Ignore,
    /// A project.toml whose buildpacks are not of the kind that is run here.
    pub(crate) unheard: Option<String>,
}

impl Plan {
    pub(crate) async fn make(request: &BuildRequest<'_>) -> Result<Self, BuildError> {
        let source = request.source.clone();
        let options = request.options.clone();
        let config = request.config.clone();
        // Objects are read from packs on disk.
        let reading =
            tokio::task::spawn_blocking(move || Self::read(&source, &options, &config)).await;
        reading.map_err(|error| BuildError::Source(error.to_string()))?
    }

    fn read(
        source: &SourceTree,
        options: &BuildOptions,
        config: &Config,
    ) -> Result<Self, BuildError> {
        let app_json = match text(source, "appjson-path", &options.appjson_path)? {
            Some(text) => Some((text.clone(), AppJson::parse(&text)?)),
            None => None,
        };
        let buildpacks = choose_buildpacks(source, options, config, app_json.as_ref())?;
        let dockerfile = text(source, "dockerfile-path", &options.dockerfile_path)?;
        let builder = detect(|| dockerfile.is_some(), options.selected, &buildpacks);
        if builder == BuilderKind::Herokuish && !options.buildpacks_allowed {
            return Err(BuildError::Invalid(Invalid::new(
                "This source asks for buildpacks, which builder-herokuish:set allowed false turned off: \
                 add a Dockerfile, or allow them again",
            )));
        }
        let project = text(source, "projecttoml-path", &options.projecttoml_path)?;
        let procfile = text(source, "procfile-path", &options.procfile_path)?;
        if builder == BuilderKind::Dockerfile {
            if dockerfile.is_none() {
                return Err(BuildError::Invalid(Invalid::new(format!(
                    "There is no {} in the source, but the builder of this app is 'dockerfile'",
                    options.dockerfile_path
                ))));
            }
            // Nothing can change it any more, so say so before the long build.
            procfile.as_deref().map(Procfile::parse).transpose()?;
        }
        let ignore = match builder {
            BuilderKind::Dockerfile => read_ignore(source, &options.dockerfile_path)?,
            BuilderKind::Herokuish | BuilderKind::Null => Ignore::default(),
        };
        Ok(Self {
            builder,
            buildpacks,
            app_json,
            procfile,
            dockerfile,
            ignore,
            unheard: project
                .filter(|_| builder == BuilderKind::Herokuish && options.selected.is_none())
                .map(|_| options.projecttoml_path.clone()),
        })
    }
}

/// The list in force: set by command, else `BUILDPACK_URL` (config, then the source's `.env`), else `.buildpacks`,
/// else app.json.
fn choose_buildpacks(
    source: &SourceTree,
    options: &BuildOptions,
    config: &Config,
    app_json: Option<&(String, AppJson)>,
) -> Result<Vec<BuildpackRef>, BuildError> {
    if !options.buildpacks.is_empty() {
        return Ok(options.buildpacks.clone());
    }
    let from_env = match config.get("BUILDPACK_URL") {
        Some(url) => Some(url.to_owned()),
        None => text(source, ".env", ".env")?
            .as_deref()
            .and_then(env_buildpack),
    };
    if let Some(url) = from_env.filter(|url| !url.is_empty()) {
        return Ok(vec![from_source(
            BuildpackRef::parse(&url)?,
            "BUILDPACK_URL",
        )?]);
    }
    if let Some(list) = text(source, ".buildpacks", ".buildpacks")? {
        let listed: Result<Vec<_>, BuildError> = list
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| from_source(BuildpackRef::parse(line)?, ".buildpacks"))
            .collect();
        let listed = listed?;
        if !listed.is_empty() {
            return Ok(listed);
        }
    }
    app_json
        .iter()
        .flat_map(|(_, app)| app.buildpacks.iter().cloned())
        .map(|buildpack| from_source(buildpack, "app.json"))
        .collect()
}

/// Whoever pushes must not reach into the host's file system.
fn from_source(buildpack: BuildpackRef, named_in: &str) -> Result<BuildpackRef, BuildError> {
    if matches!(buildpack.location(), BuildpackLocation::Local(_)) {
        return Err(BuildError::Buildpack {
            name: buildpack.to_string(),
            place: 0,
            why: format!("{named_in} names a path on the host, which only buildpacks:set may do"),
        });
    }
    Ok(buildpack)
}

/// `BUILDPACK_URL=…` of an env file, with or without `export` and quotes.
fn env_buildpack(env: &str) -> Option<String> {
    env.lines().find_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let value = line.strip_prefix("BUILDPACK_URL=")?;
        Some(value.trim_matches(['"', '\'']).to_owned())
    })
}

/// Docker looks for rules of this very Dockerfile first.
fn read_ignore(source: &SourceTree, dockerfile: &str) -> Result<Ignore, BuildError> {
    let own = format!("{dockerfile}.dockerignore");
    let rules = match text(source, &own, &own)? {
        Some(rules) => Some(rules),
        None => text(source, ".dockerignore", ".dockerignore")?,
    };
    Ok(Ignore::parse(&rules.unwrap_or_default(), dockerfile)?)
}

fn text(source: &SourceTree, what: &str, path: &str) -> Result<Option<String>, BuildError> {
    let climbs =
        path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part == "..");
    if climbs {
        return Err(BuildError::Invalid(Invalid::new(format!(
            "Invalid {what} '{}': it must be a path inside the source",
            path.escape_debug()
        ))));
    }
    let bytes = source
        .read(path)
        .map_err(|error| BuildError::Source(error.to_string()))?;
    bytes
        .map(|bytes| {
            String::from_utf8(bytes).map_err(|_| {
                BuildError::Invalid(Invalid::new(format!("{path} is not text in UTF-8")))
            })
        })
        .transpose()
}
