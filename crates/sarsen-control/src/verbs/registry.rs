//! Image registries: who we are there, and what is pushed there.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use sarsen_domain::{AppName, ImageRef, Invalid, Progress, Release, Secret};
use sarsen_plugins::Trigger;
use sarsen_runtime::RegistryLogin;
use sarsen_store::StoredLogin;
use tokio::io::AsyncReadExt;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::pipeline::Job;
use crate::property::{Concern, Property, Reach, apps_to_report, boolean, scope};
use crate::report::{self, ReportKind};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "registry:login",
        "[--password-stdin] <app>|--global <server> <username> [<password>]",
        Change,
        "Logs in to a registry, for an app or for all",
        login
    ),
    verb!(
        "registry:logout",
        "<app>|--global <server>",
        Change,
        "Forgets the login at a registry",
        logout
    ),
    verb!(
        "registry:report",
        "[<app>] [--global] [--format stdout|json] [--registry-*]",
        Read,
        "Displays a registry report",
        report
    ),
    verb!(
        "registry:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a registry property: server, image-repo, push-on-release, push-extra-tags, …",
        set
    ),
];

/// No password is longer, and no caller may fill the memory.
const PASSWORD_MAX: u64 = 64 * 1024;

/// The properties of registries.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "registry",
    properties: &[
        Property {
            key: "image-repo",
            reach: Reach::App,
            default: "",
            check: repository,
        },
        Property::shared("image-repo-template", "", template),
        Property::shared("push-extra-tags", "", tags),
        Property::shared("push-on-release", "false", boolean),
        Property::shared("server", "", server_name),
    ],
    report: ReportKind {
        prefix: "registry",
        label: "registry",
        long_json_keys: true,
    },
};

fn server_name(value: &str) -> Result<(), Invalid> {
    server(value).map(|_| ())
}

/// `host[:port]`, in lower case; the several names of Docker's own registry are one.
fn server(value: &str) -> Result<String, Invalid> {
    let lower = value.to_ascii_lowercase();
    let bare = lower.strip_prefix("https://").unwrap_or(&lower);
    let bare = bare.trim_end_matches('/');
    let (host, port) = bare.split_once(':').unwrap_or((bare, "443"));
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let starts_well = host.starts_with(|c: char| c.is_ascii_alphanumeric());
    let looks_like_a_host = host.contains('.') || bare.contains(':') || host == "localhost";
    let good_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    if !starts_well || !host.chars().all(legal) || !looks_like_a_host || !good_port {
        return Err(Invalid::new(format!(
            "Invalid registry server '{}': write it as host or host:port",
            value.escape_debug()
        )));
    }
    Ok(match bare {
        "hub.docker.com" | "docker.com" | "index.docker.io" | "registry-1.docker.io" => {
            "docker.io".to_owned()
        }
        other => other.to_owned(),
    })
}

/// A repository's name, without server and tag.
fn repository(value: &str) -> Result<(), Invalid> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
    if !value.chars().all(legal) || ImageRef::parse(value).is_err() {
        return Err(Invalid::new(format!(
            "Invalid image repository '{}': lower-case letters, digits, dots, hyphens and slashes, no tag",
            value.escape_debug()
        )));
    }
    Ok(())
}

fn template(value: &str) -> Result<(), Invalid> {
    filled(value, "app").map(|_| ())
}

/// A template with `{{ .AppName }}` replaced.
fn filled(template: &str, app: &str) -> Result<String, Invalid> {
    let name = template
        .replace("{{ .AppName }}", app)
        .replace("{{.AppName}}", app);
    repository(&name).map_err(|_| {
        Invalid::new(format!(
            "Invalid template '{}': a repository's name with {{{{ .AppName }}}} in it",
            template.escape_debug()
        ))
    })?;
    Ok(name)
}

fn tags(value: &str) -> Result<(), Invalid> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let good = |tag: &str| {
        let starts_well = tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        starts_well && tag.len() <= 128 && tag.chars().all(legal)
    };
    if value.split(',').all(good) {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "Invalid tags '{}': write them as one,two",
        value.escape_debug()
    )))
}

async fn login(control: &Control, call: &mut Call) -> Outcome {
    let (scope, at) = scope(call)?;
    let server = server(call.args.get(at).unwrap_or_default())?;
    let username = call.args.get(at + 1).unwrap_or_default().to_owned();
    let password = match call.args.get(at + 2) {
        Some(_) if call.args.has("--password-stdin") => {
            return Err(Failure::new(
                "Give the password once: as an argument or on standard input",
            ));
        }
        Some(password) => password.to_owned(),
        None => read_password(call).await?,
    };
    if username.is_empty() {
        return Err(Failure::new("The username is empty"));
    }
    if username.chars().any(char::is_control) {
        return Err(Failure::new("The username holds control characters"));
    }
    if password.is_empty() {
        return Err(Failure::new("The password is empty"));
    }
    let login = StoredLogin {
        server,
        username,
        password: Secret::new(password),
    };
    let asked = RegistryLogin {
        server: login.server.clone(),
        username: login.username.clone(),
        password: login.password.clone(),
    };
    let answer = control.runtime.check_login(&asked).await;
    answer.map_err(|error| {
        Failure::new(format!("{} did not take the login: {error}", login.server))
    })?;
    control.store.registry_logins().set(&scope, &login).await?;
    let told = vec![login.server.clone(), login.username.clone()];
    let password = login.password.expose().clone();
    let variables = vec![("DOCKER_REGISTRY_PASS".to_owned(), password)];
    let moment = (Trigger::PostRegistryLogin, told);
    if let Err(failure) = control.fire_with(call, moment, variables).await {
        call.out.warn(&failure.message).await?;
    }
    call.out
        .title(&format!("Logged in to {}", login.server))
        .await
}

/// From standard input, also when nobody said so but somebody sends something.
async fn read_password(call: &mut Call) -> Outcome<String> {
    let is_announced = call.args.has("--password-stdin");
    let mut text = String::new();
    if is_announced || call.terminal.is_none() {
        let stdin = call.take_stdin();
        stdin.take(PASSWORD_MAX).read_to_string(&mut text).await?;
    }
    let password = text.trim_end_matches(['\r', '\n']);
    match (password, is_announced) {
        ("", true) => Err(Failure::new(
            "Nothing came on standard input, where --password-stdin has the password read from",
        )),
        ("", false) => Err(Failure::new(
            "Please specify a password: behind the username, or on standard input with --password-stdin",
        )),
        (password, _) => Ok(password.to_owned()),
    }
}

async fn logout(control: &Control, call: &mut Call) -> Outcome {
    let (scope, at) = scope(call)?;
    let server = server(call.args.get(at).unwrap_or_default())?;
    if !control
        .store
        .registry_logins()
        .remove(&scope, &server)
        .await?
    {
        return Err(Failure::new(format!(
            "There is no login at {server} for {scope}"
        )));
    }
    call.out.title(&format!("Logged out of {server}")).await
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    CONCERN.set(control, call).await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--global") {
        return CONCERN.report(control, call).await;
    }
    for app in apps_to_report(control, call).await? {
        let mut fields = CONCERN.fields(control, Some(&app)).await?;
        let repo = control.image_repository(&app).await?;
        fields.insert("registry-computed-image-repo".to_owned(), repo);
        let live = control.store.releases().live(&app).await?;
        let version = live.map(|release| release.number.0.to_string());
        fields.insert(
            "registry-tag-version".to_owned(),
            version.unwrap_or_default(),
        );
        report::print(call, &CONCERN.report, app.as_str(), &fields).await?;
    }
    Ok(())
}

impl Control {
    /// The repository of an app's images: its own, else the template's, else `dokku/APP`.
    async fn image_repository(&self, app: &AppName) -> Outcome<String> {
        let own = CONCERN.effective(self, app, "image-repo").await?;
        if !own.is_empty() {
            return Ok(own);
        }
        let template = CONCERN.effective(self, app, "image-repo-template").await?;
        if template.is_empty() {
            return Ok(format!("dokku/{app}"));
        }
        Ok(filled(&template, app.as_str())?)
    }

    /// Sends a release's image to its registry, when the app asks for that.
    pub(crate) async fn push_release(&self, job: &Job, release: &Release) -> Outcome {
        let app = &job.app;
        if CONCERN.effective(self, app, "push-on-release").await? != "true" {
            return Ok(());
        }
        let server = server_prefix(&CONCERN.effective(self, app, "server").await?)?;
        let repository = format!("{server}{}", self.image_repository(app).await?);
        let extra = CONCERN.effective(self, app, "push-extra-tags").await?;
        let version = release.number.0.to_string();
        let extra = extra
            .split(',')
            .filter(|tag| !tag.is_empty())
            .map(str::to_owned);
        let logins = self.logins_of(app).await?;
        for tag in std::iter::once(version).chain(extra) {
            let image = ImageRef::parse(&format!("{repository}:{tag}"))?;
            self.runtime.tag(&release.image, &repository, &tag).await?;
            let login = logins.iter().find(|login| login.server == image.server());
            self.push_image(job, &image, login).await?;
        }
        Ok(())
    }

    async fn push_image(
        &self,
        job: &Job,
        image: &ImageRef,
        login: Option<&RegistryLogin>,
    ) -> Outcome {
        job.log.header(&format!("Pushing {image}"));
        let refused = |error| Failure::new(format!("Could not push {image}: {error}"));
        let pushing = async {
            let mut lines = self.runtime.push(image, login).await.map_err(refused)?;
            // The engine says the same of each layer again and again.
            let mut said = BTreeMap::new();
            while let Some(line) = lines.next().await {
                let line = line.map_err(refused)?;
                if said.insert(line.clone(), ()).is_none() {
                    job.log.body(&line);
                }
            }
            Ok(())
        };
        let outcome = job.cancelled().run_until_cancelled(pushing).await;
        outcome.unwrap_or_else(|| Err(Failure::new("The deploy was cancelled")))
    }
}

/// What stands before a repository's name: nothing for Docker's own registry.
fn server_prefix(value: &str) -> Outcome<String> {
    if value.is_empty() {
        return Ok(String::new());
    }
    let server = server(value)?;
    Ok(if server == "docker.io" {
        String::new()
    } else {
        format!("{server}/")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_one_name() {
        for (text, name) in [
            ("ghcr.io", "ghcr.io"),
            ("https://GHCR.io/", "ghcr.io"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("localhost", "localhost"),
            ("hub.docker.com", "docker.io"),
        ] {
            assert_eq!(server(text).unwrap(), name);
        }
        for bad in [
            "",
            "ghcr",
            "-x.io",
            "a b.io",
            "x.io/path",
            "x.io:0",
            "http://x.io",
            "x.io:1:2",
            "$(x).io",
        ] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn repositories_come_out_of_templates() {
        assert_eq!(filled("team/{{ .AppName }}", "shop").unwrap(), "team/shop");
        for bad in ["team/{{ .Other }}", "UPPER/x", "a:b", "../x", "-x"] {
            assert!(template(bad).is_err(), "{bad}");
        }
        assert!(tags("latest,v1").is_ok());
        for bad in ["", "a,,b", "-a", "a b", "a/b"] {
            assert!(tags(bad).is_err(), "{bad:?}");
        }
    }
}
