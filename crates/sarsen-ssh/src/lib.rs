//! The ssh front door: host key, public-key login, one command per channel. It holds no rules about apps.

mod command;
mod handler;
mod host_key;
mod limits;
mod line;
mod logins;
mod server;
mod settings;
mod stdin;
mod stream;
#[cfg(test)]
mod tests;
mod words;

pub use host_key::HostKeyError;
pub use logins::Logins;
pub use server::SshServer;
pub use settings::SshSettings;
pub use words::words_of;
