//! A password before an app.

use sarsen_domain::AppName;
use sarsen_router::{Network, PasswordHash};
use sarsen_store::Scope;
use tokio::io::AsyncReadExt;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::{Concern, Property, Reach, apps_to_report, boolean};
use crate::report::{self, Fields, ReportKind};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "http-auth:add-allowed-ip",
        "<app> <address>",
        Change,
        "Lets an address or a range in without a password",
        add_address
    ),
    verb!(
        "http-auth:add-user",
        "<app> <user> [<password>]",
        Change,
        "Gives a user a password; without one it is read from standard input",
        add_user
    ),
    verb!(
        "http-auth:disable",
        "<app>",
        Change,
        "Asks for no password any more; users are kept",
        disable
    ),
    verb!(
        "http-auth:enable",
        "<app> [<user>] [<password>]",
        Change,
        "Asks for a password before an app",
        enable
    ),
    verb!(
        "http-auth:off",
        "<app>",
        Change,
        "Is http-auth:disable",
        disable
    ),
    verb!(
        "http-auth:on",
        "<app> [<user>] [<password>]",
        Change,
        "Is http-auth:enable",
        enable
    ),
    verb!(
        "http-auth:remove-allowed-ip",
        "<app> <address>",
        Change,
        "Asks an address for a password again",
        remove_address
    ),
    verb!(
        "http-auth:remove-user",
        "<app> <user>",
        Change,
        "Removes a user",
        remove_user
    ),
    verb!(
        "http-auth:report",
        "[<app>] [--format stdout|json] [--http-auth-*]",
        Read,
        "Displays an HTTP auth report",
        report
    ),
];

/// Whether a password is asked for.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "http-auth",
    properties: &[Property {
        key: "enabled",
        reach: Reach::App,
        default: "false",
        check: boolean,
    }],
    report: ReportKind {
        prefix: "http-auth",
        label: "http-auth",
        long_json_keys: false,
    },
};

async fn enable(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let routing = control.store.routing();
    let user = call.args.get(1).map(str::to_owned);
    match user {
        Some(user) => write_user(control, call, &app, &user).await?,
        None => {
            let nobody = routing.users(&app).await?.is_empty();
            if nobody && routing.addresses(&app).await?.is_empty() {
                return Err(Failure::new(format!(
                    "Nobody could come in: name a user, or add one with 'http-auth:add-user {} USER'",
                    &*app
                )));
            }
        }
    }
    switch(control, &app, "true").await?;
    call.out
        .header(&format!("Enabled HTTP auth for {}", &*app))
        .await
}

async fn disable(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    switch(control, &app, "false").await?;
    call.out
        .header(&format!("Disabled HTTP auth for {}", &*app))
        .await
}

async fn switch(control: &Control, app: &AppName, enabled: &str) -> Outcome {
    let scope = Scope::App(app.clone());
    let properties = control.store.properties();
    properties
        .set(&scope, CONCERN.plugin, "enabled", enabled)
        .await?;
    control.refresh_routes().await
}

async fn add_user(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let user = call.args.get(1).unwrap_or_default().to_owned();
    write_user(control, call, &app, &user).await?;
    control.refresh_routes().await?;
    call.out
        .header(&format!("Added user {user} to {}", &*app))
        .await
}

async fn write_user(control: &Control, call: &mut Call, app: &AppName, user: &str) -> Outcome {
    let is_name =
        !user.is_empty() && user.len() <= 128 && !user.chars().any(|c| c == ':' || c.is_control());
    if !is_name {
        let user = user.escape_debug();
        return Err(Failure::new(format!(
            "Invalid user name '{user}': 1 to 128 characters, no colon"
        )));
    }
    let password = match call.args.get(2) {
        Some(password) => password.to_owned(),
        None => read_password(call).await?,
    };
    // Slow on purpose.
    let hash = tokio::task::spawn_blocking(move || PasswordHash::of(&password)).await;
    let hash = hash.map_err(|_| Failure::new("The password could not be hashed"))??;
    let routing = control.store.routing();
    routing.set_user(app, user, hash.as_str()).await?;
    Ok(())
}

async fn read_password(call: &mut Call) -> Outcome<String> {
    let mut text = String::new();
    let mut input = call.take_stdin().take(1024);
    input
        .read_to_string(&mut text)
        .await
        .map_err(|error| Failure::new(format!("Cannot read standard input: {error}")))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Failure::new(
            "Give a password, or send it on standard input",
        ));
    }
    Ok(line.to_owned())
}

async fn remove_user(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let user = call.args.get(1).unwrap_or_default().to_owned();
    if !control.store.routing().remove_user(&app, &user).await? {
        let user = user.escape_debug();
        return Err(Failure::new(format!("{} has no user {user}", &*app)));
    }
    control.refresh_routes().await?;
    call.out
        .header(&format!("Removed user {user} from {}", &*app))
        .await
}

fn address(call: &Call) -> Outcome<String> {
    let address: Network = call.args.get(1).unwrap_or_default().parse()?;
    Ok(address.to_string())
}

async fn add_address(control: &Control, call: &mut Call) -> Outcome {
    let (app, address) = (call.app()?, address(call)?);
    control.store.routing().add_address(&app, &address).await?;
    control.refresh_routes().await?;
    call.out
        .header(&format!("Added allowed ip {address} to {}", &*app))
        .await
}

async fn remove_address(control: &Control, call: &mut Call) -> Outcome {
    let (app, address) = (call.app()?, address(call)?);
    let routing = control.store.routing();
    if !routing.remove_address(&app, &address).await? {
        return Err(Failure::new(format!(
            "{address} is not an allowed ip of {}",
            &*app
        )));
    }
    control.refresh_routes().await?;
    call.out
        .header(&format!("Removed allowed ip {address} from {}", &*app))
        .await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    for app in apps_to_report(control, call).await? {
        let routing = control.store.routing();
        let fields = Fields::from([
            (
                "http-auth-enabled".to_owned(),
                CONCERN.effective(control, &app, "enabled").await?,
            ),
            (
                "http-auth-users".to_owned(),
                routing.users(&app).await?.join(" "),
            ),
            (
                "http-auth-allowed-ips".to_owned(),
                routing.addresses(&app).await?.join(" "),
            ),
        ]);
        report::print(call, &CONCERN.report, app.as_str(), &fields).await?;
    }
    Ok(())
}
