//! `tollgate schema`: JSON Schemas for editors.

use clap::Args;

use super::{Failure, print};
use crate::schema::{Kind, text};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Of which files.
    #[arg(value_enum)]
    kind: Kind,
}

/// In both formats the same: a schema is JSON.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    print(text(options.kind).trim_end())?;
    Ok(())
}
