//! A network in memory that delays, cuts, partitions and corrupts, from a seed. For tests and simulations.
//!
//! It knows machines by their IP addresses; each takes part through an [endpoint](SimulatedNetwork::endpoint) of its own.
//! Time is tokio's, so a paused clock makes it deterministic.

mod link;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use cairn_core::Entropy as _;
use cairn_core::entropy::SeededEntropy;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use super::{Acceptor, BoxStream, Network};
use link::{End, Link};

/// Streams that wait to be accepted at one address; more are refused, as a machine does.
const BACKLOG_MAX: usize = 128;

/// What goes wrong, and how often. The default: nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// How long each write travels.
    pub delay: RangeInclusive<Duration>,
    /// One in so many streams breaks in its middle; 0: none.
    pub cut_one_in: u64,
    /// Before how many bytes, in each direction, it breaks at the latest.
    pub cut_bytes_max: u64,
    /// One in so many writes arrives with a flipped bit; 0: none.
    pub flip_one_in: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self { delay: Duration::ZERO..=Duration::ZERO, cut_one_in: 0, cut_bytes_max: 100_000, flip_one_in: 0 }
    }
}

/// The network.
#[derive(Debug, Clone)]
pub struct SimulatedNetwork(Arc<World>);

type Arrival = (BoxStream, SocketAddr);

#[derive(Debug)]
struct World {
    entropy: Arc<SeededEntropy>,
    state: Mutex<State>,
    /// Told when somebody can reach somebody again.
    healed: Notify,
}

#[derive(Debug)]
struct State {
    faults: Faults,
    listeners: BTreeMap<SocketAddr, mpsc::Sender<Arrival>>,
    /// Who cannot send to whom.
    blocked: BTreeSet<(IpAddr, IpAddr)>,
    links: Vec<Weak<Link>>,
    next_port: u16,
}

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn one_in(&self, n: u64) -> bool {
        n > 0 && self.entropy.next_u64().is_multiple_of(n)
    }

    fn blocked(&self, from: IpAddr, to: IpAddr) -> bool {
        self.state().blocked.contains(&(from, to))
    }

    fn delay(&self) -> Duration {
        let delay = self.state().faults.delay.clone();
        let spread = delay.end().saturating_sub(*delay.start()).as_nanos() as u64;
        if spread == 0 {
            return *delay.start();
        }
        *delay.start() + Duration::from_nanos(self.entropy.next_u64() % (spread + 1))
    }
}

impl SimulatedNetwork {
    /// A network on which nothing goes wrong yet.
    pub fn new(seed: u64) -> Self {
        let state = State {
            faults: Faults::default(),
            listeners: BTreeMap::new(),
            blocked: BTreeSet::new(),
            links: Vec::new(),
            next_port: 10_000,
        };
        Self(Arc::new(World { entropy: SeededEntropy::new(seed), state: Mutex::new(state), healed: Notify::new() }))
    }

    /// The network as one machine sees it.
    pub fn endpoint(&self, machine: IpAddr) -> Arc<dyn Network> {
        Arc::new(Endpoint { world: self.0.clone(), machine })
    }

    /// From now on these faults. Streams that are open keep the cut that was drawn for them.
    pub fn set_faults(&self, faults: Faults) {
        self.0.state().faults = faults;
    }

    /// From now on nothing that `from` sends reaches `to`; what is on its way waits, as it does where packets are sent
    /// again and again.
    pub fn block(&self, from: IpAddr, to: IpAddr) {
        self.0.state().blocked.insert((from, to));
    }

    /// Parts two machines, both ways.
    pub fn part(&self, one: IpAddr, other: IpAddr) {
        self.block(one, other);
        self.block(other, one);
    }

    /// Everyone reaches everyone again; what waited arrives.
    pub fn heal(&self) {
        self.0.state().blocked.clear();
        self.0.healed.notify_waiters();
        self.each_link(|link| link.wake());
    }

    /// Breaks every stream of a machine, as when it loses power, and lets nobody listen there.
    pub fn crash(&self, machine: IpAddr) {
        self.0.state().listeners.retain(|address, _| address.ip() != machine);
        self.reset(machine);
    }

    /// Breaks every stream of a machine, which goes on listening.
    pub fn reset(&self, machine: IpAddr) {
        self.each_link(|link| {
            if link.touches(machine) {
                link.cut();
            }
        });
    }

    fn each_link(&self, act: impl Fn(&Link)) {
        let links: Vec<_> = {
            let mut state = self.0.state();
            state.links.retain(|link| link.strong_count() > 0);
            state.links.iter().filter_map(Weak::upgrade).collect()
        };
        links.iter().for_each(|link| act(link));
    }
}

/// The network as one machine sees it.
#[derive(Debug)]
struct Endpoint {
    world: Arc<World>,
    machine: IpAddr,
}

impl Endpoint {
    async fn open(&self, to: SocketAddr) -> io::Result<BoxStream> {
        loop {
            let healed = self.world.healed.notified();
            if !self.world.blocked(self.machine, to.ip()) && !self.world.blocked(to.ip(), self.machine) {
                break;
            }
            healed.await;
        }
        sleep(self.world.delay()).await;
        let faults = self.world.state().faults.clone();
        let cut = self.world.one_in(faults.cut_one_in);
        let allowance = || cut.then(|| self.world.entropy.next_u64() % faults.cut_bytes_max.max(1));
        let link = Link::new(self.world.clone(), self.machine, to.ip(), [allowance(), allowance()]);
        let mut state = self.world.state();
        let from = SocketAddr::new(self.machine, state.next_port);
        state.next_port = state.next_port.checked_add(1).unwrap_or(10_000);
        let listener = state.listeners.get(&to).ok_or(io::ErrorKind::ConnectionRefused)?;
        let (ours, theirs) = (End::new(link.clone(), true), End::new(link.clone(), false));
        listener.try_send((Box::new(theirs), from)).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        state.links.push(Arc::downgrade(&link));
        if state.links.len().is_power_of_two() {
            state.links.retain(|link| link.strong_count() > 0);
        }
        Ok(Box::new(ours))
    }
}

impl Network for Endpoint {
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        self.open(to).boxed()
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Acceptor>>> {
        async move {
            let mut state = self.world.state();
            let mut address = SocketAddr::new(self.machine, at.port());
            while at.port() == 0 {
                address.set_port(state.next_port);
                state.next_port = state.next_port.checked_add(1).unwrap_or(10_000);
                if !state.listeners.contains_key(&address) {
                    break;
                }
            }
            if state.listeners.get(&address).is_some_and(|listener| !listener.is_closed()) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            let (sender, arrivals) = mpsc::channel(BACKLOG_MAX);
            state.listeners.insert(address, sender);
            Ok(Box::new(Listening { address, arrivals }) as Box<dyn Acceptor>)
        }
        .boxed()
    }
}

#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    arrivals: mpsc::Receiver<Arrival>,
}

impl Acceptor for Listening {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Arrival>> {
        async move {
            match self.arrivals.recv().await {
                Some(arrival) => Ok(arrival),
                // The machine crashed. Whoever ran on it finds out by other means, if it still runs at all.
                None => std::future::pending().await,
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
