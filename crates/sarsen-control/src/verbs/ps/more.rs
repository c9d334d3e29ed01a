//! Looking closely at containers, and seeing replaced ones off now.

use std::time::Duration;

use sarsen_domain::AppName;
use sarsen_store::InstanceState;

use crate::control::Control;
use crate::failure::{Failure, Outcome, STOPPING};
use crate::table::Call;

/// How often it is looked whether replaced containers are gone.
const LOOK: Duration = Duration::from_millis(100);

/// `ps:inspect APP`
pub(super) async fn inspect(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let mut all = Vec::new();
    for instance in control.live_instances(&app).await? {
        let Some(container) = &instance.container else {
            continue;
        };
        let text = control.runtime.inspect_json(container).await?;
        let mut value: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("The engine's answer is no JSON: {error}")))?;
        scrub(&mut value);
        all.push(value);
    }
    if all.is_empty() {
        return Err(Failure::new(format!("App {} has no containers", &*app)));
    }
    let text = serde_json::to_string_pretty(&all)
        .map_err(|error| Failure::new(format!("The answer cannot be shown: {error}")))?;
    call.out.line(&text).await
}

/// Takes the values out of the environment, which are secrets as likely as not.
fn scrub(container: &mut serde_json::Value) {
    let env = container.pointer_mut("/Config/Env");
    for line in env.and_then(|env| env.as_array_mut()).into_iter().flatten() {
        let key = line.as_str().and_then(|line| line.split('=').next());
        if let Some(key) = key {
            *line = format!("{key}=******").into();
        }
    }
}

/// `ps:retire [APP]`
pub(super) async fn retire(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app.as_deref().cloned();
    loop {
        control.retirements.notify_one();
        if retiring(control, app.as_ref()).await? == 0 {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = call.gone.cancelled() => return Err(Failure::silent(1)),
            () = control.shutdown.cancelled() => return Err(Failure::new(STOPPING)),
        }
    }
}

async fn retiring(control: &Control, app: Option<&AppName>) -> Outcome<usize> {
    let all = control.store.instances().all().await?;
    let mine = all.iter().filter(|one| {
        one.state == InstanceState::Retiring && app.is_none_or(|app| one.app == *app)
    });
    Ok(mine.count())
}

#[cfg(test)]
mod tests {
    #[test]
    fn environment_values_do_not_leave() {
        let mut value = serde_json::json!({"Id": "x", "Config": {"Env": ["A=secret=1", "B="]}});
        super::scrub(&mut value);
        let expected = serde_json::json!({"Id": "x", "Config": {"Env": ["A=******", "B=******"]}});
        assert_eq!(value, expected);
    }
}
