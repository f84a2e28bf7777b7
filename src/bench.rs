//! `cairn bench`: flags to a plan, a plan to a report.

use std::process::ExitCode;

use cairn_bench::progress::Progress;
use cairn_bench::signature::Key;
use cairn_core::clock::SystemClock;
use cairn_core::entropy::SystemEntropy;
use tokio_util::sync::CancellationToken;

use crate::ask::Target;
use crate::ask::target::TargetError;
use crate::cli::{AdminArgs, BenchArgs};

/// Runs a load and prints what came of it. Fails where a single operation did: figures of errors are no figures.
pub fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let plan = args.plan();
    plan.check()?;
    let (endpoint, key) = target(args)?;
    let progress = if args.quiet { Progress::Silent } else { Progress::Shown };
    let finished = runtime(args)?.block_on(async {
        let stop = CancellationToken::new();
        let interrupted = {
            let stop = stop.clone();
            tokio::spawn(async move {
                if tokio::signal::ctrl_c().await.is_ok() {
                    stop.cancel();
                }
            })
        };
        let clock = SystemClock::start();
        let finished = cairn_bench::run(plan, &endpoint, key, clock, &SystemEntropy, progress, stop).await;
        interrupted.abort();
        finished
    })?;
    let report = &finished.report;
    if args.json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        print!("{}", report.text());
    }
    if let Some((bucket, failure)) = &finished.left {
        eprintln!("cairn: bucket {bucket} could not be cleared: {failure}");
    }
    let sound = report.errors == 0 && finished.left.is_none();
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The server and the key: both by flags or variables, or both as a directory of this machine says.
fn target(args: &BenchArgs) -> anyhow::Result<(String, Key)> {
    let typed = args.access_key.clone().zip(args.secret_key.clone());
    if let (Some(endpoint), Some((access_key, secret_key))) = (&args.endpoint, typed) {
        return Ok((endpoint.clone(), Key { access_key, secret_key }));
    }
    let asked = AdminArgs { dir: args.dir.clone(), endpoint: args.endpoint.clone(), json: false };
    let found = Target::find(&asked).map_err(|error| match error {
        TargetError::NoKey => anyhow::anyhow!("{error}, or give --access-key and --secret-key"),
        other => other.into(),
    })?;
    // Where several processes serve, the first of them bears the load: the others can be named as endpoints.
    let found = found.into_iter().next().ok_or_else(|| anyhow::anyhow!("nobody serves there"))?;
    let (access_key, secret_key) = (found.credentials.access_key, found.credentials.secret_key);
    Ok((found.endpoint, Key { access_key, secret_key }))
}

/// Few threads: the server that is measured often stands on the same machine.
fn runtime(args: &BenchArgs) -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match args.threads.map_or((cores / 4).max(1), usize::from) {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        threads => tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    }
}
