//! Build: source → image.

use std::collections::BTreeMap;

use sarsen_build::{BuildError, BuildOptions, BuildRequest, Builder, Built, Pull};
use sarsen_domain::{AppJson, AppName, BuilderKind, BuildpackRef, CommitId, ImageRef, Progress};
use sarsen_runtime::RegistryLogin;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::pipeline::workbench::Raw;
use crate::pipeline::{Arrival, Job, Received};
use crate::verbs;

/// What an image is to be made of.
pub(crate) enum Source {
    /// A commit.
    Tree(Box<Received>),
    /// Nothing is built: the image is there, or in a registry.
    Image(ImageRef, Pull),
}

/// An image, and the commit it came from.
pub(crate) struct Image {
    pub built: Built,
    pub commit: Option<CommitId>,
}

impl Control {
    /// Makes the image.
    pub(crate) async fn build(&self, job: &Job, source: Source) -> Outcome<Image> {
        self.enter_stage(job, "build").await?;
        match source {
            Source::Image(image, pull) => {
                let logins = self.logins_of(&job.app).await?;
                let built = self
                    .builder
                    .adopt(&image, pull, &logins, &job.log, job.cancelled())
                    .await?;
                self.know_image(job, built).await
            }
            Source::Tree(received) => self.build_tree(job, received).await,
        }
    }

    /// What is to be run of an image that was not built now: what the app's release says that it was built for, else
    /// what the image itself brings.
    async fn know_image(&self, job: &Job, mut built: Built) -> Outcome<Image> {
        let releases = self.store.releases();
        let Some(release) = releases.built_as(&job.app, &built.image).await? else {
            let path = verbs::ps::CONCERN
                .effective(self, &job.app, "procfile-path")
                .await?;
            self.builder
                .bring_processes(&job.app, &job.build, &mut built, &path)
                .await?;
            return Ok(Image {
                built,
                commit: None,
            });
        };
        job.log.header(&format!(
            "This is the image of {}: its processes, ports and app.json are taken",
            release.number
        ));
        let app_json = match release.app_json {
            Some(text) => Some((text.clone(), AppJson::parse(&text)?)),
            None => None,
        };
        Ok(Image {
            built: Built {
                builder: release.builder,
                procfile: release.procfile,
                app_json,
                detected_ports: release.detected_ports,
                ..built
            },
            commit: release.commit,
        })
    }

    /// The image that the app's buildpacks build on.
    pub(crate) async fn stack_of(&self, app: &AppName) -> Outcome<String> {
        let stack = verbs::buildpacks::CONCERN
            .effective(self, app, "stack")
            .await?;
        Ok(match stack.as_str() {
            "" => self.builder.stack_image().to_owned(),
            _ => stack,
        })
    }

    async fn build_tree(&self, job: &Job, received: Box<Received>) -> Outcome<Image> {
        let Received {
            commit,
            mut tree,
            by,
            ..
        } = *received;
        let origin = match by {
            Arrival::Brought(origin) => origin,
            Arrival::There => self.origin_of(&job.app).await?,
            Arrival::Pushed => None,
        };
        self.store.builds().set_commit(&job.build, &commit).await?;
        self.fill_submodules(job, &mut tree, origin.as_deref())
            .await?;
        let app = &job.app;
        let mut options = self.options_of_build(app).await?;
        let config = self.store.config().merged(app).await?;
        let stack = self.stack_of(app).await?;
        let raw = Raw {
            commit: &commit,
            config: &config,
            stack: &stack,
        };
        let worked = self.work_on(job, raw, &mut tree, &mut options).await?;
        let kind = worked.as_ref().map_or("", |worked| worked.kind.as_str());
        let more = self.build_flags(app, kind).await?;
        options.docker_options.extend(more);
        let set = options.buildpacks.clone();
        let request = BuildRequest {
            app,
            build: &job.build,
            source: &tree,
            commit: &commit,
            config: &config,
            options,
        };
        let stack = worked.as_ref().and_then(|worked| worked.stack.as_deref());
        let builder = self.builder_of(job, stack).await?;
        let built = builder.build(request, &job.log, job.cancelled()).await;
        let built = built.map_err(|error| {
            let told = told(app, &set, &error);
            Failure::new(format!("App build failed: {told}"))
        })?;
        self.built_by(job, worked.as_ref()).await?;
        let megabytes = built.size / 1_000_000;
        job.log.header(&match built.builder {
            BuilderKind::Herokuish => {
                format!("Image is built: {megabytes} MB on top of the stack")
            }
            BuilderKind::Dockerfile | BuilderKind::Null => {
                format!("Image is built: {megabytes} MB")
            }
        });
        Ok(Image {
            built,
            commit: Some(commit),
        })
    }
}

/// A build's error, and how to get rid of what caused it.
pub(crate) fn told(app: &AppName, set: &[BuildpackRef], error: &BuildError) -> String {
    format!("{error}{}", way_out(app, set, error))
}

/// How to get rid of a buildpack that a command has set.
fn way_out(app: &AppName, set: &[BuildpackRef], error: &BuildError) -> String {
    let &BuildError::Buildpack { place, .. } = error else {
        return String::new();
    };
    let Some(buildpack) = set.get(place) else {
        return String::new();
    };
    // A password is nothing for a log.
    let is_telling = buildpack.as_str().contains("://") && buildpack.as_str().contains('@');
    let which = if is_telling {
        format!("--index {} {app}", place + 1)
    } else {
        format!("{app} {buildpack}")
    };
    format!("\n'buildpacks:remove {which}' takes it off the app's list")
}

impl Control {
    /// Who the app is at registries.
    pub(crate) async fn logins_of(
        &self,
        app: &sarsen_domain::AppName,
    ) -> Outcome<Vec<RegistryLogin>> {
        let stored = self.store.registry_logins().of_app(app).await?;
        let logins = stored.into_iter().map(|login| RegistryLogin {
            server: login.server,
            username: login.username,
            password: login.password,
        });
        Ok(logins.collect())
    }

    /// What an app's settings ask of its builds.
    pub(crate) async fn options_of_build(&self, app: &AppName) -> Outcome<BuildOptions> {
        let dockerfile = &verbs::builder::DOCKERFILE;
        let selected = verbs::builder::CONCERN
            .effective(self, app, "selected")
            .await?;
        let arguments = dockerfile.effective(self, app, "build-args").await?;
        let build_args: BTreeMap<_, _> = verbs::builder::parse_build_args(&arguments)?
            .into_iter()
            .collect();
        Ok(BuildOptions {
            selected: Some(selected)
                .filter(|name| !name.is_empty())
                .map(|name| name.parse())
                .transpose()?,
            dockerfile_path: dockerfile.effective(self, app, "dockerfile-path").await?,
            appjson_path: verbs::app_json::CONCERN
                .effective(self, app, "appjson-path")
                .await?,
            procfile_path: verbs::ps::CONCERN
                .effective(self, app, "procfile-path")
                .await?,
            buildpacks: self.store.buildpacks().get(app).await?,
            build_args,
            logins: self.logins_of(app).await?,
            docker_options: self.build_options(app).await?,
            limits: verbs::resource::Resources::of(self, app).await?.build()?,
            buildpacks_allowed: verbs::builder::HEROKUISH
                .effective(self, app, "allowed")
                .await?
                != "false",
            projecttoml_path: verbs::builder::PACK
                .effective(self, app, "projecttoml-path")
                .await?,
        })
    }

    /// Fetches what the tree's submodules point to.
    async fn fill_submodules(
        &self,
        job: &Job,
        tree: &mut sarsen_git::SourceTree,
        origin: Option<&str>,
    ) -> Outcome {
        let readable = self.store.apps().list().await?;
        let may_read = |app: &sarsen_domain::AppName| readable.contains(app);
        let context = sarsen_git::SubmoduleContext {
            repos: &self.repos,
            app: &job.app,
            origin,
            may_read: &may_read,
            progress: &job.log,
            cancel: job.cancelled(),
        };
        Ok(tree.prepare_submodules(&context).await?)
    }

    /// The builder, on the stack image that the app asks for.
    async fn builder_of(&self, job: &Job, chosen: Option<&str>) -> Outcome<Builder> {
        let own = verbs::buildpacks::CONCERN
            .effective(self, &job.app, "stack")
            .await?;
        let stack = chosen.map_or(own, str::to_owned);
        if stack.is_empty() {
            return Ok(self.builder.clone());
        }
        let image = ImageRef::parse(&stack)?;
        Ok(self
            .builder
            .on_stack(&image, &job.log, job.cancelled())
            .await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buildpack_that_cannot_be_had_comes_with_the_way_out() {
        let app = AppName::parse("shop").unwrap();
        let list = ["cobol", "https://ada:secret@example.com/x.git"];
        let list = list.map(|text| BuildpackRef::parse(text).unwrap());
        let failed = |place| BuildError::Buildpack {
            name: "x".to_owned(),
            place,
            why: "it is gone".to_owned(),
        };
        assert_eq!(
            way_out(&app, &list, &failed(0)),
            "\n'buildpacks:remove shop cobol' takes it off the app's list"
        );
        assert_eq!(
            way_out(&app, &list, &failed(1)),
            "\n'buildpacks:remove --index 2 shop' takes it off the app's list"
        );
        // The source names it: there is nothing to remove.
        assert_eq!(way_out(&app, &[], &failed(0)), "");
        assert_eq!(way_out(&app, &list, &BuildError::Cancelled), "");
    }
}
