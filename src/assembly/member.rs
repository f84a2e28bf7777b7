//! The start of a node of a cluster.
//!
//! ```text
//! drives -> ties (others can reach them) -> part: [found | ask for an id | ask whether mine still stands]
//!        -> log and Raft under that id -> caught up -> drives agreed with the log -> roles
//! ```
//!
//! Nothing waits for a calendar, and nothing is decided here about others: a node that was given up meanwhile is told so by
//! whoever it asks, throws its old log away and comes back under another id.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cairn_cluster::{Detection, Network, Profile};
use cairn_core::ClusterId;
use cairn_gateway::GatewayConfig;
use cairn_machine::rows::session::SessionKind;
use cairn_metadata::{Client, ProposeError, SessionPolicy, Standing, StartError};
use cairn_oplog::{OpLogError, Orders, Refusal};
use cairn_repair::RepairConfig;
use cairn_storage_node::enlistment::Progress;
use cairn_storage_node::{ClusterSecret, Membership};
use futures::future::LocalBoxFuture;
use tokio::sync::watch;

use crate::admin::Outlook;
use crate::assembly::core::{Core, Rooms, Seat};
use crate::assembly::own_drives::OwnDrives;
use crate::assembly::part::Part;
use crate::assembly::{Assembly, Ground, Parts, root_key, topology};
use crate::credentials::Credentials;
use crate::ties::enlistment::{self, EnlistError, Question};
use crate::ties::remote_drives::RemoteDrives;
use crate::ties::steward::{self, Me};
use crate::ties::{Hearing, Ties, TiesOptions, summaries};

/// How often a node that has no part, or waits for the log, asks again.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How often a node asks, while it waits for the log, whether its id still stands for it.
const DOUBT_EVERY: Duration = Duration::from_secs(5);

/// How long a node that has an id asks, before it starts, whether it still stands for it. Those who could say may be
/// waiting for this very node to have a majority again, so it does not wait for them; it goes on asking when it runs.
const FIRST_DOUBT: Duration = Duration::from_secs(2);

/// How many parity chunks the widest profile of a cluster is thought to have when the log is laid out on a node's drives:
/// as many as STANDARD has with six drives.
const PARITY: u8 = 2;

/// What a node does for its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Its drives take chunks.
    pub storage: bool,
    /// It may be given a vote.
    pub metadata: bool,
    /// It repairs, when it holds the lease.
    pub repair: bool,
}

/// What a node of a cluster is started with.
#[derive(Debug)]
pub struct MemberOptions {
    /// Its drives' directories.
    pub dirs: Vec<PathBuf>,
    /// The cluster.
    pub cluster: ClusterId,
    /// Its secret.
    pub secret: ClusterSecret,
    /// Whether it forms the cluster if it has no part yet and nobody else has one.
    pub form: bool,
    /// Where it listens for other nodes.
    pub listen: SocketAddr,
    /// Where anybody of the cluster may be.
    pub seeds: Vec<SocketAddr>,
    /// Where it serves S3, for others to tell people.
    pub s3: Option<SocketAddr>,
    /// What fails together with it.
    pub zone: String,
    /// What it does.
    pub roles: Roles,
    /// When silence means what.
    pub detection: Detection,
    /// How sessions are kept alive.
    pub sessions: SessionPolicy,
    /// How nodes hear of each other.
    pub hearing: Hearing,
    /// The way to them.
    pub network: Arc<dyn Network>,
    /// The root key that the person demands, if any.
    pub demanded: Option<Credentials>,
}

impl Assembly {
    /// Starts a node of a cluster. Returns when it follows the log and every role runs; without a majority it waits.
    pub fn join(
        parts: Parts,
        options: MemberOptions,
        repair: RepairConfig,
        gateway: GatewayConfig,
    ) -> LocalBoxFuture<'static, anyhow::Result<Self>> {
        Box::pin(Self::join_others(parts, options, repair, gateway))
    }

    async fn join_others(
        parts: Parts,
        options: MemberOptions,
        repair: RepairConfig,
        gateway: GatewayConfig,
    ) -> anyhow::Result<Self> {
        let rooms = Rooms::open_node(&parts, &options.dirs, options.cluster, &options.secret)?;
        let mut part = Part::begin(&rooms)?;
        // What the data survives is not a matter of one node; a node without any drive would be none.
        let own = OwnDrives::open(&parts, &rooms, &[], rooms.dirs().len() - 1)?;
        let drives = own.stores();
        let mut ties = tie(&parts, &options, &rooms, &part, &own).await?;
        let core = follow(&parts, &options, &rooms, &mut part, &mut ties).await?;
        let credentials = root_key::settle(&parts, &core, &rooms, options.demanded.clone()).await?;
        part.arrived(&rooms)?;
        rooms.mark_formed()?;
        let client = patiently(|| core.node.client(SessionKind::Gateway)).await?;
        let notices = if options.roles.storage { topology::agree(&client, &rooms).await? } else { Vec::new() };
        ties.enlisting.serve(client.clone());
        keep_ties(&ties, &core, &client, &drives, options.roles.metadata).await?;
        let outlook = Outlook {
            me: me(&core, options.roles.metadata),
            profile: ties.profile(),
            members: ties.members(),
            pool: ties.pool.clone(),
        };
        let log_drives = super::log_drives(&parts, &rooms, &core, &client, Some(PARITY));
        let ground = Ground {
            core,
            own,
            log_drives,
            drives,
            ties: Some(ties),
            outlook: Some(outlook),
            client,
            credentials,
            notices,
        };
        Self::roles(&parts, &rooms, ground, options.roles.repair.then_some(repair), gateway).await
    }
}

async fn tie(
    parts: &Parts,
    options: &MemberOptions,
    rooms: &Rooms,
    part: &Part,
    own: &OwnDrives,
) -> anyhow::Result<Ties> {
    // A call from outside is never passed on: only this node's own drives are behind the listener.
    let own_drives = own.stores();
    let profile = Profile {
        s3: options.s3,
        zone: options.zone.clone(),
        drives: summaries(&own_drives),
        member: None,
        may_vote: options.roles.metadata,
        ..Profile::at(options.listen)
    };
    let tying = TiesOptions {
        hearing: options.hearing,
        cluster: options.cluster,
        node: rooms.node(),
        generation: part.generation(),
        listen: options.listen,
        seeds: options.seeds.clone(),
        detection: options.detection,
        profile,
        own_drives,
    };
    let shared = (parts.clock.clone(), parts.entropy.clone());
    Ties::start(tying, rooms.secret(), options.network.clone(), shared).await
}

/// Starts the log under the node's id and waits until it is caught up, under another id where that has to be.
async fn follow(
    parts: &Parts,
    options: &MemberOptions,
    rooms: &Rooms,
    part: &mut Part,
    ties: &mut Ties,
) -> anyhow::Result<Core> {
    let question = Question {
        node: rooms.node(),
        member: None,
        zone: options.zone.clone(),
        drives: if options.roles.storage {
            rooms.dirs().iter().map(|dir| topology::new_drive(dir)).collect()
        } else {
            Vec::new()
        },
    };
    let mut membership = settle_part(part, rooms, ties, &question, options.form).await?;
    loop {
        ties.announce_member(membership.member)?;
        let seat = Seat {
            member: membership.member,
            standing: match membership.progress {
                Progress::Founding => Standing::Founder,
                Progress::Joining => Standing::Newcomer,
                Progress::Member => Standing::Member,
            },
            formed: membership.progress == Progress::Member,
            parity: PARITY,
            peers: ties.peers.clone(),
            lone: false,
            sessions: options.sessions,
        };
        let core = match Core::start(parts, rooms, seat, Orders::default()).await {
            Ok(core) => core,
            // Others have what is lost here. Only once a majority of them has given this node another id is the old log thrown away.
            Err(error) if is_forgotten(&error) || rows_are_lost(&error) => {
                let (member, why) = (membership.member, format!("{error:#}"));
                tracing::warn!(
                    member,
                    why,
                    "this node cannot go on with its log or rows: it asks the others for another id"
                );
                let member = ask_until_told(ties, &question).await?;
                membership = part.join(rooms, member)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        ties.raft.serve(core.node.clone());
        let given_up = given_up(ties, &question, membership);
        tokio::select! {
            biased;
            ready = core.node.ready() => match ready {
                Ok(()) => return Ok(core),
                // The founder forms it next; anybody else was never sent a log.
                Err(StartError::NotFormed) if membership.progress == Progress::Founding => return Ok(core),
                Err(error) => return Err(error.into()),
            },
            member = given_up => {
                let member = member?;
                tracing::warn!(old = membership.member, new = member, "this node was given up meanwhile: it joins under another id");
                ties.raft.close();
                core.stop().await?;
                membership = part.join(rooms, member)?;
            }
        }
    }
}

/// Whether the log that goes with the node's id is not there any more, or lies on too few drives to be written. The others have
/// it too, and the id under which more was promised than can be kept is used no more.
fn is_forgotten(error: &anyhow::Error) -> bool {
    let lost = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(StartError::Forgotten { .. } | StartError::ReadOnly { .. }))
            || matches!(cause.downcast_ref(), Some(OpLogError::Refused { refusal, .. }) if is_lost(refusal))
    };
    error.chain().any(lost)
}

/// Whether a log that is refused so is lost for good: it is gone, or damaged on all drives, and no drive is missing that may have it.
fn is_lost(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::LogLost { .. } => true,
        Refusal::Hole { missing, .. } | Refusal::Damaged { missing, .. } => missing.is_empty(),
        _ => false,
    }
}

/// Whether the rows cannot be read from any copy that this node has.
fn rows_are_lost(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(StartError::Rows(_))))
}

/// Which id the node starts under.
async fn settle_part(
    part: &mut Part,
    rooms: &Rooms,
    ties: &Ties,
    question: &Question,
    form: bool,
) -> anyhow::Result<Membership> {
    match part.membership() {
        None if form => {
            // Somebody may have formed it before, and this node may have lost its drives since: it must not form it twice.
            match enlistment::ask(&ties.pool, &ties.addresses(), question).await {
                Ok(member) => part.join(rooms, member),
                Err(EnlistError::Unavailable(_)) => part.found(rooms),
                Err(error @ EnlistError::Refused(_)) => Err(error.into()),
            }
        }
        None => {
            let member = ask_until_told(ties, question).await?;
            part.join(rooms, member)
        }
        Some(known) if known.progress == Progress::Founding => Ok(known),
        Some(known) => {
            let asked = Question { member: Some(known.member), ..question.clone() };
            let addresses = ties.addresses();
            match tokio::time::timeout(FIRST_DOUBT, enlistment::ask(&ties.pool, &addresses, &asked)).await {
                Ok(Ok(member)) if member == known.member => Ok(known),
                Ok(Ok(member)) => part.join(rooms, member),
                // All nodes may be starting at once, and then nobody knows yet.
                Ok(Err(EnlistError::Unavailable(_))) | Err(_) => Ok(known),
                Ok(Err(error @ EnlistError::Refused(_))) => Err(error.into()),
            }
        }
    }
}

/// Asks until somebody knows.
async fn ask_until_told(ties: &Ties, question: &Question) -> anyhow::Result<u64> {
    let mut last = String::new();
    loop {
        match enlistment::ask(&ties.pool, &ties.addresses(), question).await {
            Ok(member) => return Ok(member),
            Err(EnlistError::Unavailable(reason)) => {
                if reason != last {
                    tracing::info!(reason, "waiting for the cluster to give this node a part");
                    last = reason;
                }
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Ends with another id when somebody says that the one there is stands for nobody.
async fn given_up(ties: &Ties, question: &Question, membership: Membership) -> anyhow::Result<u64> {
    let asked = Question { member: Some(membership.member), ..question.clone() };
    loop {
        tokio::time::sleep(DOUBT_EVERY).await;
        match enlistment::ask(&ties.pool, &ties.addresses(), &asked).await {
            Ok(member) if member == membership.member => {}
            Ok(member) => return Ok(member),
            Err(EnlistError::Unavailable(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Starts what keeps the ties in agreement with the log, and waits until every drive that can be reached is known.
async fn keep_ties(
    ties: &Ties,
    core: &Core,
    client: &Client,
    drives: &Arc<cairn_core::Drives>,
    may_vote: bool,
) -> anyhow::Result<()> {
    let remote = RemoteDrives {
        pool: ties.pool.clone(),
        drives: drives.clone(),
        client: client.clone(),
        members: ties.members(),
    };
    let (looked, mut first) = watch::channel(false);
    ties.tasks.spawn(remote.keep(looked, ties.stop.clone()));
    first.wait_for(|looked| *looked).await.context("the drives of other nodes are not looked at")?;
    let me = me(core, may_vote);
    ties.tasks.spawn(steward::look_after(core.node.clone(), client.clone(), me, ties.members(), ties.stop.clone()));
    Ok(())
}

/// This node among the others.
fn me(core: &Core, may_vote: bool) -> Me {
    Me { node: core.identity.node, member: core.identity.voter.0, may_vote }
}

/// Proposes again what nobody knows about: an election may be under way.
async fn patiently<T>(attempt: impl AsyncFn() -> Result<T, ProposeError>) -> Result<T, ProposeError> {
    loop {
        match attempt().await {
            Err(ProposeError::Unavailable(reason)) => tracing::info!(reason, "waiting for the log"),
            other => return other,
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}
