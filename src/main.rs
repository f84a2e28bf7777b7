//! The `cairn` command: parses, runs, and turns every failure into one line and an exit code.
//!
//! Exit codes: 0 done, 1 failed (of `bench`, also a load of which a part failed), 2 a command line that makes no sense, 3
//! `status` found less than full redundancy, or `audit` something that does not balance.

use std::process::ExitCode;

use cairn::ask::{self, Target};
use cairn::cli::{
    AdminArgs, Cli, Command, DriveCommand, LogCommand, NodeArgs, NodeCommand, RaftChangeArgs, RaftCommand,
};
use cairn::raft::{self, Change};
use cairn::status::Status;
use cairn::{audit, bench, dev, log, node, show};
use cairn_core::clock::SystemClock;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code of `status` when redundancy is not full, and of `audit` when something does not balance.
const NOT_AS_IT_SHOULD_BE: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cairn: {}", one_line(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Dev(args) => {
            start_tracing();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(dev::run(args))?;
            Ok(ExitCode::SUCCESS)
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
        Command::Bench(args) => bench::run(&args),
    }
}

fn raft(args: &RaftChangeArgs, change: Change) -> anyhow::Result<ExitCode> {
    let status = asking()?.block_on(raft::command::change(&args.server, change))?;
    print(&args.server, &status, raft::command::show(&status))?;
    Ok(ExitCode::SUCCESS)
}

/// For a command that asks a server and waits.
fn asking() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
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
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
