//! The one property mechanism: a concern declares its properties, and `:set` and `:report` follow.

use sarsen_domain::{AppName, Invalid};
use sarsen_store::Scope;

use crate::access::sees;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::report::{self, Fields, ReportKind};
use crate::table::Call;

/// One property.
pub(crate) struct Property {
    /// `deploy-branch`
    pub key: &'static str,
    /// Where it may be set.
    pub reach: Reach,
    /// What holds when it is set nowhere.
    pub default: &'static str,
    /// Whether a value will do.
    pub check: fn(&str) -> Result<(), Invalid>,
}

impl Property {
    /// A property that an app has of its own, or else from all apps.
    pub(crate) const fn shared(
        key: &'static str,
        default: &'static str,
        check: fn(&str) -> Result<(), Invalid>,
    ) -> Self {
        Self {
            key,
            reach: Reach::AppAndGlobal,
            default,
            check,
        }
    }
}

/// Where a property may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Per app only.
    App,
    /// Per app, and for all apps that set nothing themselves.
    AppAndGlobal,
    /// For the whole host only.
    Global,
}

/// A plugin's name with its properties and report.
pub(crate) struct Concern {
    /// The plugin: `git` of `git:set`.
    pub plugin: &'static str,
    /// Its properties.
    pub properties: &'static [Property],
    /// Its report.
    pub report: ReportKind,
}

/// Anything goes.
pub(crate) fn any(_: &str) -> Result<(), Invalid> {
    Ok(())
}

/// `true` or `false`.
pub(crate) fn boolean(value: &str) -> Result<(), Invalid> {
    match value {
        "true" | "false" => Ok(()),
        other => Err(Invalid::new(format!(
            "Invalid value '{}': use true or false",
            other.escape_debug()
        ))),
    }
}

/// A path inside the repository.
pub(crate) fn repository_path(value: &str) -> Result<(), Invalid> {
    let climbs = value.split('/').any(|part| part == ".." || part == ".git");
    if value.starts_with(['/', '-']) || climbs || value.chars().any(char::is_control) {
        return Err(Invalid::new(format!(
            "Invalid path '{}': give a path inside the repository, without a leading slash",
            value.escape_debug()
        )));
    }
    Ok(())
}

impl Concern {
    /// Whether there is a property of this name.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.properties.iter().any(|property| property.key == key)
    }

    fn property(&self, key: &str) -> Outcome<&'static Property> {
        self.properties
            .iter()
            .find(|property| property.key == key)
            .ok_or_else(|| {
                let keys: Vec<_> = self
                    .properties
                    .iter()
                    .map(|property| property.key)
                    .collect();
                Failure::new(format!(
                    "Invalid property specified, valid properties include: {}",
                    keys.join(", ")
                ))
            })
    }

    /// What holds where nobody sets anything.
    pub(crate) fn default(&self, key: &str) -> &'static str {
        let mut all = self.properties.iter();
        all.find(|property| property.key == key)
            .map_or("", |property| property.default)
    }

    /// What holds for an app: its own value, else the global one, else the default.
    pub(crate) async fn effective(
        &self,
        control: &Control,
        app: &AppName,
        key: &str,
    ) -> Outcome<String> {
        let value = control
            .store
            .properties()
            .effective(app, self.plugin, key)
            .await?;
        let default = || {
            self.property(key)
                .map(|property| property.default.to_owned())
        };
        value.map_or_else(default, Ok)
    }

    /// What holds for the host.
    pub(crate) async fn global(&self, control: &Control, key: &str) -> Outcome<String> {
        let value = control
            .store
            .properties()
            .get(&Scope::Global, self.plugin, key)
            .await?;
        let default = || {
            self.property(key)
                .map(|property| property.default.to_owned())
        };
        value.map_or_else(default, Ok)
    }

    /// `X:set APP|--global KEY [VALUE]`
    pub(crate) async fn set(&self, control: &Control, call: &mut Call) -> Outcome {
        let (scope, at) = scope(call)?;
        let key = call.args.get(at).unwrap_or_default().to_owned();
        let value = call.args.get(at + 1).map(str::to_owned);
        self.put(control, call, &scope, &key, value.as_deref())
            .await
    }

    /// The same with a value that is not one word of the command.
    pub(crate) async fn put(
        &self,
        control: &Control,
        call: &mut Call,
        scope: &Scope,
        key: &str,
        value: Option<&str>,
    ) -> Outcome {
        let property = self.property(key)?;
        if *scope == Scope::Global && property.reach == Reach::App {
            return Err(Failure::new(format!(
                "Property cannot be specified globally: {key}"
            )));
        }
        if *scope != Scope::Global && property.reach == Reach::Global {
            return Err(Failure::new(format!(
                "Property must be specified globally: {key}"
            )));
        }
        let properties = control.store.properties();
        match value.filter(|value| !value.is_empty()) {
            Some(value) => {
                (property.check)(value)?;
                properties.set(scope, self.plugin, key, value).await?;
                call.out.title(&format!("Setting {key} to {value}")).await
            }
            None => {
                properties.unset(scope, self.plugin, key).await?;
                call.out.title(&format!("Unsetting {key}")).await
            }
        }
    }

    /// The fields of the properties, as reports show them.
    pub(crate) async fn fields(&self, control: &Control, app: Option<&AppName>) -> Outcome<Fields> {
        let properties = control.store.properties();
        let global = properties.all(&Scope::Global, self.plugin).await?;
        let own = match app {
            Some(app) => {
                properties
                    .all(&Scope::App(app.clone()), self.plugin)
                    .await?
            }
            None => Default::default(),
        };
        let mut fields = Fields::new();
        for Property {
            key,
            reach,
            default,
            ..
        } in self.properties
        {
            let plugin = self.report.prefix;
            let overall = global.get(*key).map(String::as_str);
            let mine = own.get(*key).map(String::as_str);
            if app.is_some() && *reach != Reach::Global {
                fields.insert(
                    format!("{plugin}-{key}"),
                    mine.unwrap_or_default().to_owned(),
                );
                let computed = mine.or(overall).unwrap_or(default);
                fields.insert(format!("{plugin}-computed-{key}"), computed.to_owned());
            }
            if *reach != Reach::App {
                let shown = overall.unwrap_or(default);
                fields.insert(format!("{plugin}-global-{key}"), shown.to_owned());
            }
        }
        Ok(fields)
    }

    /// `X:report [APP] [--global] [--FIELD] [--format json]`, for a concern that has only its properties to tell.
    pub(crate) async fn report(&self, control: &Control, call: &mut Call) -> Outcome {
        if call.args.has("--global") {
            let fields = self.fields(control, None).await?;
            return report::print(call, &self.report, "Global", &fields).await;
        }
        for app in apps_to_report(control, call).await? {
            let fields = self.fields(control, Some(&app)).await?;
            report::print(call, &self.report, app.as_str(), &fields).await?;
        }
        Ok(())
    }
}

/// The app named, or every app; says so when there is none.
pub(crate) async fn apps_to_report(control: &Control, call: &mut Call) -> Outcome<Vec<AppName>> {
    if let Some(app) = &call.app {
        return Ok(vec![AppName::clone(app)]);
    }
    let mut apps = control.store.apps().list().await?;
    apps.retain(|app| sees(&call.actor, app));
    let apps = control.visible(&call.identity, apps).await?;
    if apps.is_empty() {
        call.out
            .warn("You haven't deployed any applications yet")
            .await?;
    }
    Ok(apps)
}

/// The same where `--global` means what holds without any app: `None`.
pub(crate) async fn scopes_to_report(
    control: &Control,
    call: &mut Call,
) -> Outcome<Vec<Option<AppName>>> {
    if call.args.has("--global") {
        return Ok(vec![None]);
    }
    let apps = apps_to_report(control, call).await?;
    Ok(apps.into_iter().map(Some).collect())
}

/// What `<app>|--all` came to.
pub(crate) async fn apps_meant(control: &Control, call: &mut Call) -> Outcome<Vec<AppName>> {
    match &call.app {
        Some(app) => Ok(vec![AppName::clone(app)]),
        None => Ok(control.store.apps().list().await?),
    }
}

/// What `<app>|--global` came to, and the place of the word behind it.
pub(crate) fn scope(call: &Call) -> Outcome<(Scope, usize)> {
    if call.args.has("--global") {
        Ok((Scope::Global, 0))
    } else {
        Ok((Scope::App(AppName::clone(&*call.app()?)), 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_the_repository() {
        assert!(repository_path("deploy/Dockerfile.web").is_ok());
        for bad in [
            "/etc/passwd",
            "../x",
            "a/../../b",
            "-f",
            ".git/config",
            "a\nb",
        ] {
            assert!(repository_path(bad).is_err(), "{bad:?}");
        }
    }
}
