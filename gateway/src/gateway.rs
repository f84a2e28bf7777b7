//! The gateway as a whole: its parts put together, and served.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::units::{EXTENT_BYTES_MAX, MIB, PUT_BYTES_MAX};
use cairn_core::{Clock, ClusterId, Drives, Entropy, NodeId};
use cairn_erasure::{CodingPool, Faults, StripeReader};
use cairn_metadata::Client;
use futures::future::BoxFuture;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::region::Region;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;

use crate::access::Access;
use crate::admin::{AdminApi, AdminRoute, Users};
use crate::auth::{AccessKeys, Authenticator};
use crate::authority;
use crate::budget::MemoryBudget;
use crate::digest::md5::together::Together;
use crate::front::{Core, Front};
use crate::host::Hosts;
use crate::mended::Routes;
use crate::object::large::EXTENT_BYTES_MIN;
use crate::object::packer::Packer;
use crate::object::read::ObjectReader;
use crate::request_id::RequestIds;
use crate::seal::SecretSealer;
use crate::server;
use crate::service::{RequestBody, Service};
use crate::traffic::Traffic;
use cairn_placement::Stripes;

/// The longest XML body that s3s keeps. The guards' bounds are tighter; this is the last line.
const XML_BYTES_MAX: usize = 8 * MIB as usize;

/// The longest signed chunk of an `aws-chunked` body: s3s keeps it whole until its signature is verified, before any memory
/// is reserved for it. Clients send 64 KiB to a MiB.
const SIGNED_CHUNK_BYTES_MAX: usize = MIB as usize;

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// The region that signatures must name and buckets must ask for; none accepts any.
    pub region: Option<String>,
    /// Domains below which the first label is a bucket, besides `localhost`.
    pub domains: Vec<String>,
    /// Whether signatures of version 2 are accepted, with which older clients sign addresses.
    pub signature_v2: bool,
    /// The memory that writes may hold, and the memory that reads may hold.
    pub memory_bytes_max: u64,
    /// The longest extent that an object is cut into, at most [`EXTENT_BYTES_MAX`].
    pub extent_bytes_max: u64,
    /// How long a request waits for memory before it is told to come back later.
    pub memory_patience: Duration,
    /// How long running requests may take to finish when the server is told to stop.
    pub shutdown_grace: Duration,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            region: None,
            domains: Vec::new(),
            signature_v2: true,
            memory_bytes_max: 256 * MIB,
            extent_bytes_max: EXTENT_BYTES_MAX,
            memory_patience: Duration::from_secs(20),
            shutdown_grace: Duration::from_secs(20),
        }
    }
}

/// What a gateway needs of its surroundings.
#[derive(Clone)]
pub struct Surroundings {
    /// Which cluster it serves.
    pub cluster: ClusterId,
    /// Where it runs.
    pub node: NodeId,
    /// The cluster's secret, with which access keys are sealed.
    pub secret: [u8; 32],
    /// The metadata.
    pub client: Client,
    /// The drives.
    pub drives: Arc<Drives>,
    /// Where coding runs.
    pub pool: CodingPool,
    /// Who wants to know of chunks that reads had to do without.
    pub faults: Arc<dyn Faults>,
    /// What answers the administration's requests.
    pub admin: Arc<dyn AdminApi>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl core::fmt::Debug for Surroundings {
    /// Without the secret.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { cluster, node, .. } = self;
        f.debug_struct("Surroundings").field("cluster", cluster).field("node", node).finish_non_exhaustive()
    }
}

/// A gateway cannot be made this way: mend the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not a region's name.
    #[error("{0:?} is not a region: lower-case letters, digits and hyphens")]
    Region(String),
}

/// A gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gateway {
    service: Arc<Service>,
    shutdown_grace: Duration,
}

impl Gateway {
    /// Puts a gateway together. Must be called on a runtime: the packer starts here.
    pub fn new(config: GatewayConfig, surroundings: Surroundings) -> Result<Self, ConfigError> {
        let Surroundings { cluster, node, secret, client, drives, pool, faults, admin, clock, entropy } = surroundings;
        let s3_config = s3_config(config.region.as_deref())?;
        let reader = StripeReader::new(Arc::clone(&drives), pool.clone(), faults);
        let hashing = Together::new(pool.clone());
        let stripes = Arc::new(Stripes::new(client.clone(), drives, pool, reader.clone(), Arc::clone(&clock)));
        let budget = || MemoryBudget::new(config.memory_bytes_max, config.memory_patience);
        let owner = authority::cluster_owner(cluster);
        let write_budget = budget();
        let hosts = Hosts::new(&config.domains);
        let core = Core {
            packer: Packer::start(Arc::clone(&stripes)),
            reader: ObjectReader { client: client.clone(), stripes: reader, budget: budget() },
            stripes,
            write_budget: write_budget.clone(),
            hashing,
            extent_bytes_max: config.extent_bytes_max.clamp(EXTENT_BYTES_MIN, EXTENT_BYTES_MAX),
            clock: Arc::clone(&clock),
            cluster,
            owner: owner.clone(),
            region: config.region.clone(),
        };
        let keys = Arc::new(AccessKeys::new(client.clone(), SecretSealer::new(&secret)));
        let (front, s3_config) = (Front(Arc::new(core)), Arc::new(s3_config));
        let builder = || {
            let mut builder = S3ServiceBuilder::new(front.clone());
            builder.set_config(Arc::new(StaticConfigProvider::new(Arc::clone(&s3_config))));
            builder.set_host(hosts.clone());
            builder.set_auth(Authenticator(Arc::clone(&keys)));
            builder.set_access(Access {
                cluster,
                owner: owner.clone(),
                keys: Arc::clone(&keys),
                client: client.clone(),
                clock: Arc::clone(&clock),
                memory: write_budget.clone(),
            });
            builder
        };
        let verified = builder().build();
        let mut signed = builder();
        let users = Users {
            cluster,
            client: client.clone(),
            sealer: SecretSealer::new(&secret),
            entropy: Arc::clone(&entropy),
        };
        let admin = AdminRoute::new(admin, users, Arc::clone(&keys), hosts.clone());
        signed.set_route(Routes { admin, verified: verified.clone() });
        let service = Service {
            s3: signed.build(),
            verified,
            keys,
            version_2: config.signature_v2,
            region: config.region,
            ids: RequestIds::new(node, &*entropy),
            client,
            clock,
            hosts,
            traffic: Traffic::default(),
        };
        let service = Arc::new(service);
        Ok(Self { service, shutdown_grace: config.shutdown_grace })
    }

    /// Answers one request without a connection: for simulations.
    pub async fn answer<B: RequestBody>(&self, request: http::Request<B>) -> s3s::HttpResponse {
        self.service.answer(request).await
    }

    /// What passed through it, counted.
    pub fn traffic(&self) -> &Traffic {
        &self.service.traffic
    }

    /// Whether requests can be answered, and if not, why.
    pub async fn ready(&self) -> Result<(), String> {
        self.service.ready().await
    }

    /// Serves connections until `shutdown` is done; running requests may finish within the configured time. Says how many
    /// connections had to be cut.
    pub fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> BoxFuture<'static, usize> {
        server::serve(listener, Arc::clone(&self.service), Box::pin(shutdown), self.shutdown_grace)
    }
}

fn s3_config(region: Option<&str>) -> Result<S3Config, ConfigError> {
    let parsed = region.map(str::parse::<Region>).transpose();
    let mut config = S3Config::default();
    config.expected_region = parsed.map_err(|_| ConfigError::Region(region.unwrap_or_default().to_owned()))?;
    config.xml_max_body_size = XML_BYTES_MAX;
    config.put_object_max_size = Some(PUT_BYTES_MAX);
    // The administration bounds its bodies itself, and objects pass by a route when their requests are mended.
    config.custom_route_max_body_size = None;
    config.aws_chunked_stream_max_chunk_size = SIGNED_CHUNK_BYTES_MAX;
    config.sig_v4_allowed_services = vec!["s3".to_owned()];
    // Neither gets here: forms and version 2 are verified by us.
    config.allow_post_signature = false;
    config.enable_sig_v2 = false;
    // The operation follows from the method, the path and the sub-resources, never from a name that `x-id` gives it.
    config.operation_id_routing = false;
    Ok(config)
}
