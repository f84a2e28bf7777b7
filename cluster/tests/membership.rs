//! Who is alive: by gossip over loopback, by heartbeats on a simulated network. What one promises the other must keep.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_cluster::client::pool::Pool;
use cairn_cluster::membership::gossip::{GossipMembership, GossipOptions, GossipService};
use cairn_cluster::membership::heartbeats::{HeartbeatOptions, Heartbeats};
use cairn_cluster::membership::{Detection, DriveSummary, Members, Membership, Profile, Standing};
use cairn_cluster::network::simulated::{Faults, SimulatedNetwork};
use cairn_cluster::network::tcp::TcpNetwork;
use cairn_cluster::server::{Listener, ListenerOptions};
use cairn_cluster::service::{Service, ServiceId, Services};
use cairn_core::clock::SystemClock;
use cairn_core::entropy::{SeededEntropy, SystemEntropy};
use cairn_core::{Clock, ClusterId, DriveId, Elapsed, NodeId, WallTime};
use tokio::time::{Instant, sleep, timeout};

use support::{SECRET, key, loopback, machine};

/// Elapsed time is tokio's, so that a paused runtime moves it; the calendar is nonsense of its own for each node.
#[derive(Debug)]
struct WrongCalendar {
    begun: Instant,
    nonsense: u64,
}

impl Clock for WrongCalendar {
    fn wall(&self) -> WallTime {
        WallTime(self.nonsense.wrapping_mul(self.begun.elapsed().as_millis() as u64))
    }

    fn elapsed(&self) -> Elapsed {
        Elapsed(self.begun.elapsed())
    }
}

/// One member; dropping it is its end.
struct Member {
    id: NodeId,
    address: SocketAddr,
    membership: Box<dyn Membership>,
    _listener: Listener,
}

impl Member {
    async fn listen(id: NodeId, secret: &[u8; 32], at: SocketAddr, service: Arc<dyn Service>) -> Listener {
        let services = Services::default().with(ServiceId::MEMBERSHIP, service);
        let options = ListenerOptions { node: id, key: key(secret), address: at, services };
        Listener::start(options, &TcpNetwork, SystemEntropy::shared()).await.unwrap()
    }

    async fn gossip(
        number: u64,
        generation: u64,
        secret: &[u8; 32],
        seeds: &[SocketAddr],
        detection: Detection,
    ) -> Self {
        let id = NodeId(number);
        let (service, inbox) = GossipService::new();
        let listener = Self::listen(id, secret, loopback(), service).await;
        let address = listener.address();
        let pool = Pool::new(id, key(secret), TcpNetwork::shared(), SystemEntropy::shared());
        let options = GossipOptions {
            cluster: ClusterId(5),
            generation,
            address,
            seeds: seeds.to_vec(),
            detection,
            profile: Profile::at(address),
        };
        let membership = GossipMembership::start(options, pool, inbox, SystemClock::start()).await.unwrap();
        Self { id, address, membership: Box::new(membership), _listener: listener }
    }

    async fn beating(network: &SimulatedNetwork, number: u8, generation: u64, detection: Detection) -> Self {
        let id = NodeId(u64::from(number));
        let address = SocketAddr::new(machine(number), 9);
        let options = HeartbeatOptions {
            node: id,
            generation,
            seeds: vec![SocketAddr::new(machine(1), 9)],
            detection,
            profile: Profile::at(address),
        };
        let clock = Arc::new(WrongCalendar { begun: Instant::now(), nonsense: u64::MAX / u64::from(number) });
        let heartbeats = Heartbeats::new(options, clock).unwrap();
        let services = Services::default().with(ServiceId::MEMBERSHIP, heartbeats.service());
        let endpoint = network.endpoint(machine(number));
        let entropy = SeededEntropy::new(u64::from(number));
        let listening = ListenerOptions { node: id, key: key(&SECRET), address, services };
        let listener = Listener::start(listening, &*endpoint, entropy.clone()).await.unwrap();
        let pool = Pool::new(id, key(&SECRET), endpoint, entropy);
        Self { id, address, membership: Box::new(heartbeats.start(pool)), _listener: listener }
    }

    fn thinks(&self, of: NodeId) -> Standing {
        self.membership.members().standing(of)
    }

    /// Waits until the list satisfies something; the bound is the test's promise.
    async fn until(&self, what: &str, bound: Duration, holds: impl Fn(&Members) -> bool) {
        let mut watch = self.membership.watch();
        let waited = timeout(bound, watch.wait_for(|members| holds(members))).await;
        assert!(waited.is_ok(), "node {}, {what}: {:?}", self.id, self.membership.members());
    }
}

fn all_alive(others: usize) -> impl Fn(&Members) -> bool {
    move |members| members.with(Standing::Alive).filter(|member| member.profile.is_some()).count() == others
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_nodes_gossip_one_stops_and_a_stranger_is_never_a_member() {
    let detection = Detection::new(Duration::from_millis(200), Duration::from_secs(3));
    let first = Member::gossip(1, 1, &SECRET, &[], detection).await;
    let seeds = [first.address];
    let mut members = vec![first];
    for number in 2..=5 {
        members.push(Member::gossip(number, 1, &SECRET, &seeds, detection).await);
    }
    let stranger = Member::gossip(66, 1, &[8; 32], &seeds, detection).await;
    let bound = Duration::from_secs(30);
    for member in &members {
        member.until("all are found", bound, all_alive(4)).await;
    }
    // What one announces all others learn.
    let mut profile = Profile::at(members[1].address);
    profile.drives = vec![DriveSummary { drive: DriveId(9), writable: false, available_bytes: 77 }];
    members[1].membership.announce(profile.clone()).unwrap();
    for member in members.iter().filter(|member| member.id != NodeId(2)) {
        member.until("the news spread", bound, |list| list.0[&NodeId(2)].profile.as_ref() == Some(&profile)).await;
    }
    let stopped = members.pop().unwrap();
    let (begun, gone) = (Instant::now(), stopped.id);
    drop(stopped);
    for member in &members {
        member.until("it is suspect", bound, |list| list.standing(gone) != Standing::Alive).await;
    }
    // Twice the longest silence: this machine may be busy with other things.
    assert!(begun.elapsed() < 2 * detection.silence_max() + Duration::from_secs(3), "{:?}", begun.elapsed());
    for member in &members {
        member.until("it is dead", bound, |list| list.standing(gone) == Standing::Dead).await;
        member.until("the others live", bound, all_alive(3)).await;
    }
    // The same node in its next start, at another address.
    let again = Member::gossip(gone.0, 2, &SECRET, &seeds, detection).await;
    for member in &members {
        member
            .until("it is back", bound, |list| {
                list.standing(gone) == Standing::Alive
                    && list.0[&gone].profile.as_ref().is_some_and(|profile| profile.address == again.address)
            })
            .await;
        assert!(!member.membership.members().0.contains_key(&stranger.id), "a stranger is a member");
    }
    assert!(stranger.membership.members().0.is_empty(), "a stranger learns of nobody");
}

const SECOND: Duration = Duration::from_secs(1);

fn simulated() -> Detection {
    Detection::new(SECOND, Duration::from_secs(30))
}

#[tokio::test(start_paused = true)]
async fn five_nodes_beat_one_stops_and_comes_back_whatever_their_calendars_say() {
    let network = SimulatedNetwork::new(1);
    network.set_faults(Faults { delay: Duration::ZERO..=Duration::from_millis(80), ..Faults::default() });
    let mut members = Vec::new();
    for number in 1..=5 {
        members.push(Member::beating(&network, number, 1, simulated()).await);
    }
    for member in &members {
        member.until("all are found", 10 * SECOND, all_alive(4)).await;
    }
    sleep(100 * SECOND).await;
    for member in &members {
        assert_eq!(member.membership.members().with(Standing::Alive).count(), 4);
    }
    let gone = members.pop().unwrap().id;
    network.crash(machine(5));
    let bound = simulated().silence_max() + 2 * SECOND;
    for member in &members {
        member.until("it is suspect", bound, |list| list.standing(gone) == Standing::Suspect).await;
    }
    for member in &members {
        member.until("it is dead", 35 * SECOND, |list| list.standing(gone) == Standing::Dead).await;
        assert_eq!(member.membership.members().with(Standing::Alive).count(), 3);
    }
    let _again = Member::beating(&network, 5, 2, simulated()).await;
    for member in &members {
        member.until("it is back", 10 * SECOND, |list| list.standing(gone) == Standing::Alive).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_makes_suspects_on_both_sides_and_heals() {
    let network = SimulatedNetwork::new(2);
    let mut members = Vec::new();
    for number in 1..=5 {
        members.push(Member::beating(&network, number, 1, simulated()).await);
    }
    for member in &members {
        member.until("all are found", 10 * SECOND, all_alive(4)).await;
    }
    for one in 1..=3 {
        for other in 4..=5 {
            network.part(machine(one), machine(other));
        }
    }
    sleep(simulated().silence_max() + 5 * SECOND).await;
    for one in &members {
        for other in members.iter().filter(|other| other.id != one.id) {
            let same_side = (one.id.0 <= 3) == (other.id.0 <= 3);
            let expected = if same_side { Standing::Alive } else { Standing::Suspect };
            assert_eq!(one.thinks(other.id), expected, "{} of {}", one.id, other.id);
        }
    }
    network.heal();
    for member in &members {
        member.until("all are back", 10 * SECOND, all_alive(4)).await;
    }
}

/// What everyone thinks of everyone, second by second, on a network of which the seed decides everything.
async fn story(seed: u64) -> String {
    let network = SimulatedNetwork::new(seed);
    let delay = Duration::ZERO..=Duration::from_millis(500);
    network.set_faults(Faults { delay, cut_one_in: 3, cut_bytes_max: 3000, flip_one_in: 50 });
    let mut members = Vec::new();
    for number in 1..=4 {
        members.push(Member::beating(&network, number, 1, simulated()).await);
    }
    let mut told = String::new();
    for second in 0..120 {
        if second == 40 {
            network.crash(machine(4));
            members.truncate(3);
        }
        sleep(SECOND).await;
        for member in &members {
            for (node, other) in &member.membership.members().0 {
                let since = other.since.0.as_millis();
                write!(told, "{second} {} {node} {} {since}; ", member.id, other.standing).unwrap();
            }
        }
    }
    for member in &members {
        assert_eq!(member.thinks(NodeId(4)), Standing::Dead, "seed {seed}");
        assert_eq!(member.membership.members().with(Standing::Alive).count(), 2, "seed {seed}");
    }
    told
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let run = |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(story(seed))
    };
    let stories: Vec<String> = (1..=4).map(run).collect();
    assert!(stories.iter().enumerate().all(|(at, story)| *story == run(at as u64 + 1)));
    assert_ne!(stories[0], stories[1]);
}
