//! The `cairn` command: parses, runs, and turns every failure into one line and an exit code.
//!
//! Exit codes: 0 done, 1 failed (of `bench`, also a load of which a part failed), 2 a command line that makes no sense, 3
//! `status` found less than full redundancy, `audit` something that does not balance, `doctor` something wrong.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use cairn::ask::{self, Target};
use cairn::assembly::newcomers::TakenIn;
use cairn::cli::{
    AdminArgs, BucketCommand, Cli, Command, DriveCommand, LogCommand, NodeArgs, NodeCommand, RaftChangeArgs,
    RaftCommand,
};
use cairn::raft::{self, Change};
use cairn::status::Status;
use cairn::{audit, bench, bucket, dev, doctor, log, node, server, show};
use cairn_core::clock::SystemClock;
use clap::{CommandFactory, Parser};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code of `status` when redundancy is not full, of `audit` when something does not balance, of `doctor` when it found
/// something wrong.
const NOT_AS_IT_SHOULD_BE: u8 = 3;

/// How long the end of a server waits for threads that are at a disk.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    keep_pages_small();
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cairn: {}", one_line(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Has the kernel give this process memory by the page. In pages of 2 MiB, for which the allocator asks, small objects of
/// many threads lie in a page of each: a server that idles took 80 MiB and not 48, and kept 330 MiB after a load and not
/// 230. Kernels that cannot do it leave things as they are.
fn keep_pages_small() {
    rustix::thread::disable_transparent_huge_pages(true).unwrap_or_default();
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Dev(args) => {
            start_tracing();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(dev::run(args))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Server(args) => {
            start_tracing();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let result = runtime.block_on(server::run(args));
            // A disk that hangs may keep a thread for ever; nothing that it does now matters.
            runtime.shutdown_timeout(SHUTDOWN_PATIENCE);
            result.map(|()| ExitCode::SUCCESS)
        }
        Command::Init(args) => {
            print!("{}", server::founding::run(&args)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor(args) => {
            let report = doctor::examine(&status(&args)?);
            print(&args, &report, doctor::show(&report))?;
            Ok(if report.sound { ExitCode::SUCCESS } else { ExitCode::from(NOT_AS_IT_SHOULD_BE) })
        }
        Command::Node(NodeArgs { command: Some(NodeCommand::Ls(args)), .. }) => {
            let nodes = status(&args)?.nodes;
            print(&args, &nodes, show::nodes(&nodes))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Node(args) => {
            start_tracing();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(node::run(args))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Status(args) => {
            let status = status(&args)?;
            print(&args, &status, show::status(&status))?;
            Ok(if status.fully_redundant { ExitCode::SUCCESS } else { ExitCode::from(NOT_AS_IT_SHOULD_BE) })
        }
        Command::Drive(DriveCommand::Ls(args)) => {
            let drives = status(&args)?.drives;
            print(&args, &drives, show::drives_in_detail(&drives))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Bucket(BucketCommand::Ls(args)) => {
            let buckets = asking()?.block_on(bucket::command::list(&args, None))?;
            print(&args, &buckets, bucket::command::show(&buckets))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Bucket(BucketCommand::Usage { bucket, server }) => {
            let found = asking()?.block_on(bucket::command::list(&server, Some(&bucket)))?;
            print(&server, &found[0], bucket::command::show(&found))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Log(LogCommand::Tail(args)) => {
            asking()?.block_on(log::tail::run(&args))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Audit(args) => {
            let report = asking()?.block_on(audit::command::run(&args))?;
            print(&args.server, &report, audit::command::show(&report))?;
            Ok(if report.balanced { ExitCode::SUCCESS } else { ExitCode::from(NOT_AS_IT_SHOULD_BE) })
        }
        Command::Raft(RaftCommand::Status(args)) => {
            let status = asking()?.block_on(raft::command::status(&args))?;
            print(&args, &status, raft::command::show(&status))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Raft(RaftCommand::Add(args)) => raft(&args, Change::Add(args.member)),
        Command::Raft(RaftCommand::Remove(args)) => raft(&args, Change::Remove(args.member)),
        Command::Raft(RaftCommand::Transfer(args)) => raft(&args, Change::Lead(args.member)),
        Command::Raft(RaftCommand::BelieveClock(args)) => raft_change(&args, Change::BelieveClock),
        Command::Drive(DriveCommand::Replace { old, new, server }) => change_drives(&server, Some(&old), &new),
        Command::Drive(DriveCommand::Add { new, server }) => change_drives(&server, None, &new),
        Command::Bench(args) => bench::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "cairn", &mut script);
            std::io::stdout().write_all(&script)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn raft(args: &RaftChangeArgs, change: Change) -> anyhow::Result<ExitCode> {
    raft_change(&args.server, change)
}

fn raft_change(args: &AdminArgs, change: Change) -> anyhow::Result<ExitCode> {
    let status = asking()?.block_on(raft::command::change(args, change))?;
    print(args, &status, raft::command::show(&status))?;
    Ok(ExitCode::SUCCESS)
}

/// For a command that asks a server and waits.
fn asking() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Has a running server take a fresh drive in, in the place of an old one or beside all others.
fn change_drives(args: &AdminArgs, old: Option<&str>, new: &Path) -> anyhow::Result<ExitCode> {
    // The server has a working directory of its own.
    let new = std::path::absolute(new)?;
    let targets = Target::find(args)?;
    let [target] = &targets[..] else { anyhow::bail!("drives are taken in by a machine that is alone") };
    let question = ask::query(&[("new", &new.to_string_lossy()), ("old", old.unwrap_or_default())]);
    let clock = SystemClock::start();
    let question = ask::Question { does: true, path: cairn::admin::DRIVES_PATH, query: &question };
    let taken: TakenIn = serde_json::from_slice(&asking()?.block_on(ask::ask(target, question, &*clock))?)?;
    print(args, &taken, taken.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn status(args: &AdminArgs) -> anyhow::Result<Status> {
    let targets = Target::find(args)?;
    let answer = asking()?.block_on(ask::any(&targets, cairn::admin::STATUS_PATH, &*SystemClock::start()))?;
    Ok(serde_json::from_slice(&answer)?)
}

fn print(args: &AdminArgs, value: &impl serde::Serialize, table: String) -> anyhow::Result<()> {
    if args.json {
        println!("{}", serde_json::to_string_pretty(value)?);
    } else {
        print!("{table}");
    }
    Ok(())
}

/// An error and what caused it, without saying twice what a cause repeats.
fn one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_line = cause.to_string();
        if !line.contains(&cause_line) {
            line.push_str(": ");
            line.push_str(&cause_line);
        }
        source = cause.source();
    }
    line.replace('\n', " ")
}

/// What is logged to standard error: warnings, or what `CAIRN_LOG` asks for. s3s calls every refused request an error of
/// its own; the gateway has its own line for them. openraft warns of each call to a node that is away, several times a
/// second; what matters of it comes as an error of the metadata node.
fn start_tracing() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CAIRN_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,s3s=off,openraft=off"));
    // It would complain to standard error that standard error is gone, and panic.
    let quiet = tracing_subscriber::fmt().log_internal_errors(false);
    quiet.with_env_filter(filter).with_writer(std::io::stderr).init();
}
