//! The build cache in and out, and what a killed daemon leaves.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sarsen_build::Builder;
use sarsen_domain::{AppName, ContainerName, ImageRef};

use crate::fixture::{BASE, run};

fn archive(path: &str, content: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o600);
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_cksum();
    builder.append(&header, content.as_bytes()).unwrap();
    builder.into_inner().unwrap()
}

async fn import(builder: &Builder, app: &AppName, tar: Vec<u8>) -> Result<(), String> {
    let tar = stream::iter([Ok(Bytes::from(tar))]);
    let done = builder.import_cache(app, Box::pin(tar)).await;
    done.map_err(|error| error.to_string())
}

async fn export(builder: &Builder, app: &AppName) -> Vec<u8> {
    let tar = builder.export_cache(app).await.unwrap();
    let chunks: Vec<Bytes> = tar.try_collect().await.unwrap();
    chunks.concat()
}

#[tokio::test]
async fn a_cache_goes_out_and_comes_in() {
    run(async |fixture| {
        let (builder, app) = (fixture.builder(), &fixture.app);
        import(&builder, app, archive("deep/er/file", "kept"))
            .await
            .unwrap();
        let tar = export(&builder, app).await;
        let mut found = tar::Archive::new(&tar[..]);
        let listed: Vec<_> = found
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let owner = entry.header().uid().unwrap();
                format!("{} {owner}", entry.path().unwrap().display())
            })
            .collect();
        assert_eq!(
            listed,
            ["deep 32767", "deep/er 32767", "deep/er/file 32767"]
        );
        builder.purge_cache(app).await.unwrap();
        import(&builder, app, tar.clone()).await.unwrap();
        assert_eq!(export(&builder, app).await, tar);
        let error = import(&builder, app, archive("../x", "x"))
            .await
            .unwrap_err();
        assert!(error.starts_with("Refused an archive: "), "{error}");
        fixture.nothing_left().await;
    })
    .await;
}

#[tokio::test]
async fn an_export_that_nobody_reads_does_not_keep_the_cache() {
    run(async |fixture| {
        let (builder, app) = (fixture.builder(), &fixture.app);
        import(&builder, app, archive("file", "x")).await.unwrap();
        let mut abandoned = builder.export_cache(app).await.unwrap();
        assert!(abandoned.next().await.is_some());
        drop(abandoned);
        builder.purge_cache(app).await.unwrap();
        fixture.nothing_left().await;
    })
    .await;
}

#[tokio::test]
async fn sweeping_takes_leftovers_and_nothing_else() {
    run(async |fixture| {
        let base = ImageRef::parse(BASE).unwrap();
        let mut leftover = fixture.spec(&base);
        leftover.name =
            Some(ContainerName::parse(&format!("sarsen-build-{}", fixture.app)).unwrap());
        fixture.runtime.create(&leftover).await.unwrap();
        let mut app = fixture.spec(&base);
        app.name = Some(ContainerName::parse(&format!("{}.web.1", fixture.app)).unwrap());
        let app = fixture.runtime.create(&app).await.unwrap();
        let built = fixture
            .build(&[("Dockerfile", &format!("FROM {BASE}\nCMD [\"true\"]\n"))])
            .await
            .unwrap();
        let repository = format!("dokku/{}", fixture.app);
        let tag = async |tag: &str| fixture.runtime.tag(&built.image, &repository, tag).await;
        tag("build-0123456789abcd").await.unwrap();
        tag("v1").await.unwrap();
        let mut other = fixture.settings.clone();
        other.owner = format!("{}-other", fixture.settings.owner);
        let stranger = Builder::new(Arc::clone(&fixture.runtime), other);
        assert_eq!(stranger.sweep().await.unwrap(), 0);
        assert_eq!(fixture.builder().sweep().await.unwrap(), 2);
        assert_eq!(fixture.builder().sweep().await.unwrap(), 0);
        fixture.runtime.inspect(&app).await.unwrap();
        let mut tags = fixture.latest().await.unwrap().tags;
        tags.sort();
        assert_eq!(
            tags,
            [format!("{repository}:latest"), format!("{repository}:v1")]
        );
    })
    .await;
}
