//! `--volume`, `--mount` and `--tmpfs`.

use super::values::size;

/// A folder of a container that is not the image's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it comes from.
    pub source: MountSource,
    /// Where it is inside: an absolute path.
    pub target: String,
    /// Whether it can only be read.
    pub read_only: bool,
    /// How the host's mounts below it show inside, such as `rslave`.
    pub propagation: Option<String>,
    /// `z` or `Z`: relabelled for SELinux.
    pub relabel: Option<char>,
    /// A new volume is not filled with what the image has there.
    pub no_copy: bool,
    /// The folder of a volume that is mounted instead of the whole.
    pub subpath: Option<String>,
}

/// Where a mount comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// An absolute path of the host.
    Host(String),
    /// A named volume.
    Volume(String),
    /// A volume that goes with the container.
    Anonymous,
    /// Memory.
    Tmpfs {
        /// Bytes.
        size: Option<i64>,
        /// The folder's mode bits.
        mode: Option<u32>,
        /// Options in Docker's words, of `--tmpfs`.
        options: Option<String>,
    },
}

impl Mount {
    /// A mount with nothing special about it.
    pub fn new(source: MountSource, target: &str) -> Result<Self, String> {
        Ok(Self {
            source,
            target: absolute_path(target)?,
            read_only: false,
            propagation: None,
            relabel: None,
            no_copy: false,
            subpath: None,
        })
    }
}

/// `path-or-volume:target[:options]`, or a target alone.
pub fn parse_volume(text: &str) -> Result<Mount, String> {
    let parts: Vec<_> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => return Mount::new(MountSource::Anonymous, target),
        [source, target] => (*source, *target, ""),
        [source, target, options] => (*source, *target, *options),
        _ => return Err("write it as path-or-volume:path-inside[:options]".to_owned()),
    };
    let source = if source.starts_with('/') {
        MountSource::Host(absolute_path(source)?)
    } else {
        MountSource::Volume(volume_name(source)?)
    };
    let mut mount = Mount::new(source, target)?;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" | "readonly" => mount.read_only = true,
            "rw" => mount.read_only = false,
            "z" => mount.relabel = Some('z'),
            "Z" => mount.relabel = Some('Z'),
            "nocopy" if matches!(mount.source, MountSource::Volume(_)) => mount.no_copy = true,
            "copy" if matches!(mount.source, MountSource::Volume(_)) => mount.no_copy = false,
            other => mount.propagation = Some(propagation(other)?),
        }
    }
    host_only(&mount)?;
    Ok(mount)
}

/// `type=bind,source=/a,target=/b,readonly`
pub(super) fn parse_mount(text: &str) -> Result<Mount, String> {
    let mut fields = Fields::default();
    for field in text.split(',') {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field, None),
        };
        fields.take(key, value)?;
    }
    fields.finish()
}

/// `path[:options]`
pub(super) fn parse_tmpfs(text: &str) -> Result<Mount, String> {
    let (target, options) = match text.split_once(':') {
        Some((target, options)) => (target, Some(options.to_owned())),
        None => (text, None),
    };
    let source = MountSource::Tmpfs {
        size: None,
        mode: None,
        options,
    };
    Mount::new(source, target)
}

#[derive(Default)]
struct Fields {
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: bool,
    propagation: Option<String>,
    no_copy: bool,
    subpath: Option<String>,
    size: Option<i64>,
    mode: Option<u32>,
}

impl Fields {
    fn take(&mut self, key: &str, value: Option<&str>) -> Result<(), String> {
        let switch = || match value {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(format!("{key} is true or false, not '{other}'")),
        };
        let needed = || {
            value
                .map(str::to_owned)
                .ok_or_else(|| format!("{key} needs a value"))
        };
        match key {
            "type" => self.kind = Some(needed()?),
            "source" | "src" => self.source = Some(needed()?),
            "target" | "destination" | "dst" => self.target = Some(needed()?),
            "readonly" | "ro" => self.read_only = switch()?,
            "bind-propagation" => self.propagation = Some(propagation(&needed()?)?),
            "volume-nocopy" => self.no_copy = switch()?,
            "volume-subpath" => self.subpath = Some(subpath(&needed()?)?),
            "tmpfs-size" => self.size = Some(size(&needed()?)?),
            "tmpfs-mode" => {
                let mode = u32::from_str_radix(&needed()?, 8)
                    .ok()
                    .filter(|mode| *mode <= 0o7777);
                self.mode = Some(mode.ok_or("tmpfs-mode is octal, such as 1777")?);
            }
            other => return Err(format!("'{other}' cannot be honoured in a mount")),
        }
        Ok(())
    }

    fn finish(self) -> Result<Mount, String> {
        let target = self.target.ok_or("it has no target")?;
        let is_tmpfs = self.kind.as_deref() == Some("tmpfs");
        if !is_tmpfs && (self.size.is_some() || self.mode.is_some()) {
            return Err("tmpfs-size and tmpfs-mode belong to type=tmpfs".to_owned());
        }
        let source = match (self.kind.as_deref().unwrap_or("volume"), self.source) {
            ("bind", Some(path)) => MountSource::Host(absolute_path(&path)?),
            ("bind", None) => return Err("type=bind needs a source".to_owned()),
            ("volume", Some(name)) => MountSource::Volume(volume_name(&name)?),
            ("volume", None) => MountSource::Anonymous,
            ("tmpfs", None) => MountSource::Tmpfs {
                size: self.size,
                mode: self.mode,
                options: None,
            },
            ("tmpfs", Some(_)) => return Err("type=tmpfs has no source".to_owned()),
            (other, _) => return Err(format!("type={other} cannot be honoured")),
        };
        let named = matches!(source, MountSource::Volume(_));
        if !named && (self.no_copy || self.subpath.is_some()) {
            return Err("volume options need a named volume".to_owned());
        }
        let mount = Mount {
            read_only: self.read_only,
            propagation: self.propagation,
            no_copy: self.no_copy,
            subpath: self.subpath,
            ..Mount::new(source, &target)?
        };
        host_only(&mount)?;
        Ok(mount)
    }
}

fn host_only(mount: &Mount) -> Result<(), String> {
    let is_host = matches!(mount.source, MountSource::Host(_));
    if !is_host && mount.propagation.is_some() {
        return Err("propagation is for paths of the host".to_owned());
    }
    Ok(())
}

/// A path that begins with a slash, climbs nowhere, and can stand between colons and commas.
pub fn absolute_path(path: &str) -> Result<String, String> {
    let climbs = path.split('/').any(|part| part == "..");
    let odd = path.chars().any(|c| c.is_control() || c == ':' || c == ',');
    if !path.starts_with('/') || climbs || odd {
        return Err(format!(
            "'{path}' must be an absolute path without '..', ':' and ','"
        ));
    }
    let parts = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    Ok(parts.fold(String::new(), |whole, part| whole + "/" + part)).map(|path| {
        if path.is_empty() {
            "/".to_owned()
        } else {
            path
        }
    })
}

/// A path inside a volume.
fn subpath(path: &str) -> Result<String, String> {
    let climbs = path.split('/').any(|part| part == ".." || part.is_empty());
    if climbs || path.chars().any(char::is_control) {
        return Err(format!("'{path}' must be a path inside the volume"));
    }
    Ok(path.to_owned())
}

/// Docker's rule: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
fn volume_name(name: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if name.len() < 2 || name.len() > 255 || !starts_well || !name.chars().all(legal) {
        return Err(format!(
            "'{name}' is neither an absolute path nor a volume's name"
        ));
    }
    Ok(name.to_owned())
}

fn propagation(word: &str) -> Result<String, String> {
    match word {
        "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => Ok(word.to_owned()),
        other => Err(format!("'{other}' cannot be honoured as a mount option")),
    }
}
