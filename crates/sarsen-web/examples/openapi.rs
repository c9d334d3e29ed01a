//! Prints the description of the API: `cargo run -p sarsen-web --example openapi > docs/openapi.json`.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(sarsen_web::openapi().as_bytes())
}
