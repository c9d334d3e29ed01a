//! Files of backups: gzip inside, age outside, both where they are wanted. Whoever has the key reads them with the `age`
//! and `gzip` of any machine.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::iter;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use age::{Decryptor, Encryptor, scrypt, x25519};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use sarsen_domain::Secret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

const PIPE: usize = 256 * 1024;
const CHUNK: usize = 64 * 1024;

/// What a file is encrypted with.
#[derive(Debug, Clone)]
pub enum Key {
    /// Opens it, too.
    Passphrase(Secret<String>),
    /// A public key, `age1…`: whoever has the private one opens it.
    Recipient(String),
}

/// How a file is made.
#[derive(Debug, Clone, Default)]
pub struct Packing {
    pub compress: bool,
    pub key: Option<Key>,
}

/// Writes what `plain` gives to a new file; gives its size.
pub async fn pack<R>(plain: R, path: &Path, packing: Packing) -> io::Result<u64>
where
    R: AsyncRead + Send + Unpin + 'static,
{
    let (path, plain) = (path.to_owned(), Waiting::new(plain));
    blocking(move || pack_now(plain, &path, &packing)).await
}

/// Reads a whole file without doing anything with it: a wrong key or a damaged file shows.
pub async fn test(path: &Path, packing: Packing) -> io::Result<()> {
    let path = path.to_owned();
    blocking(move || unpack_now(&path, &packing, io::sink())).await
}

/// What a file holds. The handle tells whether it was all there.
pub fn unpack(path: &Path, packing: Packing) -> (DuplexStream, JoinHandle<io::Result<()>>) {
    let (reader, writer) = tokio::io::duplex(PIPE);
    let (path, sink) = (path.to_owned(), Waiting::new(writer));
    let reading = tokio::task::spawn_blocking(move || unpack_now(&path, &packing, sink));
    (reader, reading)
}

/// A public key, or why it is none.
pub(super) fn recipient(text: &str) -> Result<x25519::Recipient, String> {
    let text = text.trim();
    text.parse().map_err(|_| {
        let text = text.escape_debug();
        format!("'{text}' is no public key of age: it begins with 'age1' ('age-keygen' makes one)")
    })
}

/// An asynchronous reader or writer, for threads that may wait.
struct Waiting<T> {
    inner: T,
    runtime: Handle,
}

impl<T> Waiting<T> {
    fn new(inner: T) -> Self {
        Self {
            inner,
            runtime: Handle::current(),
        }
    }
}

impl<T: AsyncRead + Unpin> Read for Waiting<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.runtime.block_on(self.inner.read(buffer))
    }
}

impl<T: AsyncWrite + Unpin> Write for Waiting<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.runtime.block_on(self.inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.runtime.block_on(self.inner.flush())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

fn pack_now(plain: impl Read, path: &PathBuf, packing: &Packing) -> io::Result<u64> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let mut writer = BufWriter::new(file);
    match &packing.key {
        None => fill(plain, &mut writer, packing)?,
        Some(key) => {
            let mut sealed = encryptor(key)?.wrap_output(&mut writer)?;
            fill(plain, &mut sealed, packing)?;
            sealed.finish()?;
        }
    }
    let file = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

fn fill(mut plain: impl Read, mut sink: impl Write, packing: &Packing) -> io::Result<()> {
    if !packing.compress {
        return copy(&mut plain, &mut sink);
    }
    let mut gzip = GzEncoder::new(sink, Compression::default());
    copy(&mut plain, &mut gzip)?;
    gzip.finish()?.flush()
}

fn unpack_now(path: &PathBuf, packing: &Packing, mut sink: impl Write) -> io::Result<()> {
    let file = BufReader::new(File::open(path)?);
    match &packing.key {
        None => empty(file, &mut sink, packing)?,
        Some(key) => empty(opened(file, key)?, &mut sink, packing)?,
    }
    sink.flush()
}

fn empty(mut source: impl Read, sink: &mut impl Write, packing: &Packing) -> io::Result<()> {
    if packing.compress {
        return copy(&mut MultiGzDecoder::new(source), sink);
    }
    copy(&mut source, sink)
}

fn copy(source: &mut impl Read, sink: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = source.read(&mut buffer)?;
        if length == 0 {
            return sink.flush();
        }
        sink.write_all(buffer.get(..length).unwrap_or_default())?;
    }
}

fn encryptor(key: &Key) -> io::Result<Encryptor> {
    match key {
        Key::Passphrase(passphrase) => Ok(Encryptor::with_user_passphrase(secret(passphrase))),
        Key::Recipient(text) => {
            let recipient = recipient(text).map_err(io::Error::other)?;
            let recipient: &dyn age::Recipient = &recipient;
            Encryptor::with_recipients(iter::once(recipient)).map_err(io::Error::other)
        }
    }
}

fn opened(file: impl Read, key: &Key) -> io::Result<impl Read> {
    let Key::Passphrase(passphrase) = key else {
        return Err(io::Error::other(
            "it was encrypted for somebody's private key, which is not here",
        ));
    };
    let identity = scrypt::Identity::new(secret(passphrase));
    let decryptor = Decryptor::new(file).map_err(io::Error::other)?;
    decryptor
        .decrypt(iter::once(&identity as &dyn age::Identity))
        .map_err(|_| io::Error::other("the passphrase does not open it"))
}

fn secret(text: &Secret<String>) -> SecretString {
    SecretString::from(text.expose().clone())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn back(path: &Path, packing: Packing) -> io::Result<Vec<u8>> {
        let (mut reader, reading) = unpack(path, packing);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).await?;
        reading.await.unwrap()?;
        Ok(bytes)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_goes_in_comes_out() {
        let folder = tempfile::tempdir().unwrap();
        let text = "a line of data\n".repeat(100_000);
        let key = |text: &str| Some(Key::Passphrase(text.to_owned().into()));
        for (name, compress, key) in [
            ("plain", false, None),
            ("gz", true, None),
            ("age", false, key("tr0ub4dor")),
            ("both", true, key("tr0ub4dor")),
        ] {
            let path = folder.path().join(name);
            let packing = Packing { compress, key };
            let source = io::Cursor::new(text.clone().into_bytes());
            let size = pack(source, &path, packing.clone()).await.unwrap();
            let raw = std::fs::read(&path).unwrap();
            assert_eq!(raw.len() as u64, size);
            assert_eq!(
                (size as usize) < text.len() / 10,
                compress,
                "{name}: {size}"
            );
            let readable = raw.windows(14).any(|window| window == b"a line of data");
            assert_eq!(readable, name == "plain");
            test(&path, packing.clone()).await.unwrap();
            assert_eq!(back(&path, packing).await.unwrap(), text.as_bytes());
        }
        let other = Packing {
            compress: true,
            key: key("wrong"),
        };
        let error = test(&folder.path().join("both"), other).await.unwrap_err();
        assert_eq!(error.to_string(), "the passphrase does not open it");
        let taken = pack(&b""[..], &folder.path().join("gz"), Packing::default()).await;
        assert!(taken.is_err(), "nothing is overwritten");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn damage_shows_before_anything_is_done_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let packing = Packing {
            compress: true,
            key: None,
        };
        let source = io::Cursor::new(vec![7_u8; 300_000]);
        pack(source, &path, packing.clone()).await.unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        assert!(test(&path, packing).await.is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_public_key_closes_and_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let identity = x25519::Identity::generate();
        let packing = Packing {
            compress: false,
            key: Some(Key::Recipient(identity.to_public().to_string())),
        };
        let path = folder.path().join("x");
        pack(&b"data"[..], &path, packing.clone()).await.unwrap();
        let error = test(&path, packing).await.unwrap_err();
        assert!(error.to_string().contains("private key"), "{error}");
        let opened = age::decrypt(&identity, &std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(opened, b"data");
        assert!(recipient("age1nonsense").is_err() && recipient("ssh-ed25519 AAA").is_err());
    }
}
