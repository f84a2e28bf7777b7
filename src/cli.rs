//! What can be typed: commands, flags and their help.

pub mod bench;

use std::net::SocketAddr;
use std::path::PathBuf;

use cairn_core::DriveId;
use clap::{Args, Parser, Subcommand};

use crate::history::History;

pub use bench::BenchArgs;

/// An S3-compatible, erasure-coded object store that one person can run.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything in one process, with directories as drives: for trying it out and for development. With
    /// `--processes`, run a whole cluster of processes instead, one drive each.
    ///
    /// The first start makes the directories, a cluster on them and credentials; later starts find all of it again.
    /// Up to as many drive directories as there are parity chunks may be missing at a start: they are declared lost,
    /// fresh ones take their places and are rebuilt.
    #[command(
        after_help = "Examples:\n  cairn dev\n  cairn dev --dir /srv/cairn --listen 127.0.0.1:9000 --drives 6\n  cairn dev --listen 127.0.0.1:0      # takes a free port and prints it\n  cairn dev --processes 6             # six nodes on ports 9000 to 9005; kill any two"
    )]
    Dev(DevArgs),
    /// Run one machine: all roles in one process, on real drives.
    ///
    /// Drives are known by what is on them, so directories may be named in any order and be mounted anywhere. Up to as many
    /// drives as there are parity chunks may be missing. The first start says --form, once. The root key comes from
    /// CAIRN_ROOT_ACCESS_KEY and CAIRN_ROOT_SECRET_KEY; without them one is drawn on the first start, and written to
    /// credentials.json in the state directory, readable by its owner alone.
    #[command(
        after_help = "Examples:\n  cairn server --form /srv/disk-1 /srv/disk-2 /srv/disk-3 /srv/disk-4 /srv/disk-5 /srv/disk-6\n  cairn server --config /etc/cairn/server.toml\n  cairn drive replace disk-3 /srv/disk-7    # gives the place of a lost drive to a fresh one"
    )]
    Server(ServerArgs),
    /// Make the drives of a machine that ran alone the first node of a cluster, with everything that is on them.
    ///
    /// The machine must not run. Nothing is copied: its log becomes that of the first voter. Writes cluster.json, which every node
    /// needs, and node.toml for this one. From then on the drives are started with `cairn node`.
    #[command(
        after_help = "Example:\n  cairn init --from-server /srv/disk-1 /srv/disk-2 /srv/disk-3 --listen 10.0.0.1:7000 --s3 10.0.0.1:9000 --out /etc/cairn"
    )]
    Init(InitArgs),
    /// Look for what makes the data less safe than it looks: drives that share a device, filesystems that lack something.
    ///
    /// Exit code: 0 when nothing is wrong now (advice is no failure), 3 when something is, 1 when nobody answers.
    Doctor(AdminArgs),
    /// Say whether the data is safe: drives, redundancy, what is being repaired.
    ///
    /// Exit code: 0 when everything is fully redundant, 3 when it is not, 1 when nobody answers.
    #[command(
        after_help = "Examples:\n  cairn status --dir ./cairn-data\n  cairn status --endpoint http://127.0.0.1:9000 --json"
    )]
    Status(AdminArgs),
    /// Look at drives, and replace them.
    #[command(subcommand)]
    Drive(DriveCommand),
    /// Look at buckets: what they hold, by the ledger that every change keeps.
    #[command(subcommand)]
    Bucket(BucketCommand),
    /// Run one member of a cluster, or look at the members.
    ///
    /// Everything about it stands in its file. A node that is new asks any other for its part in the cluster and is sent
    /// what it needs; one that comes back goes on where it was.
    #[command(
        after_help = "Examples:\n  cairn node --config /etc/cairn/node.toml --form    # the first node of a cluster, once\n  cairn node --config /etc/cairn/node.toml\n  cairn node ls --dir ./cairn-data"
    )]
    Node(NodeArgs),
    /// Recompute the ledger from everything there is, and say what does not balance.
    ///
    /// Counts every object, version, chunk and reference at one index of the log, on the server and while it serves, and
    /// compares that with the counts that each operation has kept. With `--physical`, also with what the drives say they hold.
    ///
    /// Exit code: 0 when everything balances, 3 when something does not or could not be compared, 1 when nobody answers.
    #[command(after_help = "Examples:\n  cairn audit\n  cairn audit --physical --json")]
    Audit(AuditArgs),
    /// Look at the members of the log, or hand the lead over.
    #[command(subcommand)]
    Raft(RaftCommand),
    /// Read the log: every change, who asked for it, and what came of it.
    #[command(subcommand)]
    Log(LogCommand),
    /// Put a load on any S3 server and say how fast it is.
    ///
    /// Works in a bucket of its own and removes it in the end. Exit code: 0, or 1 when an operation failed or something was
    /// left behind; the report says which. Bodies are not signed unless asked for, and do not compress.
    #[command(
        after_help = "Examples:\n  cairn bench put                      # the server in ./cairn-data, 10 MiB objects, 20 at once\n  cairn bench put --size 4KiB --concurrency 64 --duration 10s --json\n  cairn bench get --endpoint http://127.0.0.1:9000 --size 16MiB --concurrency 8 --verify\n  cairn bench mixed --mix 45/30/15/10"
    )]
    Bench(BenchArgs),
    /// Print a script that completes commands and flags in a shell.
    #[command(
        after_help = "Examples:\n  source <(cairn completions bash)\n  cairn completions zsh > ~/.zfunc/_cairn\n  cairn completions fish > ~/.config/fish/completions/cairn.fish"
    )]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// One member of a cluster.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct NodeArgs {
    /// What to do instead of running one.
    #[command(subcommand)]
    pub command: Option<NodeCommand>,
    /// The node's file.
    #[arg(long, value_name = "FILE", required = true)]
    pub config: Option<PathBuf>,
    /// Form the cluster, if this node has no part in it yet and nobody who can be asked has one.
    #[arg(long)]
    pub form: bool,
    /// End when standard input does: for whoever starts a node and may die without a word.
    #[arg(long, hide = true)]
    pub until_input_ends: bool,
}

/// What can be asked of nodes.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List the nodes: who is alive, who votes, who leads.
    Ls(AdminArgs),
}

/// What can be asked of buckets.
#[derive(Debug, Subcommand)]
pub enum BucketCommand {
    /// List the buckets: objects, versions, sizes, whether versions are kept. Counted, not estimated, and as of now.
    #[command(after_help = "Examples:\n  cairn bucket ls\n  cairn bucket ls --endpoint http://127.0.0.1:9000 --json")]
    Ls(AdminArgs),
    /// Say what one bucket holds.
    #[command(after_help = "Example:\n  cairn bucket usage photos --json")]
    Usage {
        /// Its name.
        bucket: String,
        /// Which server is asked.
        #[command(flatten)]
        server: AdminArgs,
    },
}

/// What can be asked of drives.
#[derive(Debug, Subcommand)]
pub enum DriveCommand {
    /// List the drives: state, what they hold, what is free, how fast they answer, how far the scrub is.
    Ls(AdminArgs),
    /// Give the place of a lost drive to a fresh one: the old one is declared lost, and what it held is rebuilt.
    ///
    /// The server must run on this machine, alone. The old drive may not come back afterwards.
    #[command(after_help = "Example:\n  cairn drive replace disk-3 /srv/disk-7 --dir /var/lib/cairn")]
    Replace {
        /// The old drive: its id, or what it is called in `cairn drive ls`.
        old: String,
        /// The directory of the fresh disk: there, and empty.
        new: PathBuf,
        /// Which server.
        #[command(flatten)]
        server: AdminArgs,
    },
    /// Give the machine one drive more.
    Add {
        /// The directory of the fresh disk: there, and empty.
        new: PathBuf,
        /// Which server.
        #[command(flatten)]
        server: AdminArgs,
    },
}

/// How one machine is run.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// A directory on each disk, in any order. In the environment, and in one word, they are separated by colons.
    #[arg(value_name = "DIR", env = "CAIRN_DRIVES", value_delimiter = ':')]
    pub drives: Vec<PathBuf>,
    /// A file with what is not said here.
    #[arg(long, value_name = "FILE", env = "CAIRN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where S3 is served [default: 127.0.0.1:9000].
    #[arg(long, value_name = "HOST:PORT", env = "CAIRN_LISTEN", value_parser = parse_listen)]
    pub listen: Option<SocketAddr>,
    /// Where metrics are told to Prometheus, without a signature: /metrics, /health/live, /health/ready. Nowhere unless said.
    #[arg(long, value_name = "HOST:PORT", env = "CAIRN_METRICS", value_parser = parse_listen)]
    pub metrics: Option<SocketAddr>,
    /// Where the root key and the address are told to commands on this machine [default: /var/lib/cairn]. Nothing in it is
    /// precious: all of it can be made again from the drives.
    #[arg(long, value_name = "DIR", env = "CAIRN_STATE")]
    pub state: Option<PathBuf>,
    /// Begin a new cluster on these directories, which hold none. To be said once, and never in a unit file.
    #[arg(long)]
    pub form: bool,
    /// These drives never come back: go on without them. Needed where fewer are left than each part of the log must lie on.
    /// A drive that is named here can never join again.
    #[arg(long, value_name = "ID,...", value_delimiter = ',')]
    pub without: Vec<DriveId>,
    /// With --without, where more drives are gone than the log survives: give up what only they held.
    #[arg(long, requires = "without")]
    pub accept_loss: bool,
    /// Refuse signatures of version 2, with which older clients sign addresses. They do not cover all of a request.
    #[arg(long)]
    pub no_signature_v2: bool,
    /// How much of the log is kept.
    #[command(flatten)]
    pub history: History,
}

/// What becomes of a machine's drives.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The directories of the machine's drives, all of them.
    #[arg(long, value_name = "DIR", required = true, num_args = 1..)]
    pub from_server: Vec<PathBuf>,
    /// Where other nodes reach this one.
    #[arg(long, value_name = "IP:PORT")]
    pub listen: SocketAddr,
    /// Where it serves S3.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9000")]
    pub s3: SocketAddr,
    /// Where the two files are written.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// What is audited.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Which server is asked.
    #[command(flatten)]
    pub server: AdminArgs,
    /// Compare with what the drives hold, too.
    #[arg(long)]
    pub physical: bool,
}

/// What can be asked of the members of the log.
///
/// The leader sees to it by itself that as many nodes vote as the data needs, and replaces those that are gone. Which nodes may
/// vote stands in their files: one without the role `metadata` never does.
#[derive(Debug, Subcommand)]
pub enum RaftCommand {
    /// List the members: who leads, who votes, how far each is.
    Status(AdminArgs),
    /// Give a member a vote, once it has caught up.
    Add(RaftChangeArgs),
    /// Take a member out of the log for good. Its id is never given again; its node, should it come back, gets another one.
    ///
    /// Refused while its node is alive and may vote: it would be given a vote again.
    Remove(RaftChangeArgs),
    /// Have the leader hand the lead to another voter, and wait until it has.
    Transfer(RaftChangeArgs),
    /// Say that the clock of a machine that votes alone is right.
    ///
    /// Locks end by a time that no clock set ahead moves. One machine cannot tell such a clock from having been off or asleep, and
    /// lets locks end later by as long. Several voters go by what a majority's clocks say, and need nobody's word.
    BelieveClock(AdminArgs),
}

/// Which member is meant.
#[derive(Debug, Args)]
pub struct RaftChangeArgs {
    /// The member's id, as `cairn raft status` shows it.
    #[arg(value_name = "MEMBER")]
    pub member: u64,
    /// Which server is asked.
    #[command(flatten)]
    pub server: AdminArgs,
}

/// What can be asked of the log.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print changes, oldest first: index, time, who asked, what, and whether it was refused.
    ///
    /// The log goes back seven days, or a GiB, or a twentieth of a drive, whichever is less; --history-days and --history-mib of the
    /// server say otherwise. What is about one bucket is
    /// found by its name or its id; buckets that had the same name one after the other are all meant.
    #[command(
        after_help = "Examples:\n  cairn log tail                               # the last hundred entries\n  cairn log tail --from 0 --json               # all that is kept, a JSON document a line\n  cairn log tail --follow --bucket photos"
    )]
    Tail(LogTailArgs),
}

/// Which changes are printed.
#[derive(Debug, Args)]
pub struct LogTailArgs {
    /// Which server is asked.
    #[command(flatten)]
    pub server: AdminArgs,
    /// Begin with this entry [default: the last hundred].
    #[arg(long, value_name = "INDEX")]
    pub from: Option<u64>,
    /// Go on with what comes, until interrupted.
    #[arg(long)]
    pub follow: bool,
    /// Only what is about one bucket.
    #[arg(long, value_name = "NAME|ID")]
    pub bucket: Option<String>,
}

/// How a development server is run.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Where everything is kept; made when it is not there.
    #[arg(long, default_value = "./cairn-data", value_name = "DIR")]
    pub dir: PathBuf,
    /// Where S3 is served. Port 0 takes a free one and prints it.
    #[arg(long, default_value = "127.0.0.1:9000", value_name = "HOST:PORT", value_parser = parse_listen)]
    pub listen: SocketAddr,
    /// Where metrics are told to Prometheus, without a signature: /metrics, /health/live, /health/ready. Nowhere unless said.
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_listen, conflicts_with = "processes")]
    pub metrics: Option<SocketAddr>,
    /// How many directories serve as drives [default: 6, or what DIR was formed with].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub drives: Option<u16>,
    /// Run so many node processes with one drive each; each serves S3, on consecutive ports from --listen
    /// [default: one process for all, or what DIR was formed with].
    #[arg(long, value_name = "N", conflicts_with = "drives", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub processes: Option<u16>,
    /// Refuse signatures of version 2, with which older clients sign addresses. They do not cover all of a request.
    #[arg(long)]
    pub no_signature_v2: bool,
    /// How much of the log is kept.
    #[command(flatten)]
    pub history: History,
}

/// Which server is asked, and how it answers.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// The directory of a server on this machine: endpoint and credentials are found there.
    /// [default: ./cairn-data]
    #[arg(long, value_name = "DIR", conflicts_with = "endpoint")]
    pub dir: Option<PathBuf>,
    /// A server's address; credentials come from CAIRN_ROOT_ACCESS_KEY and CAIRN_ROOT_SECRET_KEY, or AWS_ACCESS_KEY_ID
    /// and AWS_SECRET_ACCESS_KEY.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Print JSON for programs instead of a table for people.
    #[arg(long)]
    pub json: bool,
}

/// `HOST:PORT`, where HOST may be `localhost`.
fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let text = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    text.parse().map_err(|_| "not an address such as 127.0.0.1:9000 or [::1]:9000".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, ValueEnum};

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_endpoint_replaces_the_directory() {
        let asked = |line: &str| match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Status(args) => args,
            other => panic!("{other:?}"),
        };
        assert_eq!(asked("cairn status --dir x").dir, Some(PathBuf::from("x")));
        assert_eq!(asked("cairn status --endpoint http://127.0.0.1:1").dir, None);
        assert!(Cli::try_parse_from("cairn status --endpoint http://x --dir y".split(' ')).is_err());
        assert!(Cli::try_parse_from("cairn dev --listen nowhere".split(' ')).is_err());
        assert!(Cli::try_parse_from("cairn dev --listen localhost:9000".split(' ')).is_ok());
        assert!(Cli::try_parse_from("cairn dev --processes 6 --drives 6".split(' ')).is_err());
    }

    #[test]
    fn every_shell_can_complete_every_command() {
        for shell in clap_complete::Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "cairn", &mut script);
            let script = String::from_utf8(script).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{} for {shell}", command.get_name());
            }
        }
    }

    #[test]
    fn a_loss_is_accepted_for_drives_that_are_named() {
        let parsed = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parsed("cairn server a b c --form").is_ok());
        assert!(parsed("cairn server a --accept-loss").is_err());
        let Ok(Cli { command: Command::Server(args) }) =
            parsed("cairn server a:b --without 00000000000000ab,00000000000000cd --accept-loss")
        else {
            panic!("refused")
        };
        assert_eq!((args.drives.len(), args.without), (2, vec![DriveId(0xab), DriveId(0xcd)]));
        assert!(parsed("cairn server a --without x").is_err());
        assert!(parsed("cairn drive replace disk-3 /srv/disk-7 --dir x").is_ok());
    }

    #[test]
    fn a_node_is_run_by_its_file_or_looked_at() {
        let parsed = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parsed("cairn node").is_err());
        assert!(parsed("cairn node --config x --form").is_ok());
        assert!(parsed("cairn node ls --dir x").is_ok());
        assert!(parsed("cairn node --config x ls").is_err());
    }

    #[test]
    fn a_load_without_flags_is_what_others_measure_by() {
        let asked = |line: &str| match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Bench(args) => args.plan(),
            other => panic!("{other:?}"),
        };
        let plan = asked("cairn bench mixed");
        assert_eq!((plan.size, plan.concurrency, plan.mix().get), (10 << 20, 20, 45));
        assert_eq!(plan.check(), Ok(()));
        assert_eq!(asked("cairn bench get --size 4KiB").size, 4096);
        for silly in ["--size x", "--duration soon", "--mix 1/2", "--threads 0", "--size 1 --dir x --endpoint http://y"]
        {
            assert!(Cli::try_parse_from(format!("cairn bench put {silly}").split(' ')).is_err(), "{silly}");
        }
    }
}
