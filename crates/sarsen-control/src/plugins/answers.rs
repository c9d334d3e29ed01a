//! What we answer when plugins fire triggers that Dokku's own plugins answer there: `plugn trigger ports-get APP`.
//!
//! Most are commands by another name, with the same output; the others are told from the store.

mod facts;

use sarsen_domain::{AppName, ProcessType};

use crate::control::Control;
use crate::failure::{Failure, NO_SUCH_APP, Outcome};
use crate::table::Call;

/// `plugin:ask TRIGGER ARGUMENT…`
pub(crate) async fn answer(control: &Control, call: &mut Call) -> Outcome {
    let trigger = call.args.get(0).unwrap_or_default().to_owned();
    let words = call.args.from(1).to_vec();
    let text = |index: usize| words.get(index).map_or("", String::as_str);
    if let Some(command) = command(&trigger, &words) {
        return control.stand_in(call, &command).await;
    }
    if let Some(plugin) = trigger.strip_suffix("-get-property") {
        let value = control.property_of(plugin, text(0), &words).await?;
        return line(call, &value).await;
    }
    match trigger.as_str() {
        "app-list" => {
            let apps = control.store.apps().list().await?;
            let apps = match text(0) {
                "false" => apps,
                _ => control.visible(&call.identity, apps).await?,
            };
            lines(call, apps.iter().map(ToString::to_string)).await
        }
        "ps-set-scale" => {
            let command = control.scale_command(&words).await?;
            control.stand_in(call, &command).await
        }
        "app-maybe-create" => control.create_on_push(&AppName::parse(text(0))?).await,
        "config-export" => {
            let command = config_export(&words);
            control.stand_in(call, &command).await
        }
        "ports-get-available" => {
            let port = facts::free_port()?;
            call.out.line(&port.to_string()).await
        }
        "proxy-build-config" => control.refresh_routes().await,
        "scheduler-detect" => call.out.line("docker-local").await,
        _ => control.tell(call, &trigger, &words).await,
    }
}

/// Prints a value; nothing when there is none.
async fn line(call: &mut Call, value: &str) -> Outcome {
    match value {
        "" => Ok(()),
        value => call.out.line(value).await,
    }
}

async fn lines(call: &mut Call, lines: impl Iterator<Item = String>) -> Outcome {
    let text: String = lines.map(|line| line + "\n").collect();
    call.out.bytes(text.as_bytes()).await
}

/// The command that says or does the same.
fn command(trigger: &str, words: &[String]) -> Option<Vec<String>> {
    let (name, before): (&str, &[&str]) = match trigger {
        "app-create" => ("apps:create", &[]),
        "app-destroy" => ("apps:destroy", &["--force"]),
        "app-exists" => ("apps:exists", &[]),
        "app-restart" | "release-and-deploy" => ("ps:restart", &[]),
        "certs-remove" => ("certs:remove", &[]),
        "certs-set" => ("certs:add", &[]),
        "config-get" => ("config:get", &[]),
        "config-get-global" => ("config:get", &["--global"]),
        "config-set" => ("config:set", &[]),
        "config-unset" => ("config:unset", &[]),
        "domains-add" => ("domains:add", &[]),
        "domains-disable" => ("domains:disable", &[]),
        "domains-enable" => ("domains:enable", &[]),
        "ports-clear" => ("ports:clear", &[]),
        "receive-app" => ("ps:rebuild", &[]),
        "domains-urls" => {
            let name = words.get(1).map_or("urls", String::as_str);
            return Some(vec![name.to_owned(), words.first()?.clone()]);
        }
        "deploy" => return Some(deploy(words)),
        _ => return None,
    };
    // Of these only the app counts: images and sources are ours to choose.
    let only_app = matches!(
        trigger,
        "release-and-deploy" | "receive-app" | "domains-disable" | "domains-enable"
    );
    let kept = words.iter().take(if only_app { 1 } else { usize::MAX });
    let mut command = vec![name.to_owned()];
    command.extend(before.iter().map(|&word| word.to_owned()));
    command.extend(kept.cloned());
    Some(command)
}

/// `APP IMAGE_TAG PROC`: the image is ours to choose.
fn deploy(words: &[String]) -> Vec<String> {
    let mut command = vec!["ps:restart".to_owned()];
    let (app, process) = (words.first(), words.get(2));
    let process = process.filter(|process| !process.is_empty());
    command.extend(app.into_iter().chain(process).cloned());
    command
}

/// How many containers of a type run that nobody has scaled.
fn usual(process: &ProcessType) -> u8 {
    u8::from(process.is_web())
}

/// `APP GLOBAL MERGED FORMAT`
fn config_export(words: &[String]) -> Vec<String> {
    let text = |index: usize| words.get(index).map_or("", String::as_str);
    let mut command = vec!["config:export".to_owned()];
    if text(2) == "true" {
        command.push("--merged".to_owned());
    }
    if !text(3).is_empty() {
        command.extend(["--format".to_owned(), text(3).to_owned()]);
    }
    command.push(match text(1) {
        "true" => "--global".to_owned(),
        _ => text(0).to_owned(),
    });
    command
}

impl Control {
    /// `APP SKIP_DEPLOY CLEAR_EXISTING PROC=N…`: types that are cleared have their usual quantity again.
    async fn scale_command(&self, words: &[String]) -> Outcome<Vec<String>> {
        let text = |index: usize| words.get(index).map_or("", String::as_str);
        let app = self.named(text(0)).await?;
        let mut command = vec!["ps:scale".to_owned()];
        if text(1) == "true" {
            command.push("--skip-deploy".to_owned());
        }
        command.push(app.to_string());
        let given: Vec<_> = words.iter().skip(3).cloned().collect();
        if text(2) == "true" {
            let named = |process: &str| {
                let mut names = given.iter().filter_map(|pair| pair.split_once('='));
                names.any(|(name, _)| name == process)
            };
            let all = self.store.formation().get(&app).await?;
            let cleared = all.iter().map(|(process, _)| process);
            let cleared = cleared.filter(|process| !named(process.as_str()));
            command.extend(cleared.map(|process| format!("{process}={}", usual(process))));
        }
        command.extend(given);
        Ok(command)
    }

    /// An app that a plugin names.
    async fn named(&self, name: &str) -> Outcome<AppName> {
        let missing = || {
            Failure::new(format!("App {} does not exist", name.escape_debug()))
                .with_code(NO_SUCH_APP)
        };
        let app = AppName::parse(name).map_err(|_| missing())?;
        match self.store.apps().exists(&app).await? {
            true => Ok(app),
            false => Err(missing()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn triggers_are_commands_by_another_name() {
        for (trigger, arguments, expected) in [
            ("config-get", "app KEY", "config:get app KEY"),
            ("config-get-global", "KEY", "config:get --global KEY"),
            (
                "config-set",
                "--no-restart app A=1",
                "config:set --no-restart app A=1",
            ),
            ("release-and-deploy", "app latest config", "ps:restart app"),
            ("deploy", "app", "ps:restart app"),
            ("deploy", "app latest worker", "ps:restart app worker"),
            ("domains-urls", "app url", "url app"),
        ] {
            assert_eq!(
                command(trigger, &words(arguments)),
                Some(words(expected)),
                "{trigger}"
            );
        }
        assert_eq!(
            config_export(&words("app false true json")),
            words("config:export --merged --format json app")
        );
    }
}
