//! Puts an app's own list of buildpacks where the stack's `/build` looks for it: `/tmp/buildpacks/NN-name`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt;
use sarsen_domain::ContainerId;

use crate::archive::{self, APP_USER, Input, Memory, Rewrite, Verdict, rewrite, strictly_under};
use crate::fetch::{Pack, PackFiles};
use crate::limits::Limits;
use crate::{BuildError, Builder};

/// Where the stack image keeps the ones that it brings.
const BUNDLED: &str = "/buildpacks";

impl Builder {
    pub(super) async fn upload_packs(
        &self,
        builder: &ContainerId,
        packs: Vec<Pack>,
        limits: &Limits,
    ) -> Result<(), BuildError> {
        let bundled = if packs
            .iter()
            .any(|pack| matches!(pack.files, PackFiles::Bundled))
        {
            self.bundled(builder).await?
        } else {
            Vec::new()
        };
        for (index, pack) in packs.into_iter().enumerate() {
            let folder = format!("buildpacks/{index:02}-{}", pack.name);
            match pack.files {
                PackFiles::Bundled => {
                    let target = find_bundled(&bundled, index, &pack.name)?;
                    let tar = Memory::new()
                        .folder("buildpacks", 0o755)
                        .and_then(|tar| tar.symlink(&folder, &format!("{BUNDLED}/{target}")))
                        .and_then(Memory::into_stream)
                        .map_err(BuildError::io("Could not name a bundled buildpack"))?;
                    self.runtime.upload(builder, "/tmp", tar).await?;
                }
                PackFiles::Tree { input, strip } => {
                    let change = Rewrite {
                        owner: APP_USER,
                        caps: archive::BUILDPACK,
                        rule: strictly_under(PathBuf::from(folder), strip),
                    };
                    let tar = rewrite(input, change);
                    self.upload(builder, "/tmp", tar, limits)
                        .await
                        .map_err(|error| named(index, &pack.name, error))?;
                }
            }
        }
        Ok(())
    }

    /// Folder names of the bundled buildpacks: `30_python`.
    async fn bundled(&self, builder: &ContainerId) -> Result<Vec<String>, BuildError> {
        let archive = self.runtime.download(builder, BUNDLED).await?;
        let found = Arc::new(Mutex::new(BTreeSet::new()));
        let noted = Arc::clone(&found);
        let mut listing = rewrite(
            Input::Stream(archive),
            Rewrite::for_app(Box::new(move |member| {
                if let Some(name) = member.path.components().nth(1) {
                    let name = name.as_os_str().to_string_lossy().into_owned();
                    noted
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(name);
                }
                Ok(Verdict::Skip)
            })),
        );
        while listing.stream.try_next().await?.is_some() {}
        let found = found.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(found.iter().cloned().collect())
    }
}

/// `python` → `30_python`.
fn find_bundled<'a>(
    bundled: &'a [String],
    place: usize,
    name: &str,
) -> Result<&'a str, BuildError> {
    let plain = |folder: &'a str| {
        folder
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .trim_start_matches(['_', '-'])
    };
    let found = bundled.iter().find(|folder| plain(folder) == name);
    found.map(String::as_str).ok_or_else(|| {
        let names: Vec<_> = bundled.iter().map(|folder| plain(folder)).collect();
        BuildError::Buildpack {
            name: name.to_owned(),
            place,
            why: format!(
                "the stack image has none of that name; it has {}",
                names.join(", ")
            ),
        }
    })
}

fn named(place: usize, name: &str, error: BuildError) -> BuildError {
    if let BuildError::Archive(why) | BuildError::Source(why) = error {
        let name = name.to_owned();
        return BuildError::Buildpack { name, place, why };
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_we_bring_are_known_by_name() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/stack/buildpacks");
        let entries = std::fs::read_dir(folder).unwrap();
        let mut folders: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        folders.sort();
        for (place, name) in sarsen_domain::builder::BUNDLED.into_iter().enumerate() {
            assert_eq!(find_bundled(&folders, 0, name).unwrap(), folders[place]);
        }
        assert_eq!(folders.len(), sarsen_domain::builder::BUNDLED.len());
    }

    #[test]
    fn bundled_ones_go_by_their_name() {
        let bundled = ["10_ruby".to_owned(), "20_nodejs".to_owned()];
        assert_eq!(find_bundled(&bundled, 0, "nodejs").unwrap(), "20_nodejs");
        let error = find_bundled(&bundled, 1, "cobol").unwrap_err();
        assert!(matches!(error, BuildError::Buildpack { place: 1, .. }));
        let error = error.to_string();
        assert_eq!(
            error,
            "Buildpack cobol: the stack image has none of that name; it has ruby, nodejs"
        );
    }
}
