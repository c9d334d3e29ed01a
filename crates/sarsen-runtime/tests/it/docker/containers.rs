//! Limits, restarts, health and ends of real containers.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use sarsen_runtime::{
    BuildItem, BuildSpec, ContainerEventKind, ContainerSpec, ContainerStatus, ImageHealth,
    LogOptions, RestartPolicy, RuntimeError, StdStream,
};

use crate::lab::{BASE, Lab, eventually, soon, tar_of, text_of, with_docker};

async fn output_of(lab: &Lab, spec: &ContainerSpec) -> String {
    let id = lab.run(spec).await;
    lab.runtime.wait(&id).await.unwrap();
    let logs = lab.runtime.logs(&id, LogOptions::default()).await.unwrap();
    text_of(logs, StdStream::Stdout).await
}

fn status_of(text: &str) -> BTreeMap<&str, &str> {
    let fields = text.lines().filter_map(|line| line.split_once(":\t"));
    fields.collect()
}

#[tokio::test]
async fn hardening_shows_in_the_process() {
    with_docker(async |lab: &Lab| {
        let spec = ContainerSpec {
            drop_capabilities: true,
            no_new_privileges: true,
            ..lab.spec(BASE, "cat /proc/self/status")
        };
        let hard = output_of(lab, &spec).await;
        let hard = status_of(&hard);
        assert_eq!(hard["NoNewPrivs"], "1");
        // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE
        let bits = [0, 1, 3, 4, 5, 6, 7, 10]
            .iter()
            .fold(0_u64, |set, bit| set | 1 << bit);
        assert_eq!(u64::from_str_radix(hard["CapBnd"], 16).unwrap(), bits);

        let soft = output_of(lab, &lab.spec(BASE, "cat /proc/self/status")).await;
        let soft = status_of(&soft);
        assert_eq!(soft["NoNewPrivs"], "0");
        assert_ne!(soft["CapBnd"], hard["CapBnd"]);
    })
    .await;
}

#[tokio::test]
async fn an_entry_point_can_still_become_another_user() {
    with_docker(async |lab: &Lab| {
        let script = "mkdir /data && touch /data/x && chown -R nobody /data && chmod 700 /data && \
                      exec setpriv --reuid nobody --regid nogroup --clear-groups sh -c 'id -un; ls /data'";
        let spec = ContainerSpec {
            drop_capabilities: true,
            no_new_privileges: true,
            ..lab.spec(BASE, script)
        };
        assert_eq!(output_of(lab, &spec).await, "nobody\nx\n");
    })
    .await;
}

#[tokio::test]
async fn limits_reach_the_kernel() {
    with_docker(async |lab: &Lab| {
        let spec = ContainerSpec {
            init: true,
            memory: Some(64 << 20),
            pids_limit: Some(32),
            env: vec!["A=b".to_owned()],
            workdir: Some("/tmp".to_owned()),
            user: Some("nobody".to_owned()),
            ..lab.spec(
                BASE,
                "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max; echo $A; pwd; id -un; cat /proc/1/comm",
            )
        };
        let text = output_of(lab, &spec).await;
        assert!(text.starts_with("67108864\n32\nb\n/tmp\nnobody\n"), "{text}");
        assert!(text.contains("init"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_log_file_has_a_largest_size() {
    with_docker(async |lab: &Lab| {
        let spec = ContainerSpec {
            log_max_size: Some("20k".to_owned()),
            ..lab.spec(
                BASE,
                "for i in $(seq 2000); do echo line $i of a long log; done",
            )
        };
        let text = output_of(lab, &spec).await;
        assert!(text.ends_with("line 2000 of a long log\n"));
        assert!(
            text.lines().count() < 1000,
            "{} lines",
            text.lines().count()
        );
    })
    .await;
}

#[tokio::test]
async fn one_look_says_what_a_container_uses() {
    with_docker(async |lab: &Lab| {
        let spec = ContainerSpec {
            memory: Some(64 << 20),
            ..lab.spec(BASE, "while :; do :; done")
        };
        let id = lab.run(&spec).await;
        let started = std::time::Instant::now();
        let first = lab.runtime.usage(&id).await.unwrap();
        assert!(started.elapsed() < std::time::Duration::from_secs(1));
        assert!(first.memory > 0 && first.memory <= 64 << 20, "{first:?}");
        assert_eq!(first.memory_limit, Some(64 << 20));
        eventually("the processor is used", async || {
            let usage = lab.runtime.usage(&id).await.unwrap();
            (usage.cpu > first.cpu).then_some(())
        })
        .await;
        lab.runtime.remove(&id).await.unwrap();
        assert!(lab.runtime.usage(&id).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn the_engine_restarts_what_fails_and_gives_up() {
    with_docker(async |lab: &Lab| {
        let spec = ContainerSpec {
            restart: RestartPolicy::OnFailure(2),
            ..lab.spec(BASE, "exit 1")
        };
        let id = lab.run(&spec).await;
        let info = eventually("the engine gives up", async || {
            let info = lab.runtime.inspect(&id).await.unwrap();
            (info.status == ContainerStatus::Exited && info.restart_count == 2).then_some(info)
        })
        .await;
        assert_eq!(info.exit_code, Some(1));
    })
    .await;
}

#[tokio::test]
async fn a_restart_policy_can_be_replaced() {
    with_docker(async |lab: &Lab| {
        let spec = ContainerSpec {
            restart: RestartPolicy::Always,
            ..lab.spec(BASE, "trap 'exit 9' TERM; sleep 1000 & wait")
        };
        let id = lab.run(&spec).await;
        lab.runtime
            .set_restart_policy(&id, RestartPolicy::No)
            .await
            .unwrap();
        let end = ["sh", "-c", "kill 1"].map(str::to_owned).to_vec();
        let exec = sarsen_runtime::ExecSpec {
            command: end,
            ..Default::default()
        };
        let ready = async || {
            // Refused once it has ended; the first signal may come before the trap is set.
            if let Ok(exec) = lab.runtime.exec(&id, &exec).await {
                exec.streams.output.count().await;
            }
            let info = lab.runtime.inspect(&id).await.unwrap();
            (!info.is_running()).then_some(info)
        };
        let info = eventually("its end", ready).await;
        assert_eq!(
            (info.status, info.restart_count),
            (ContainerStatus::Exited, 0)
        );
    })
    .await;
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    with_docker(async |lab: &Lab| {
        let spec = ContainerSpec {
            command: Some(vec!["/no/such/command".to_owned()]),
            ..lab.spec(BASE, "")
        };
        let id = lab.runtime.create(&spec).await.unwrap();
        let error = lab.runtime.start(&id).await.unwrap_err();
        assert!(error.to_string().contains("no such file"), "{error}");
        let info = lab.runtime.inspect(&id).await.unwrap();
        assert!(
            info.error
                .is_some_and(|words| words.contains("no such file"))
        );
        assert!(!matches!(error, RuntimeError::Unreachable(_)));
    })
    .await;
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_its_grace() {
    with_docker(async |lab: &Lab| {
        let id = lab
            .run(&lab.spec(BASE, "trap '' TERM; while :; do sleep 1; done"))
            .await;
        let grace = Duration::from_secs(1);
        soon("the stop", lab.runtime.stop(&id, grace))
            .await
            .unwrap();
        let info = lab.runtime.inspect(&id).await.unwrap();
        assert_eq!(info.exit_code, Some(137));
    })
    .await;
}

#[tokio::test]
async fn an_images_health_check_and_stop_signal_are_seen() {
    with_docker(async |lab: &Lab| {
        let dockerfile = format!(
            "FROM {BASE}\nSTOPSIGNAL SIGQUIT\nEXPOSE 7000\n\
             HEALTHCHECK --interval=1s --retries=1 CMD echo checked; test -e /tmp/well\n\
             CMD [\"sh\", \"-c\", \"trap 'exit 0' QUIT; trap '' HUP; sleep 1000 & wait; wait\"]\n"
        );
        let tag = format!("{}:health", lab.name);
        let spec = BuildSpec {
            dockerfile: "Dockerfile".to_owned(),
            tag: tag.clone(),
            labels: lab.spec(BASE, "").labels,
            ..BuildSpec::default()
        };
        let context = tar_of(&[("Dockerfile", &dockerfile)]);
        let items = lab.runtime.build(&spec, context).await.unwrap();
        let items: Vec<_> = soon("the build", items.collect()).await;
        let Some(Ok(BuildItem::Done(image))) = items.last() else {
            panic!("{items:?}");
        };
        assert!(lab.runtime.image(image).await.unwrap().has_healthcheck);

        let mut events = lab.runtime.events(None).await.unwrap();
        let id = lab
            .run(&ContainerSpec {
                command: None,
                ..lab.spec(&tag, "")
            })
            .await;
        let unwell = async || {
            let info = lab.runtime.inspect(&id).await.unwrap();
            (info.health == ImageHealth::Unhealthy).then_some(info)
        };
        let info = eventually("the check fails", unwell).await;
        assert_eq!(info.health_output.as_deref(), Some("checked\n"));
        lab.runtime
            .upload(&id, "/tmp", tar_of(&[("well", "")]))
            .await
            .unwrap();
        lab.runtime
            .stop(&id, Duration::from_secs(30))
            .await
            .unwrap();

        let mut kinds = Vec::new();
        while !matches!(kinds.last(), Some(ContainerEventKind::Die { .. })) {
            let event = soon("an event", events.next()).await.unwrap().unwrap();
            if event.id == id {
                kinds.push(event.kind);
            }
        }
        assert!(
            kinds.contains(&ContainerEventKind::Health(ImageHealth::Unhealthy)),
            "{kinds:?}"
        );
        let end = [
            ContainerEventKind::Stopping,
            ContainerEventKind::Die { exit_code: 0 },
        ];
        assert!(kinds.ends_with(&end), "{kinds:?}");
    })
    .await;
}
