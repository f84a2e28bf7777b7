//! What can be typed behind `cairn bench`.

use std::path::PathBuf;
use std::time::Duration;

use cairn_bench::quantity::{parse_size, parse_time};
use cairn_bench::{Mix, Plan, Workload};
use clap::{Args, ValueEnum};

/// What is asked of the server.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Load {
    /// New objects, each under a name of its own
    Put,
    /// Objects that were put beforehand, at random
    Get,
    /// GET, HEAD, PUT and DELETE beside one another
    Mixed,
    /// HEAD of objects that were put beforehand, at random
    Stat,
    /// Pages of up to 1,000 keys, from the first to the last and again
    List,
    /// Objects that were put beforehand, each once; ends when none is left
    Delete,
    /// Uploads in parts: begun, each part put in turn, completed
    Multipart,
}

impl From<Load> for Workload {
    fn from(load: Load) -> Self {
        match load {
            Load::Put => Self::Put,
            Load::Get => Self::Get,
            Load::Mixed => Self::Mixed,
            Load::Stat => Self::Stat,
            Load::List => Self::List,
            Load::Delete => Self::Delete,
            Load::Multipart => Self::Multipart,
        }
    }
}

/// A load, and the server that bears it.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What is asked of the server.
    #[arg(value_enum)]
    pub load: Load,
    /// The server's address: any that speaks S3 over plain HTTP.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Whose requests these are.
    #[arg(long, value_name = "ID", env = "AWS_ACCESS_KEY_ID", hide_env_values = true)]
    pub access_key: Option<String>,
    /// The secret of that key. Others on this machine can read what is typed here; the variable is for you alone.
    #[arg(long, value_name = "SECRET", env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub secret_key: Option<String>,
    /// The directory of a Cairn server on this machine, instead of endpoint and key. [default: ./cairn-data]
    #[arg(long, value_name = "DIR", conflicts_with = "endpoint")]
    pub dir: Option<PathBuf>,
    /// How large an object is.
    #[arg(long, default_value = "10MiB", value_name = "SIZE", value_parser = parse_size)]
    pub size: u64,
    /// How many requests are under way at once, each on its own connection.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub concurrency: usize,
    /// For how long.
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = parse_time)]
    pub duration: Duration,
    /// How many objects: as many are put beforehand, or, by put and multipart, at most as many in all.
    /// [default: up to 2,500 or 1 GiB beforehand; without a limit for put and multipart]
    #[arg(long, value_name = "N")]
    pub objects: Option<u64>,
    /// multipart: how large a part is. [default: 5MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub part_size: Option<u64>,
    /// mixed: the shares of GET/HEAD/PUT/DELETE. [default: 45/30/15/10]
    #[arg(long, value_name = "SHARES")]
    pub mix: Option<Mix>,
    /// get, mixed: compare every body that is read with what was put.
    #[arg(long)]
    pub verify: bool,
    /// Sign bodies with their SHA-256, as clients over plain HTTP mostly do; the server has to hash them for that.
    #[arg(long)]
    pub sign_body: bool,
    /// The bucket; made if it is not there. Only what the run itself puts is removed from it. [default: a new one]
    #[arg(long, value_name = "NAME")]
    pub bucket: Option<String>,
    /// Leave bucket and objects where they are.
    #[arg(long)]
    pub keep: bool,
    /// After how long an operation counts as failed.
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = parse_time)]
    pub timeout: Duration,
    /// The region that signatures name.
    #[arg(long, default_value = "us-east-1", value_name = "NAME")]
    pub region: String,
    /// How many threads make the load. One is enough for some 60,000 requests a second. [default: a quarter of the cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// Print one JSON object for programs instead of lines for people.
    #[arg(long)]
    pub json: bool,
    /// Say nothing while it runs.
    #[arg(long)]
    pub quiet: bool,
}

impl BenchArgs {
    /// What the flags ask for.
    pub fn plan(&self) -> Plan {
        Plan {
            workload: self.load.into(),
            size: self.size,
            concurrency: self.concurrency,
            duration: self.duration,
            objects: self.objects,
            part_size: self.part_size,
            mix: self.mix,
            verify: self.verify,
            sign_body: self.sign_body,
            bucket: self.bucket.clone(),
            keep: self.keep,
            timeout: self.timeout,
            region: self.region.clone(),
        }
    }
}
