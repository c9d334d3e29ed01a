//! Docker's flags: what is understood, what is refused, and that nothing is dropped.

use proptest::prelude::*;

use super::*;

fn run(text: &str) -> ContainerSettings {
    DockerFlags::parse_text(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    let parsed = DockerFlags::parse_text(text);
    parsed.map_or_else(|error| error.to_string(), |_| panic!("{text} was taken"))
}

#[test]
fn every_form_of_a_flag_reads_alike() {
    let long = run("--memory 512m --volume /a/b:/c:ro --init");
    for other in [
        "-m 512m -v /a/b:/c:ro --init=true",
        "-m512m -v/a/b:/c:ro --init",
        "--memory=512m --volume=/a//b/:/c:ro --init",
        "'--memory=512m' \"-v\" /a/./b:/c:ro --init",
    ] {
        assert_eq!(run(other), long, "{other}");
    }
    assert_eq!(long.memory, Some(512 << 20));
    assert_eq!(long.mounts[0].source, MountSource::Host("/a/b".to_owned()));
    assert!(long.mounts[0].read_only);
}

#[test]
fn values_become_types() {
    let settings = run(
        "-p 127.0.0.1:8080:80 -p 53/udp -e 'A=x y' --link db.1:db --network-alias api \
         --add-host=h:host-gateway --ulimit nofile=1024:4096 --cpus 0.5 --gpus device=0,1 \
         --restart on-failure:3 --health-interval 1m30s --tmpfs /run:size=1m --shm-size 1.5g \
         --cap-add CAP_NET_ADMIN --sysctl net.core.somaxconn=1024 --log-opt max-file=3",
    );
    assert_eq!(settings.publish[0].host, Some(8080));
    assert!(settings.publish[1].udp && settings.publish[1].host.is_none());
    assert_eq!(settings.env, [("A".to_owned(), "x y".to_owned())]);
    assert_eq!(settings.links[0].alias, "db");
    assert_eq!(settings.add_hosts, ["h:host-gateway"]);
    assert_eq!(
        (settings.ulimits[0].soft, settings.ulimits[0].hard),
        (1024, 4096)
    );
    assert_eq!(settings.nano_cpus, Some(500_000_000));
    assert_eq!(settings.restart, Some(RestartFlag::OnFailure(3)));
    assert_eq!(settings.health.interval, Some(90_000_000_000));
    assert_eq!(settings.shm_size, Some(3 << 29));
    assert_eq!(settings.cap_add, ["NET_ADMIN"]);
    assert_eq!(settings.log_opts["max-file"], "3");
    let mount = run("--mount type=volume,src=data,dst=/d,volume-nocopy,readonly").mounts[0].clone();
    assert!(mount.no_copy && mount.read_only);
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    for (text, name) in [
        ("--name x", "--name"),
        ("-it", "-i"),
        ("--env-file /etc/passwd", "--env-file"),
        ("--nonsense", "--nonsense"),
        ("-Z", "-Z"),
        ("--rm", "--rm"),
        ("--build-arg A=1", "--build-arg"),
        ("--memory", "--memory needs a value"),
        ("--memory=1k", "--memory"),
        ("--env A", "--env"),
        ("--label com.sarsen.owner=x", "--label"),
        ("--sysctl kernel.panic=1", "--sysctl"),
        ("--volume ../x:/y", "--volume"),
        ("--volume /a/../etc:/y", "--volume"),
        (
            "--mount type=bind,src=/a,dst=/b,consistency=cached",
            "consistency",
        ),
        ("--mount type=npipe,src=/a,dst=/b", "npipe"),
        ("--security-opt seccomp=/x.json", "--security-opt"),
        ("--network name=x,driver-opt=y", "driver-opt"),
        ("-p 80-90:80-90", "-p"),
        ("alpine", "'alpine'"),
        ("--", "'--'"),
        ("-", "'-'"),
        ("--init rm", "'rm'"),
        ("--env 'A=x", "closed"),
        ("--env A=1\n--privileged", "--env"),
    ] {
        let error = refused(text);
        assert!(error.contains(name), "{text}: {error}");
    }
    for text in [
        "--secret id=x",
        "--tag x",
        "-v /a:/b",
        "--file ../x",
        "--build-arg A",
    ] {
        assert!(DockerFlags::parse_build_text(text).is_err(), "{text}");
    }
}

#[test]
fn builds_have_their_own_flags() {
    let flags = DockerFlags::parse_build_text(
        "--build-arg A='1 2' -f deploy/Dockerfile --no-cache --memory=1g",
    );
    let flags = flags.unwrap();
    assert_eq!(flags.build_args["A"], "1 2");
    assert_eq!(flags.file.as_deref(), Some("deploy/Dockerfile"));
    assert!(flags.no_cache && !flags.pull && flags.limits_resources());
    let host = DockerFlags::parse_build_text("--network host").unwrap();
    assert_eq!(host.host_powers(), ["--network=host"]);
}

#[test]
fn a_shell_never_sees_the_text() {
    let settings = run("-e 'A=$(id)' -e B=`id`;reboot -e C=#x");
    let values: Vec<_> = settings
        .env
        .iter()
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(values, ["$(id)", "`id`;reboot", "#x"]);
}

#[test]
fn what_reaches_beyond_the_app_is_known() {
    let own = "/data/storage/shop";
    for text in [
        "--link blog.web.1:blog",
        "--network back",
        "-v sarsen-postgres-db:/x",
        "--mount type=volume,src=data,dst=/x",
        "-v /data/storage/shop-2:/x",
        "-v /data/storage/blog:/x",
    ] {
        assert_eq!(run(text).ties(own).len(), 1, "{text}");
    }
    let own_things = run(
        "-v /data/storage/shop:/a -v /data/storage/shop/uploads:/b --tmpfs /t -v /anonymous --network none --network bridge",
    );
    assert!(own_things.ties(own).is_empty());
    let build = DockerFlags::parse_build_text("--network back").unwrap();
    assert_eq!(build.ties(), ["--network=back"]);
}

#[test]
fn powers_over_the_host_are_known() {
    for text in [
        "--privileged",
        "-v /:/host",
        "-v /var/run/docker.sock:/s",
        "-v /data/storage:/all",
        "-v /data/storage-other/x:/all",
        "--mount type=bind,src=/etc,dst=/e",
        "--pid=host",
        "--ipc host",
        "--ipc=container:x",
        "--uts=host",
        "--network host",
        "--network container:db",
        "--device /dev/kvm",
        "--cap-add SYS_ADMIN",
        "--cap-add all",
        "--security-opt seccomp=unconfined",
        "--security-opt no-new-privileges:false",
        "--oom-score-adj=-500",
    ] {
        assert_eq!(run(text).host_powers("/data/storage").len(), 1, "{text}");
    }
    let harmless = run(
        "-v /data/storage/app:/d -v named:/n --cap-add NET_RAW --cap-drop ALL --tmpfs /t \
                        --security-opt no-new-privileges --privileged=false --network mine --ipc private",
    );
    assert!(harmless.host_powers("/data/storage").is_empty());
}

#[test]
fn settings_can_be_laid_over_each_other() {
    let below = run("--memory 1g --label a=1 -v x1:/x --health-retries 3 --cap-drop ALL");
    let both = below.overlaid(run("--memory 2g --label a=2 -v y1:/y --init"));
    assert_eq!(both.memory, Some(2 << 30));
    assert_eq!(both.labels["a"], "2");
    assert_eq!(both.mounts.len(), 2);
    assert_eq!((both.health.retries, both.init), (Some(3), Some(true)));
}

#[test]
fn no_flag_is_both_honoured_and_refused() {
    let mut names: Vec<&str> = run::FLAGS.iter().flat_map(|flag| flag.0).copied().collect();
    names.extend(run::REFUSED.iter().flat_map(|refusal| refusal.0));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

proptest! {
    /// Whatever is typed: an answer, never a panic, and a refusal in one line.
    #[test]
    fn any_text_has_an_answer(text in "\\PC*") {
        if let Err(error) = DockerFlags::parse_text(&text) {
            prop_assert!(!error.to_string().contains('\n'));
        }
        DockerFlags::parse_build_text(&text).ok();
    }

    /// Flags that exist with values of every kind.
    #[test]
    fn any_value_has_an_answer(flag in 0..run::FLAGS.len(), value in "[a-z0-9:/,=.@#$'\"{}*\\[\\]-]{0,24}") {
        let (names, ..) = run::FLAGS[flag];
        let settings = DockerFlags::parse(&[format!("{}={value}", names[0])]);
        if let Ok(settings) = settings {
            let climbs = settings.mounts.iter().any(|mount| mount.target.contains(".."));
            prop_assert!(!climbs);
        }
    }

    /// A line made of words is cut into the same words again.
    #[test]
    fn quoting_and_cutting_are_inverse(words in prop::collection::vec("[^\\p{Cc}]{0,12}", 0..6)) {
        prop_assert_eq!(split_words(&quote_words(&words)).unwrap(), words);
    }

    /// More memory is never taken for less.
    #[test]
    fn sizes_are_what_they_say(count in 1_i64..4096) {
        prop_assert_eq!(size(&format!("{count}m")), Ok(count << 20));
        prop_assert_eq!(size(&format!("{count}.5k")), Ok((count << 10) + 512));
    }
}
