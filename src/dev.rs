//! `cairn dev`: one process, all roles, directories as drives; or, with `--processes`, a cluster on this machine.

pub mod directories;
pub mod processes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_core::clock::SystemClock;
use cairn_core::entropy::SystemEntropy;
use cairn_gateway::GatewayConfig;
use cairn_journal::Files;
use cairn_journal::Shell;
use cairn_journal::files::real::RealFiles;
use cairn_repair::RepairConfig;
use cairn_rows::MemoryOverlays;

use crate::alone::{self, Ending, Place};
use crate::assembly::{Assembly, Parts};
use crate::cli::DevArgs;
use crate::credentials::Credentials;
use crate::show;

/// Below this a filesystem is too small to start on: each drive needs room for a segment of its journal, of the log, and
/// for runs.
const SPACE_PER_DRIVE_MIN: u64 = 128 << 20;

/// Below this a warning is due: it will not be long until writes are refused.
const SPACE_PER_DRIVE_SMALL: u64 = 1 << 30;

/// Why a server cannot be started, beside what its parts say.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The directory cannot be asked for its space.
    #[error("{path}: {source}")]
    Directory {
        /// Which directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// There is no room to begin with.
    #[error("{path} has {available} left, and {drives} drives need at least {needed} to start")]
    NoSpace {
        /// Where.
        path: PathBuf,
        /// What there is.
        available: String,
        /// For how many drives.
        drives: u16,
        /// What they need.
        needed: String,
    },
}

/// Runs until it is told to end.
pub async fn run(args: DevArgs) -> anyhow::Result<()> {
    // A directory that was made for several processes goes on as that.
    match args.processes.or_else(|| processes::formed_with(&args.dir)) {
        Some(processes) => processes::run(args, processes).await,
        None => one_process(args).await,
    }
}

async fn one_process(args: DevArgs) -> anyhow::Result<()> {
    let ending = Ending::listen()?;
    let files: Arc<dyn Files> = Arc::new(RealFiles);
    let demanded = Credentials::from_environment()?;
    // Everything that can be refused is refused before anything is made: first the directories, then the address.
    let plan = directories::plan(&*files, &args.dir, args.drives)?;
    let place = Place::take(args.listen, args.metrics, &args.dir).await?;
    place.make_directory()?;
    let warnings = check_space(&*files, &args.dir, plan.of)?;

    let parts = Parts {
        files,
        overlays: Arc::new(MemoryOverlays),
        clock: SystemClock::start(),
        entropy: SystemEntropy::shared(),
        shell: Shell::Thread,
        history: args.history,
    };
    let gateway = GatewayConfig { signature_v2: !args.no_signature_v2, ..GatewayConfig::default() };
    let assembly = Assembly::start(parts, &args.dir, &plan, demanded, repair_config(), gateway).await?;
    let drives = format!("directories below {}", args.dir.display());
    alone::serve(assembly, place, ending, &drives, &warnings).await
}

/// Somebody watches: data that no longer fits the drives is coded anew after seconds, not hours.
fn repair_config() -> RepairConfig {
    let seconds = RepairConfig::for_dev();
    RepairConfig {
        reshape_exposed_after: seconds.reshape_exposed_after,
        reshape_rest_after: seconds.reshape_rest_after,
        ..RepairConfig::default()
    }
}

fn check_space(files: &dyn Files, dir: &Path, drives: u16) -> Result<Vec<String>, DevError> {
    let space = files.space(dir).map_err(|source| DevError::Directory { path: dir.to_owned(), source })?;
    let needed = |each: u64| each * u64::from(drives);
    if space.available_bytes < needed(SPACE_PER_DRIVE_MIN) {
        return Err(DevError::NoSpace {
            path: dir.to_owned(),
            available: show::bytes(space.available_bytes),
            drives,
            needed: show::bytes(needed(SPACE_PER_DRIVE_MIN)),
        });
    }
    if space.available_bytes < needed(SPACE_PER_DRIVE_SMALL) {
        return Ok(vec![format!("only {} left on {}", show::bytes(space.available_bytes), dir.display())]);
    }
    Ok(Vec::new())
}
