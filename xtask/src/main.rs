//! Every script of this repository: `cargo xtask COMMAND`.

mod r#gen;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("gen") => r#gen::run(),
        Some(other) => bail!("unknown command {other}; known: gen"),
        None => bail!("which command? known: gen"),
    }
}
