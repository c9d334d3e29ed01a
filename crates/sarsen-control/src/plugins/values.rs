//! Triggers whose output is an answer: a line, a list, flags for the engine.

use sarsen_deploy::AppSettings;
use sarsen_domain::{AppName, ContainerSettings, DockerFlags, ProcessIndex, ProcessType, Release};
use sarsen_plugins::{Call as Script, Output, Trigger};

use super::failure_of;
use crate::control::Control;
use crate::failure::{Failure, Outcome};

/// A longer answer is no answer.
const LONGEST: usize = 64 * 1024;

impl Control {
    /// What plugins print for a trigger, whole; `None` when nobody answers it or says nothing.
    pub(crate) async fn answer(&self, trigger: Trigger, args: &[&str]) -> Outcome<Option<String>> {
        self.note_trigger(&trigger, args).await;
        if !self.plugins.implements(&trigger) {
            return Ok(None);
        }
        let call = Script::new(args, Output::Kept);
        let asked = tokio::select! {
            asked = Box::pin(self.plugins.trigger(&trigger, call)) => asked?,
            () = self.shutdown.cancelled() => return Err(Failure::new(crate::failure::STOPPING)),
        };
        self.record(&asked).await;
        if let Some(run) = asked.failed() {
            return Err(failure_of(run));
        }
        let said = asked.stdout();
        if said.len() > LONGEST {
            return Err(Failure::new(format!(
                "The answer of plugins to {trigger} is longer than {LONGEST} bytes"
            )));
        }
        let text = String::from_utf8(said)
            .map_err(|_| Failure::new(format!("The answer of plugins to {trigger} is no text")))?;
        let text = text.trim();
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    /// The first line of it.
    pub(crate) async fn answer_line(
        &self,
        trigger: Trigger,
        args: &[&str],
    ) -> Outcome<Option<String>> {
        let answer = self.answer(trigger, args).await?;
        Ok(answer.and_then(|text| text.lines().next().map(|line| line.trim().to_owned())))
    }

    /// The addresses of an app, unless a plugin knows better: `kind` is `url` or `urls`.
    pub(crate) async fn urls_told(&self, app: &AppName, kind: &str) -> Outcome<Vec<String>> {
        match self.answer(Trigger::AppUrls, &[app.as_str(), kind]).await? {
            Some(text) => Ok(text.lines().map(|line| line.trim().to_owned()).collect()),
            None => self.urls(app).await,
        }
    }

    /// Flags for the engine that plugins print for several triggers, one text each.
    async fn flags(&self, asked: &[(Trigger, &[&str])]) -> Outcome<Vec<String>> {
        let mut flags = Vec::new();
        for (trigger, args) in asked {
            let answer = self.answer(trigger.clone(), args).await?;
            // Several plugins have a line each.
            flags.extend(answer.map(|text| text.replace('\n', " ")));
        }
        Ok(flags)
    }

    /// What plugins add to `docker build`, or to the containers that build.
    pub(crate) async fn build_flags(&self, app: &AppName, kind: &str) -> Outcome<Vec<String>> {
        let args = [app.as_str(), kind];
        self.flags(&[
            (Trigger::DockerArgsBuild, &args),
            (Trigger::DockerArgsProcessBuild, &args),
        ])
        .await
    }

    /// What plugins add to the containers of a deploy, over everything else. They are asked for each container, as Dokku
    /// asks them.
    pub(crate) async fn add_deploy_flags(
        &self,
        release: &Release,
        wanted: &[(ProcessType, ProcessIndex)],
        settings: &mut AppSettings,
    ) -> Outcome {
        let (app, builder) = (release.app.as_str(), release.builder.as_str());
        let tag = release.number.to_string();
        for (process, index) in wanted {
            let (name, number) = (process.as_str(), index.to_string());
            let texts = self
                .flags(&[
                    (Trigger::DockerArgsDeploy, &[app, &tag, name, &number]),
                    (
                        Trigger::DockerArgsProcessDeploy,
                        &[app, builder, &tag, name, &number],
                    ),
                ])
                .await?;
            if !texts.is_empty() {
                let flags = overlaid(settings.flags(process).clone(), &texts)?;
                let place = (process.clone(), *index);
                settings.flags_of_one.insert(place, flags);
            }
        }
        Ok(())
    }

    /// What plugins add to a one-off container, over everything else.
    pub(crate) async fn add_run_flags(
        &self,
        release: &Release,
        settings: &mut AppSettings,
    ) -> Outcome {
        let (app, builder) = (release.app.as_str(), release.builder.as_str());
        let tag = release.number.to_string();
        let texts = self
            .flags(&[
                (Trigger::DockerArgsRun, &[app, &tag]),
                (Trigger::DockerArgsProcessRun, &[app, builder, &tag]),
            ])
            .await?;
        settings.run_flags = overlaid(std::mem::take(&mut settings.run_flags), &texts)?;
        Ok(())
    }
}

fn overlaid(mut flags: ContainerSettings, texts: &[String]) -> Outcome<ContainerSettings> {
    for text in texts {
        let added = DockerFlags::parse_text(text)
            .map_err(|error| Failure::new(format!("A plugin asks for '{text}': {error}")))?;
        flags = flags.overlaid(added);
    }
    Ok(flags)
}
