//! Docker's flags, one after the other: a container that we make with a flag differs from one without it in what
//! `docker create` with that flag changes, and in nothing else.

use std::collections::BTreeMap;

use sarsen_domain::DockerFlags;
use sarsen_domain::docker_flags::split_words;
use sarsen_runtime::ContainerSpec;
use serde_json::Value;
use tokio::process::Command;

use crate::lab::{BASE, Lab, SOCKET, with_docker};

/// What a container looks like: path in the engine's answer → value. What is empty or zero is not there.
type Looks = BTreeMap<String, Value>;

/// Flags. `NET`, `OTHER` and `VOLUME` stand for a network, a container and a volume of the test's own.
const ROWS: &[&str] = &[
    "--volume /tmp:/data",
    "-v /tmp:/data:ro",
    "-v /tmp:/data:rslave",
    "-v VOLUME:/data",
    "-v VOLUME:/data:ro,nocopy",
    "-v /anonymous",
    "--mount type=bind,src=/tmp,dst=/data,readonly",
    "--mount type=volume,src=VOLUME,dst=/data",
    "--mount type=volume,src=VOLUME,dst=/data,volume-nocopy",
    "--mount type=tmpfs,dst=/scratch,tmpfs-size=1m,tmpfs-mode=1770",
    "--tmpfs /scratch:size=1m,mode=700",
    "--publish 80",
    "-p 8080:80",
    "-p 127.0.0.1:8080:80",
    "-p 127.0.0.1:5353:53/udp",
    "--expose 9000",
    "--env A=1",
    "-e 'A=one two' -e B=",
    "--label team=core",
    "-l 'note=a b'",
    "--annotation note=a",
    "--link OTHER:db",
    "--network NET",
    "--net host",
    "--network none",
    "--network container:OTHER",
    "--network NET --network-alias api",
    "--network NET --net-alias api --link OTHER:db",
    "--add-host=db:10.1.2.3",
    "--add-host=outside:host-gateway",
    "--dns 10.1.2.3",
    "--dns-search example.test",
    "--dns-option ndots:1",
    "--dns-opt timeout:2",
    "--cap-add NET_ADMIN",
    "--cap-add CAP_SYS_PTRACE",
    "--cap-drop ALL",
    "--cap-drop chown",
    "--device /dev/null",
    "--device /dev/zero:/dev/nothing:r",
    "--gpus all",
    "--gpus 2",
    "--gpus device=0",
    "--privileged",
    "--privileged=false",
    "--security-opt no-new-privileges",
    "--security-opt seccomp=unconfined",
    "--security-opt apparmor=unconfined",
    "--sysctl net.core.somaxconn=1024",
    "--ulimit nofile=1024:4096",
    "--ulimit nproc=64",
    "--memory 64m",
    "-m 64m",
    "--memory 64m --memory-swap 128m",
    "--memory 64m --memory-swap -1",
    "--memory-reservation 32m",
    "--memory-swappiness 10",
    "--oom-kill-disable",
    "--oom-score-adj 100",
    "--cpus 0.5",
    "--cpu-shares 512",
    "-c 512",
    "--cpu-period 50000",
    "--cpu-quota 25000",
    "--cpuset-cpus 0",
    "--cpuset-mems 0",
    "--pids-limit 100",
    "--shm-size 128m",
    "--user nobody",
    "-u 1000:1000",
    "--group-add 20 --group-add audio",
    "--workdir /srv",
    "-w /srv",
    "--hostname shop",
    "-h shop",
    "--domainname example.test",
    "--restart no",
    "--restart always",
    "--restart on-failure:3",
    "--restart unless-stopped",
    "--stop-timeout 5",
    "--stop-signal SIGINT",
    "--init",
    "--init=false",
    "--read-only",
    "--ipc none",
    "--ipc shareable",
    "--ipc host",
    "--ipc container:OTHER",
    "--pid host",
    "--pid container:OTHER",
    "--uts host",
    "--health-cmd 'test -e /ok'",
    "--health-cmd true --health-interval 5s --health-timeout 1500ms --health-start-period 1m --health-retries 2",
    "--no-healthcheck",
    "--log-driver none",
    "--log-driver json-file --log-opt max-size=1m --log-opt max-file=2",
    "--log-opt max-size=5m",
];

/// Where we differ and mean it: a container that may have so much memory does not get as much swap besides.
const MEANT: &[(&str, &str)] = &[
    ("--memory 64m", "HostConfig.MemorySwap"),
    ("-m 64m", "HostConfig.MemorySwap"),
];

#[tokio::test]
async fn flags_do_what_they_do_for_docker() {
    let mut missing: Vec<_> = DockerFlags::names().collect();
    missing.retain(|name| {
        let says = |word: &str| word.split('=').next() == Some(name);
        !ROWS.iter().any(|row| row.split(' ').any(says))
    });
    assert!(missing.is_empty(), "no row for {missing:?}");
    with_docker(async |lab: &Lab| {
        let place = Place::make(lab).await;
        let mut wrong = Vec::new();
        let theirs = place.theirs("").await.unwrap();
        let ours = place.ours(lab, "").await.unwrap();
        for row in ROWS {
            let text = place.filled(row);
            let compared = async {
                let theirs = changes(&theirs, &place.theirs(&text).await?);
                let mut ours = changes(&ours, &place.ours(lab, &text).await?);
                for (_, path) in MEANT.iter().filter(|(meant, _)| meant == row) {
                    assert_ne!(
                        ours.get(*path),
                        theirs.get(*path),
                        "{row} differs no longer"
                    );
                    ours.insert((*path).to_owned(), theirs[*path].clone());
                }
                if ours == theirs {
                    return Ok(());
                }
                Err(format!("docker: {theirs:?}\n  ours:   {ours:?}"))
            };
            let compared: Result<(), String> = compared.await;
            let Err(why) = compared else { continue };
            // What this engine is too old for cannot be compared, only refused by both.
            if why.contains("requires API version") {
                let ours = place.ours(lab, &text).await;
                let refusal = ours.err().unwrap_or_else(|| "ours takes it".to_owned());
                if refusal.contains("it needs Docker") {
                    continue;
                }
                wrong.push(format!("{row}\n  docker: {why}\n  ours: {refusal}"));
                continue;
            }
            wrong.push(format!("{row}\n  {why}"));
        }
        place.clear().await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    })
    .await;
}

/// Things that flags name.
struct Place {
    owner: String,
    name: String,
}

impl Place {
    async fn make(lab: &Lab) -> Self {
        let place = Self {
            owner: lab.owner(),
            name: lab.name.clone(),
        };
        let other = place.filled("OTHER");
        docker(&["network", "create", &place.name]).await.unwrap();
        docker(&[
            "create",
            "--label",
            &place.owner,
            "--name",
            &other,
            BASE,
            "true",
        ])
        .await
        .unwrap();
        docker(&["start", &other]).await.unwrap();
        place
    }

    fn filled(&self, row: &str) -> String {
        let name = &self.name;
        row.replace("VOLUME", &format!("{name}-volume"))
            .replace("OTHER", &format!("{name}-other"))
            .replace("NET ", &format!("{name} "))
            .replace("network NET", &format!("network {name}"))
    }

    async fn theirs(&self, flags: &str) -> Result<Looks, String> {
        let words = split_words(flags).map_err(|error| error.to_string())?;
        let mut line = vec!["create", "--label", &self.owner];
        line.extend(words.iter().map(String::as_str));
        line.extend([BASE, "sleep", "1"]);
        let id = docker(&line).await?;
        let text = docker(&["inspect", &id]).await?;
        docker(&["rm", "--force", "--volumes", &id]).await?;
        let all: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        Ok(looks(&all[0]))
    }

    async fn ours(&self, lab: &Lab, flags: &str) -> Result<Looks, String> {
        let spec = ContainerSpec {
            flags: DockerFlags::parse_text(flags).map_err(|error| error.to_string())?,
            command: Some(["sleep", "1"].map(str::to_owned).to_vec()),
            ..lab.spec(BASE, "")
        };
        let made = lab.runtime.create(&spec).await;
        let id = made.map_err(|error| error.to_string())?;
        let text = lab.runtime.inspect_json(&id).await.unwrap();
        lab.runtime.remove(&id).await.unwrap();
        Ok(looks(&serde_json::from_str(&text).unwrap()))
    }

    async fn clear(&self) {
        docker(&["rm", "--force", &self.filled("OTHER")]).await.ok();
        docker(&["volume", "rm", "--force", &self.filled("VOLUME")])
            .await
            .ok();
    }
}

async fn docker(words: &[&str]) -> Result<String, String> {
    let mut docker = Command::new("docker");
    docker.arg("--host").arg(format!("unix://{SOCKET}"));
    let ended = docker.args(words).output().await.unwrap();
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(format!("docker {}: {said}", words.join(" ")))
}

fn looks(container: &Value) -> Looks {
    let mut looks = Looks::new();
    for part in ["Config", "HostConfig"] {
        put(part.to_owned(), &container[part], &mut looks);
    }
    let networks = container["NetworkSettings"]["Networks"].as_object();
    for (name, network) in networks.into_iter().flatten() {
        looks.insert(format!("Networks.{name}"), true.into());
        for part in ["Aliases", "Links"] {
            put(
                format!("Networks.{name}.{part}"),
                &network[part],
                &mut looks,
            );
        }
    }
    // A mount can be asked for in two ways; what comes of it is told here.
    for mount in container["Mounts"].as_array().into_iter().flatten() {
        let target = mount["Destination"].as_str().unwrap_or_default();
        for part in ["Type", "RW", "Propagation", "Driver"] {
            put(format!("Mounts.{target}.{part}"), &mount[part], &mut looks);
        }
        let source = if mount["Type"] == "volume" {
            "Name"
        } else {
            "Source"
        };
        put(format!("Mounts.{target}.From"), &mount[source], &mut looks);
    }
    let ways = ["HostConfig.Binds", "HostConfig.Mounts", "Config.Volumes"];
    looks.retain(|path, value| {
        let is_way = ways.iter().any(|way| path.starts_with(way));
        !is_way && !is_random(value) && !path.starts_with("Config.Labels.com.sarsen.")
    });
    looks
}

/// Ids and the names that follow from them.
fn is_random(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    matches!(text.len(), 12 | 64) && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// One of the ways to write the same: `CAP_KILL` is `KILL`, a link's own container has a name of chance, and what is
/// empty is not there.
fn plain(item: &Value) -> Value {
    match item {
        Value::String(text) => {
            let text = text.strip_prefix("CAP_").unwrap_or(text);
            match text.split(':').collect::<Vec<_>>().as_slice() {
                [from, to] if from.starts_with('/') && to.starts_with('/') => {
                    let alias = to.rsplit('/').next().unwrap_or_default();
                    format!("{from}:{alias}").into()
                }
                _ => text.into(),
            }
        }
        Value::Object(fields) => {
            let is_filled = |value: &Value| {
                !value.is_null() && value.as_object().is_none_or(|fields| !fields.is_empty())
            };
            let filled = fields.iter().filter(|(_, value)| is_filled(value));
            filled
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            other.clone()
        }
    }
}

fn put(path: String, value: &Value, looks: &mut Looks) {
    match value {
        // A port, whose value says nothing.
        Value::Object(fields) if fields.is_empty() && path.contains("ExposedPorts.") => {
            looks.insert(path, true.into());
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                put(format!("{path}.{name}"), value, looks);
            }
        }
        Value::Array(items) => {
            let items = items.iter().filter(|item| !is_random(item));
            let mut items: Vec<Value> = items.map(plain).collect();
            items.sort_by_key(ToString::to_string);
            if !items.is_empty() {
                looks.insert(path, items.into());
            }
        }
        Value::Null | Value::Bool(false) => {}
        Value::Number(number) if number.as_f64() == Some(0.0) => {}
        Value::String(text) if text.is_empty() => {}
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            looks.insert(path, other.clone());
        }
    }
}

/// What is new or another value, and what is there no longer.
fn changes(before: &Looks, after: &Looks) -> Looks {
    let mut changes = after.clone();
    changes.retain(|path, value| before.get(path) != Some(value));
    let gone = before.keys().filter(|path| !after.contains_key(*path));
    changes.extend(gone.map(|path| (path.clone(), Value::Null)));
    changes
}
