//! `cairn server`: one machine, for production. All roles in one process, on the directories that it is given.

pub mod config;
pub mod directories;
pub mod founding;

use std::sync::Arc;

use cairn_core::DriveId;
use cairn_core::clock::SystemClock;
use cairn_core::entropy::SystemEntropy;
use cairn_gateway::GatewayConfig;
use cairn_journal::Shell;
use cairn_journal::files::real::RealFiles;
use cairn_oplog::{OpLogError, Orders, Refusal};
use cairn_repair::RepairConfig;
use cairn_rows::MemoryOverlays;

use crate::alone::{self, Ending, Place};
use crate::assembly::core::Rooms;
use crate::assembly::topology::Absent;
use crate::assembly::{Assembly, Beginning, Parts};
use crate::cli::ServerArgs;
use crate::credentials::Credentials;
use crate::server::config::ServerConfig;
use crate::server::directories::{Found, Without};

/// Runs until it is told to end.
pub async fn run(args: ServerArgs) -> anyhow::Result<()> {
    let ending = Ending::listen()?;
    let config = ServerConfig::settle(&args)?;
    let demanded = Credentials::from_environment()?;
    let files = RealFiles::shared();
    // Everything that can be refused is refused before anything is made: first the directories, then the address.
    let found = directories::look(&*files, &config.drives, args.form)?;
    let place = Place::take(config.listen, config.metrics, &config.state).await?;
    place.make_directory()?;
    let parts = Parts {
        files,
        overlays: Arc::new(MemoryOverlays),
        clock: SystemClock::start(),
        entropy: SystemEntropy::shared(),
        shell: Shell::Thread,
        history: config.history,
    };
    let gateway = GatewayConfig { signature_v2: config.signature_v2, ..GatewayConfig::default() };
    let rooms = Rooms::open_server(&parts, &found)?;
    let given_up = args.without.iter().copied().collect();
    let beginning = Beginning {
        formed: found.formed,
        absent: Absent::GoneWithout,
        orders: Orders { given_up, accept_loss: args.accept_loss, ..Orders::default() },
    };
    let started = Assembly::alone(parts, rooms, beginning, demanded, RepairConfig::default(), gateway).await;
    let assembly = started.map_err(|error| explain(error, &found))?;
    let mut warnings: Vec<String> = found.without.iter().map(in_words).collect();
    if let Some(covered) = assembly.metadata().covered() {
        let names = names(&covered.missing);
        warnings.push(format!(
            "bring the drives back and start again; or, if they never come back, --without {names} goes on, and loses nothing"
        ));
    }
    alone::serve(assembly, place, ending, "directories", &warnings).await
}

fn in_words(without: &Without) -> String {
    format!("{} {}", without.path.display(), without.why)
}

fn names(drives: &[DriveId]) -> String {
    drives.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// What a person can do about a start that too few drives are there for.
fn explain(error: anyhow::Error, found: &Found) -> anyhow::Error {
    let missing = error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(OpLogError::Refused { refusal: Refusal::TooManyMissing { missing, .. }, .. }) => Some(missing),
        _ => None,
    });
    let mut advice: Vec<String> = found.without.iter().map(in_words).collect();
    if let Some(missing) = missing {
        advice.push(format!(
            "bring the drives back; or, if they never come back, --without {} --accept-loss goes on with what the others \
             hold: changes that only those drives hold are lost, and so are objects with too many of their chunks there",
            names(missing)
        ));
    }
    if advice.is_empty() { error } else { anyhow::anyhow!("{error:#}; {}", advice.join("; ")) }
}
