//! What a policy remembers about clients; it outlives a swap of the table.

use super::auth::AuthMemory;
use super::rate::RateBook;

/// One app's memory.
#[derive(Debug, Default)]
pub(crate) struct AppMemory {
    pub(crate) rate: RateBook,
    pub(crate) auth: AuthMemory,
}
