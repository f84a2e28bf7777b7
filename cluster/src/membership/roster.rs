//! From heartbeats to standings. Pure: told what was heard and what time it is, by elapsed time only.
//!
//! ```text
//! first heard of --> Suspect --heartbeat grows--> Alive --silence of phi mean intervals--> Suspect --grace--> Dead
//!                                                   ^---------------heartbeat grows-----------+---------------+
//! ```
//!
//! Silence is measured against how often the node is heard of when all is well (phi accrual, with silence over mean
//! interval as phi). The mean is kept within bounds, so that suspicion comes neither from one late message nor an hour
//! after the last one.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cairn_core::{Elapsed, NodeId};

use super::{Member, Members, Profile, Standing};

/// Intervals that are remembered of each node.
const SAMPLES_MAX: usize = 100;

/// How much the expected interval weighs against those that were seen.
const PRIOR_WEIGHT: u32 = 5;

/// A mean interval counts at most so many times the expected one.
const MEAN_FACTOR_MAX: u32 = 2;

/// Nodes that are remembered. More than any cluster has; a node beyond it is not known, which is said in the log.
const NODES_MAX: usize = 4096;

/// When silence means what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detection {
    /// How often a living node is heard of.
    pub interval: Duration,
    /// After a silence of so many mean intervals a node is suspect.
    pub phi: u32,
    /// After so long a suspect node is dead.
    pub grace: Duration,
    /// After so long a dead node is forgotten.
    pub forget: Duration,
}

impl Detection {
    /// Suspicion after 8 silent intervals, as phi accrual is mostly run.
    pub const fn new(interval: Duration, grace: Duration) -> Self {
        Self { interval, phi: 8, grace, forget: Duration::from_secs(24 * 60 * 60) }
    }

    /// The longest silence of a node that is not suspect, whatever was seen of it before.
    pub fn silence_max(&self) -> Duration {
        self.interval * MEAN_FACTOR_MAX * self.phi
    }

    /// How long between two ticks this node may have been away itself: stopped, or without a processor. What it did not
    /// hear meanwhile says nothing about the others.
    fn own_silence_max(&self) -> Duration {
        self.interval * 2
    }
}

/// One node.
#[derive(Debug)]
struct Peer {
    generation: u64,
    heartbeat: u64,
    heard: Elapsed,
    /// Intervals between growing heartbeats.
    samples: VecDeque<Duration>,
    standing: Standing,
    since: Elapsed,
    profile: Option<Profile>,
}

/// All nodes but this one.
#[derive(Debug)]
pub struct Roster {
    me: NodeId,
    detection: Detection,
    peers: BTreeMap<NodeId, Peer>,
    ticked: Option<Elapsed>,
    changed: bool,
}

impl Roster {
    /// Knows nobody.
    pub fn new(me: NodeId, detection: Detection) -> Self {
        Self { me, detection, peers: BTreeMap::new(), ticked: None, changed: false }
    }

    /// A heartbeat was heard of, at first or any other hand. Only one that is greater than all before, in a generation
    /// that is not older, shows that the node lives: everything else may have been on its way for long.
    pub fn heard(&mut self, node: NodeId, generation: u64, heartbeat: u64, profile: Option<Profile>, now: Elapsed) {
        if node == self.me {
            return;
        }
        let known = self.peers.len();
        let Some(peer) = self.peers.get_mut(&node) else {
            if known >= NODES_MAX {
                tracing::warn!(%node, "more nodes than can be remembered");
                return;
            }
            // Who tells of it may be telling of the past: suspect, until it is heard of once more.
            let peer = Peer {
                generation,
                heartbeat,
                heard: now,
                samples: VecDeque::new(),
                standing: Standing::Suspect,
                since: now,
                profile,
            };
            self.peers.insert(node, peer);
            self.changed = true;
            return;
        };
        if (generation, heartbeat) <= (peer.generation, peer.heartbeat) {
            return;
        }
        let silence = now.since(peer.heard);
        if generation > peer.generation {
            // Another process: how often the one before was heard of says nothing.
            peer.samples.clear();
            self.changed = true;
        } else if silence <= self.detection.silence_max() {
            peer.samples.push_back(silence);
            if peer.samples.len() > SAMPLES_MAX {
                peer.samples.pop_front();
            }
        }
        (peer.generation, peer.heartbeat, peer.heard) = (generation, heartbeat, now);
        if profile.is_some() && peer.profile != profile {
            peer.profile = profile;
            self.changed = true;
        }
        if peer.standing != Standing::Alive {
            (peer.standing, peer.since) = (Standing::Alive, now);
            self.changed = true;
        }
    }

    /// Time has passed. The new list, if anything in it is new.
    pub fn tick(&mut self, now: Elapsed) -> Option<Members> {
        let away = self.ticked.replace(now).map_or(Duration::ZERO, |ticked| now.since(ticked));
        if away > self.detection.own_silence_max() {
            tracing::debug!(?away, "this node was away; it does not hold that against the others");
            for peer in self.peers.values_mut() {
                peer.heard = Elapsed(peer.heard.0 + away).min(now);
                if peer.standing == Standing::Suspect {
                    peer.since = Elapsed(peer.since.0 + away).min(now);
                }
            }
        }
        let before = self.peers.len();
        let detection = self.detection;
        self.peers.retain(|_, peer| peer.standing != Standing::Dead || now.since(peer.since) <= detection.forget);
        self.changed |= self.peers.len() != before;
        for peer in self.peers.values_mut() {
            let next = match peer.standing {
                Standing::Alive if now.since(peer.heard) > peer.silence_allowed(&detection) => Standing::Suspect,
                Standing::Suspect if now.since(peer.since) > detection.grace => Standing::Dead,
                _ => continue,
            };
            (peer.standing, peer.since) = (next, now);
            self.changed = true;
        }
        std::mem::take(&mut self.changed).then(|| self.members())
    }

    /// The list as it is.
    pub fn members(&self) -> Members {
        let member = |(&node, peer): (&NodeId, &Peer)| {
            let Peer { generation, standing, since, .. } = *peer;
            (node, Member { node, generation, standing, since, profile: peer.profile.clone() })
        };
        Members(self.peers.iter().map(member).collect())
    }
}

impl Peer {
    /// Phi mean intervals, the mean between the expected interval and twice that.
    fn silence_allowed(&self, detection: &Detection) -> Duration {
        let count = self.samples.len() as u32 + PRIOR_WEIGHT;
        let sum: Duration = self.samples.iter().sum::<Duration>() + detection.interval * PRIOR_WEIGHT;
        let mean = (sum / count).clamp(detection.interval, detection.interval * MEAN_FACTOR_MAX);
        mean * detection.phi
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);
    const GRACE: Duration = Duration::from_secs(60);
    const NODE: NodeId = NodeId(7);

    fn at(ms: u64) -> Elapsed {
        Elapsed(Duration::from_millis(ms))
    }

    struct World {
        roster: Roster,
        now_ms: u64,
        beat: u64,
    }

    impl World {
        fn new() -> Self {
            Self { roster: Roster::new(NodeId(1), Detection::new(INTERVAL, GRACE)), now_ms: 0, beat: 0 }
        }

        fn beat(&mut self) {
            self.beat += 1;
            self.roster.heard(NODE, 1, self.beat, None, at(self.now_ms));
        }

        /// Ticks every half interval.
        fn pass(&mut self, ms: u64) -> Standing {
            let until = self.now_ms + ms;
            while self.now_ms < until {
                self.now_ms = (self.now_ms + 500).min(until);
                self.roster.tick(at(self.now_ms));
            }
            self.standing()
        }

        fn standing(&self) -> Standing {
            self.roster.members().standing(NODE)
        }
    }

    #[test]
    fn a_silent_node_is_suspect_within_bounds_and_dead_after_the_grace_time() {
        let mut world = World::new();
        (0..50).for_each(|_| {
            world.beat();
            world.pass(1000);
        });
        assert_eq!(world.standing(), Standing::Alive);
        assert_eq!(world.pass(6500), Standing::Alive, "less than eight intervals of silence");
        assert_eq!(world.pass(1500), Standing::Suspect, "more than that");
        let since = world.roster.members().0[&NODE].since;
        assert_eq!(world.pass(59_000), Standing::Suspect);
        assert_eq!(world.roster.members().0[&NODE].since, since);
        assert_eq!(world.pass(2000), Standing::Dead);
        world.beat();
        assert_eq!(world.standing(), Standing::Alive, "a node that comes back is back at once");
        assert_eq!(world.roster.members().0[&NODE].since, at(world.now_ms));
    }

    proptest! {
        #[test]
        fn whatever_was_heard_before_silence_has_its_bounds(beats in proptest::collection::vec(0u64..30_000, 0..60)) {
            let mut world = World::new();
            world.beat();
            for gap in beats {
                world.pass(gap);
                world.beat();
            }
            world.beat();
            prop_assert_eq!(world.pass(7500), Standing::Alive);
            prop_assert_eq!(world.pass(9500), Standing::Suspect);
        }
    }

    #[test]
    fn a_node_that_is_only_told_of_is_never_alive() {
        let mut world = World::new();
        world.beat();
        for _ in 0..200 {
            world.roster.heard(NODE, 1, 1, None, at(world.now_ms));
            assert_ne!(world.pass(500), Standing::Alive, "an old heartbeat told again and again");
        }
        assert_eq!(world.standing(), Standing::Dead);
    }

    #[test]
    fn an_older_process_does_not_speak_for_a_newer_one() {
        let mut world = World::new();
        world.roster.heard(NODE, 5, 10, None, at(0));
        world.roster.heard(NODE, 6, 1, None, at(10));
        assert_eq!(world.standing(), Standing::Alive, "a new start is a sign of life");
        world.now_ms = 10;
        world.pass(20_000);
        assert_eq!(world.standing(), Standing::Suspect);
        world.roster.heard(NODE, 5, 1_000_000, None, at(world.now_ms));
        assert_eq!(world.standing(), Standing::Suspect);
        assert_eq!(world.roster.members().0[&NODE].generation, 6);
    }

    #[test]
    fn a_node_that_was_away_itself_accuses_nobody() {
        let mut world = World::new();
        (0..20).for_each(|_| {
            world.beat();
            world.pass(1000);
        });
        // Stopped for an hour, then one tick before anything could be heard.
        world.now_ms += 3_600_000;
        assert_eq!(world.roster.tick(at(world.now_ms)), None);
        assert_eq!(world.standing(), Standing::Alive);
        assert_eq!(world.pass(20_000), Standing::Suspect, "but silence after that counts");
        world.now_ms += 3_600_000;
        world.roster.tick(at(world.now_ms));
        assert_eq!(world.standing(), Standing::Suspect, "the grace time is not over either");
    }

    #[test]
    fn a_dead_node_is_forgotten_in_the_end_and_changes_are_told_once() {
        let mut world = World::new();
        world.beat();
        assert!(world.roster.tick(at(1)).is_some());
        assert!(world.roster.tick(at(2)).is_none());
        world.now_ms = 2;
        world.pass(100_000);
        assert_eq!(world.standing(), Standing::Dead);
        world.pass(24 * 3_600_000 + 1000);
        assert!(world.roster.members().0.is_empty());
    }

    #[test]
    fn profiles_are_kept_and_replaced() {
        let mut world = World::new();
        let profile = |port| Some(Profile::at(std::net::SocketAddr::from(([10, 0, 0, 1], port))));
        world.roster.heard(NODE, 1, 1, profile(1), at(0));
        world.roster.heard(NODE, 1, 2, None, at(1));
        assert_eq!(world.roster.members().0[&NODE].profile, profile(1));
        assert!(world.roster.tick(at(1)).is_some());
        world.roster.heard(NODE, 1, 3, profile(2), at(2));
        assert_eq!(world.roster.tick(at(2)).unwrap().0[&NODE].profile, profile(2));
        world.roster.heard(NodeId(1), 9, 9, None, at(2));
        assert_eq!(world.roster.members().0.len(), 1, "a node is not in its own list");
    }
}
