//! Builds anew when a migration is added: `sqlx::migrate!` reads the folder but does not watch it.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
