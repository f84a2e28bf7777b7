//! aws-cli and boto3, in an environment of their own below the target directory: made once, used by every test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where the clients are.
#[derive(Debug, Clone)]
pub struct Clients {
    bin: PathBuf,
}

/// What is installed: the versions are pinned in a file of the project.
const REQUIREMENTS: &str = include_str!("../../s3/requirements.txt");

impl Clients {
    /// The clients, or `None` when the person who runs the tests has no use for them (`CAIRN_NO_CLIENTS=1`), which is
    /// said aloud. Panics with one line when they cannot be installed.
    pub fn get(target: &Path) -> Option<&'static Self> {
        static CLIENTS: OnceLock<Option<Clients>> = OnceLock::new();
        CLIENTS
            .get_or_init(|| {
                if std::env::var_os("CAIRN_NO_CLIENTS").is_some_and(|value| value == "1") {
                    eprintln!("SKIPPED: real clients, because CAIRN_NO_CLIENTS=1");
                    return None;
                }
                Some(Self::install(&target.join("clients")).unwrap_or_else(|what| {
                    panic!("real clients cannot be installed (CAIRN_NO_CLIENTS=1 skips them): {what}")
                }))
            })
            .as_ref()
    }

    fn install(dir: &Path) -> Result<Self, String> {
        let said = |error: std::io::Error| error.to_string();
        fs::create_dir_all(dir).map_err(said)?;
        // Two test programs may come here at once: the second waits until the first is done.
        let lock = fs::File::create(dir.join("lock")).map_err(said)?;
        lock.lock().map_err(said)?;
        let clients = Self { bin: dir.join("venv/bin") };
        let stamp = dir.join("installed.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == REQUIREMENTS) {
            return Ok(clients);
        }
        let wanted = dir.join("requirements.txt");
        fs::write(&wanted, REQUIREMENTS).map_err(said)?;
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(dir.join("venv")))?;
        run(Command::new(clients.bin.join("python")).args(["-m", "pip", "install", "--quiet", "-r"]).arg(&wanted))?;
        fs::write(&stamp, REQUIREMENTS).map_err(said)?;
        Ok(clients)
    }

    /// The Python that has boto3.
    pub fn python(&self) -> Command {
        Command::new(self.bin.join("python"))
    }

    /// aws-cli.
    pub fn aws(&self) -> Command {
        let mut command = self.python();
        command.arg(self.bin.join("aws"));
        command
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    Err(format!("{:?} failed: {last}", command.get_program()))
}
