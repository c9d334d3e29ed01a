//! A release as a row: lists as JSON, the environment as sealed JSON.

use sarsen_domain::{
    Config, EnvKey, Formation, PortMapping, ProcessType, Procfile, Release, ReleaseNumber,
    ReleaseState,
};
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{NewRelease, ReleaseSummary};
use crate::StoreError;
use crate::rows::{json_list, narrowed, parse, parsed, parsed_option};
use crate::seal::{Place, Sealer};

/// The release that a new one becomes.
pub(super) fn numbered(new: NewRelease, number: ReleaseNumber, created_at: i64) -> Release {
    Release {
        app: new.app,
        number,
        state: ReleaseState::Pending,
        image: new.image,
        builder: new.builder,
        commit: new.commit,
        config: new.config,
        procfile: new.procfile,
        formation: new.formation,
        detected_ports: new.detected_ports,
        app_json: new.app_json,
        build: new.build,
        author: new.author,
        description: new.description,
        created_at,
    }
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    sealer: &Sealer,
    app_id: i64,
    release: &Release,
) -> Result<(), StoreError> {
    let place = Place::Release {
        app_id,
        number: i64::from(release.number.0),
    };
    let config = sealer.seal(&place, &config_text(&release.config))?;
    sqlx::query(
        "INSERT INTO releases (app_id, number, state, image, builder, commit_id, config, procfile, \
           formation, detected_ports, app_json, build, author, description, created_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(app_id)
    .bind(release.number.0)
    .bind(release.state.as_str())
    .bind(release.image.as_str())
    .bind(release.builder.as_str())
    .bind(release.commit.as_ref().map(AsRef::<str>::as_ref))
    .bind(config)
    .bind(procfile_text(&release.procfile))
    .bind(formation_text(&release.formation))
    .bind(json_list(
        release.detected_ports.iter().map(ToString::to_string),
    ))
    .bind(release.app_json.as_deref())
    .bind(release.build.as_str())
    .bind(&release.author)
    .bind(&release.description)
    .bind(release.created_at)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) fn from_row(row: &SqliteRow, sealer: &Sealer) -> Result<Release, StoreError> {
    let number: u32 = narrowed(row, "number")?;
    let place = Place::Release {
        app_id: row.try_get("app_id")?,
        number: i64::from(number),
    };
    let config = sealer.open(&place, row.try_get("config")?)?;
    Ok(Release {
        app: parsed(row, "app")?,
        number: ReleaseNumber(number),
        state: parsed(row, "state")?,
        image: parsed(row, "image")?,
        builder: parsed(row, "builder")?,
        commit: parsed_option(row, "commit_id")?,
        config: config_of(&config)?,
        procfile: procfile_of(row.try_get("procfile")?)?,
        formation: formation_of(row.try_get("formation")?)?,
        detected_ports: detected_ports(row)?,
        app_json: row.try_get("app_json")?,
        build: parsed(row, "build")?,
        author: row.try_get("author")?,
        description: row.try_get("description")?,
        created_at: row.try_get("created_at")?,
    })
}

pub(super) fn summary(row: &SqliteRow) -> Result<ReleaseSummary, StoreError> {
    Ok(ReleaseSummary {
        number: ReleaseNumber(narrowed(row, "number")?),
        state: parsed(row, "state")?,
        commit: parsed_option(row, "commit_id")?,
        author: row.try_get("author")?,
        description: row.try_get("description")?,
        created_at: row.try_get("created_at")?,
        build: parsed(row, "build")?,
        image: parsed(row, "image")?,
    })
}

fn config_text(config: &Config) -> String {
    pairs_text(config.iter().map(|(key, value)| (key.as_str(), value)))
}

fn config_of(text: &str) -> Result<Config, StoreError> {
    // The message must not quote what it could not read.
    let pairs: Vec<(EnvKey, String)> = serde_json::from_str(text)
        .map_err(|_| StoreError::corrupt("config", "not a list of vars"))?;
    Ok(pairs.into_iter().collect())
}

fn procfile_text(procfile: &Procfile) -> String {
    pairs_text(
        procfile
            .iter()
            .map(|(process, command)| (process.as_str(), command)),
    )
}

fn procfile_of(text: &str) -> Result<Procfile, StoreError> {
    let pairs: Vec<(ProcessType, String)> =
        serde_json::from_str(text).map_err(|error| StoreError::corrupt("procfile", error))?;
    Ok(pairs.into_iter().collect())
}

/// A list of pairs, because the order of an object's members carries no meaning in JSON.
fn pairs_text<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    json_list(pairs.map(|(first, second)| vec![first, second]))
}

fn formation_text(formation: &Formation) -> String {
    let quantities = formation
        .iter()
        .map(|(process, quantity)| (process.to_string(), Value::from(quantity)));
    Value::Object(quantities.collect()).to_string()
}

fn formation_of(text: &str) -> Result<Formation, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::corrupt("formation", error))
}

pub(super) fn detected_ports(row: &SqliteRow) -> Result<Vec<PortMapping>, StoreError> {
    let column = "detected_ports";
    let texts: Vec<String> = serde_json::from_str(row.try_get(column)?)
        .map_err(|error| StoreError::corrupt(column, error))?;
    ports(&texts)
}

/// Mappings as they are written.
pub(super) fn ports(texts: &[String]) -> Result<Vec<PortMapping>, StoreError> {
    texts
        .iter()
        .map(|text| parse("detected_ports", text))
        .collect()
}
