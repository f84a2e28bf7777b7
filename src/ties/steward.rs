//! Who votes. Whoever leads the log looks at the members and at who is alive, and takes one step at a time towards as many
//! voters as the cluster can have.
//!
//! - The number of voters is the largest odd one up to `2m + 1` and up to the nodes that may vote, and five at most. A
//!   failure never lowers it: a dead voter keeps its seat until another node can take it.
//! - The new one votes before the old one leaves. If the old one is back before it has left, there is one too many, and the
//!   last that was seated gives its vote up: it goes on following the log.
//! - An id is dismissed once its node goes by a later one, so that nothing is kept for it. Not one that is later than what
//!   the node is known to go by: it may just have been given, and the news of it is slower than the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cairn_cluster::{Members, Standing};
use cairn_core::NodeId;
use cairn_machine::Row;
use cairn_machine::rows::profile::{ProfileId, ProfileRow};
use cairn_metadata::{Client, MemberStatus, MetadataNode};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether there is a step to take.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// More voters only make each write wait for more of them.
const VOTERS_MAX: usize = 5;

/// What is known when it is decided.
#[derive(Debug)]
struct Seen<'a> {
    members: &'a [MemberStatus],
    /// Who leads, which is this node.
    me: NodeId,
    /// How many losses the data survives.
    parity: usize,
    nodes: BTreeMap<NodeId, Node>,
}

/// This node, which hears of everybody else.
#[derive(Debug, Clone, Copy)]
pub struct Me {
    /// Which.
    pub node: NodeId,
    /// Under which id it takes part in the log.
    pub member: u64,
    /// Whether it may vote.
    pub may_vote: bool,
}

/// A node, as it says and as it is thought of.
#[derive(Debug, Clone, Copy)]
struct Node {
    standing: Standing,
    member: Option<u64>,
    may_vote: bool,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A member gets a vote.
    Seat(u64),
    /// A member gives up its vote.
    Unseat(u64),
    /// A member takes part no more.
    Dismiss(u64),
}

/// How many voters there should be.
fn voters_wanted(parity: usize, candidates: usize) -> usize {
    let most = (2 * parity + 1).min(candidates).min(VOTERS_MAX);
    if most.is_multiple_of(2) { most.saturating_sub(1) } else { most }.max(1)
}

impl<'a> Seen<'a> {
    fn new(members: &'a [MemberStatus], me: Me, parity: usize, heard: &Members) -> Self {
        let mut nodes: BTreeMap<NodeId, Node> = heard.0.values().map(known).collect();
        nodes.insert(me.node, Node { standing: Standing::Alive, member: Some(me.member), may_vote: me.may_vote });
        Self { members, me: me.node, parity, nodes }
    }

    fn voters(&self) -> Vec<&MemberStatus> {
        self.members.iter().filter(|status| status.votes).collect()
    }

    /// Whether a node could take a seat now.
    fn is_fit(&self, node: &NodeId) -> bool {
        self.nodes.get(node).is_some_and(|node| node.may_vote && node.standing == Standing::Alive)
    }

    /// How many voters there should be.
    fn wanted(&self) -> usize {
        let voters = self.voters();
        let seated = |node: &NodeId| voters.iter().any(|voter| voter.node == *node);
        let candidates = self.nodes.keys().filter(|node| self.is_fit(node) || seated(node)).count();
        voters_wanted(self.parity, candidates.max(voters.len()))
    }
}

/// How many voters there should be, as this node sees it.
pub fn wanted(members: &[MemberStatus], me: Me, parity: usize, heard: &Members) -> usize {
    Seen::new(members, me, parity, heard).wanted()
}

fn next(seen: &Seen<'_>) -> Option<Step> {
    let standing = |node: &NodeId| seen.nodes.get(node).map_or(Standing::Suspect, |node| node.standing);
    let announced =
        |status: &&MemberStatus| seen.nodes.get(&status.node).is_some_and(|node| node.member == Some(status.member));
    let forsaken = seen.members.iter().find(|status| {
        let known = seen.nodes.get(&status.node).filter(|node| node.standing == Standing::Alive);
        !status.votes && known.is_some_and(|node| node.member.is_some_and(|member| member > status.member))
    });
    if let Some(forsaken) = forsaken {
        return Some(Step::Dismiss(forsaken.member));
    }
    let (voters, wanted) = (seen.voters(), seen.wanted());
    let dead = voters.iter().find(|voter| voter.node != seen.me && standing(&voter.node) == Standing::Dead);
    if let Some(dead) = dead.filter(|_| voters.len() > wanted) {
        return Some(Step::Dismiss(dead.member));
    }
    // Only while all of them are there: a failure never lowers the number of voters.
    let all_there = voters.iter().all(|voter| voter.node == seen.me || standing(&voter.node) == Standing::Alive);
    if voters.len() > wanted && all_there {
        let others = voters.iter().filter(|voter| voter.node != seen.me);
        return others.map(|voter| voter.member).max().map(Step::Unseat);
    }
    if voters.len() < wanted || (dead.is_some() && voters.len() == wanted) {
        let seated = |node: &NodeId| voters.iter().any(|voter| voter.node == *node);
        let free =
            seen.members.iter().filter(|status| !status.votes && seen.is_fit(&status.node) && !seated(&status.node));
        return free.filter(announced).map(|status| Step::Seat(status.member)).next();
    }
    // A node that came back under another id takes its old seat over: seating it gives the old one up.
    let returned = seen
        .members
        .iter()
        .filter(|status| !status.votes && seen.is_fit(&status.node))
        .find(|status| announced(status) && voters.iter().any(|voter| voter.node == status.node));
    returned.map(|status| Step::Seat(status.member))
}

/// Looks after the voters for as long as this node lives, whenever it leads.
pub async fn look_after(
    node: MetadataNode,
    client: Client,
    me: Me,
    members: watch::Receiver<Arc<Members>>,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let status = node.status();
        if status.leader != Some(status.voter) {
            continue;
        }
        let standard = match ProfileRow::get(&client.read_stale(), &ProfileId::STANDARD) {
            Ok(Some(row)) => row.geometry,
            Ok(None) => continue,
            Err(error) => {
                tracing::warn!(%error, "the profile cannot be read, so the voters stay as they are");
                continue;
            }
        };
        let heard = members.borrow().clone();
        let Some(step) = next(&Seen::new(&status.members, me, standard.m(), &heard)) else { continue };
        let done = match step {
            Step::Seat(member) => stop.run_until_cancelled(client.seat(member)).await,
            Step::Unseat(member) => stop.run_until_cancelled(client.unseat(member)).await,
            Step::Dismiss(member) => stop.run_until_cancelled(client.dismiss(member)).await,
        };
        match done {
            Some(Ok(())) => tracing::info!(?step, "the members of the log were changed"),
            // It is looked at again, and by then something may have caught up.
            Some(Err(error)) => tracing::debug!(%error, ?step, "the members of the log could not be changed yet"),
            None => return,
        }
    }
}

fn known(member: &cairn_cluster::Member) -> (NodeId, Node) {
    let profile = member.profile.as_ref();
    let node = Node {
        standing: member.standing,
        member: profile.and_then(|profile| profile.member),
        may_vote: profile.is_some_and(|profile| profile.may_vote),
    };
    (member.node, node)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes 1 to `count`, each a member of ten times its number; the first `voting` vote.
    fn members(count: u64, voting: u64) -> Vec<MemberStatus> {
        let member = |n| MemberStatus { member: n * 10, node: NodeId(n), votes: n <= voting, matched: None };
        (1..=count).map(member).collect()
    }

    fn alive(count: u64) -> BTreeMap<NodeId, Node> {
        let node = |n| (NodeId(n), Node { standing: Standing::Alive, member: Some(n * 10), may_vote: true });
        (1..=count).map(node).collect()
    }

    fn step(members: &[MemberStatus], nodes: &BTreeMap<NodeId, Node>, parity: usize) -> Option<Step> {
        next(&Seen { members, me: NodeId(1), parity, nodes: nodes.clone() })
    }

    #[test]
    fn as_many_vote_as_the_losses_ask_for_and_always_an_odd_number() {
        for (parity, candidates, wanted) in
            [(0, 6, 1), (1, 6, 3), (2, 6, 5), (2, 4, 3), (2, 2, 1), (4, 20, 5), (2, 1, 1)]
        {
            assert_eq!(voters_wanted(parity, candidates), wanted, "{parity} {candidates}");
        }
    }

    #[test]
    fn nodes_are_seated_until_there_are_enough() {
        let mut list = members(6, 1);
        for expected in [20, 30, 40, 50] {
            assert_eq!(step(&list, &alive(6), 2), Some(Step::Seat(expected)));
            list.iter_mut().find(|status| status.member == expected).unwrap().votes = true;
        }
        assert_eq!(step(&list, &alive(6), 2), None);
    }

    #[test]
    fn a_dead_voter_leaves_after_another_took_its_seat() {
        let (mut list, mut nodes) = (members(6, 5), alive(6));
        nodes.get_mut(&NodeId(3)).unwrap().standing = Standing::Suspect;
        assert_eq!(step(&list, &nodes, 2), None, "suspicion changes nothing");
        nodes.get_mut(&NodeId(3)).unwrap().standing = Standing::Dead;
        assert_eq!(step(&list, &nodes, 2), Some(Step::Seat(60)));
        list[5].votes = true;
        assert_eq!(step(&list, &nodes, 2), Some(Step::Dismiss(30)));
        list.remove(2);
        assert_eq!(step(&list, &nodes, 2), None);
    }

    #[test]
    fn a_dead_voter_that_is_back_before_it_has_left_keeps_its_seat() {
        let (list, mut nodes) = (members(6, 6), alive(6));
        assert_eq!(step(&list, &nodes, 2), Some(Step::Unseat(60)), "six vote, and all are there");
        nodes.get_mut(&NodeId(3)).unwrap().standing = Standing::Suspect;
        assert_eq!(step(&list, &nodes, 2), None, "nobody gives up a vote while one does not answer");
        nodes.get_mut(&NodeId(3)).unwrap().standing = Standing::Dead;
        assert_eq!(step(&list, &nodes, 2), Some(Step::Dismiss(30)));
        let led_by_the_last = Seen { members: &list, me: NodeId(6), parity: 2, nodes: alive(6) };
        assert_eq!(next(&led_by_the_last), Some(Step::Unseat(50)), "whoever leads keeps its own");
    }

    #[test]
    fn without_another_node_a_dead_voter_keeps_its_seat() {
        let (list, mut nodes) = (members(5, 5), alive(5));
        nodes.get_mut(&NodeId(2)).unwrap().standing = Standing::Dead;
        assert_eq!(step(&list, &nodes, 2), None);
    }

    #[test]
    fn a_node_with_another_id_gets_its_seat_back_and_unused_ids_go() {
        let (mut list, mut nodes) = (members(5, 5), alive(5));
        list.push(MemberStatus { member: 99, node: NodeId(4), votes: false, matched: None });
        nodes.get_mut(&NodeId(4)).unwrap().member = Some(99);
        assert_eq!(step(&list, &nodes, 2), Some(Step::Seat(99)));
        nodes.get_mut(&NodeId(4)).unwrap().member = Some(120);
        assert_eq!(step(&list, &nodes, 2), Some(Step::Dismiss(99)));
        nodes.get_mut(&NodeId(4)).unwrap().member = Some(40);
        assert_eq!(step(&list, &nodes, 2), None, "an id that was given a moment ago is not taken away again");
    }

    #[test]
    fn who_may_not_vote_or_is_away_is_not_seated() {
        let mut nodes = alive(3);
        nodes.get_mut(&NodeId(2)).unwrap().may_vote = false;
        assert_eq!(step(&members(3, 1), &nodes, 2), None, "two candidates make one voter");
        let mut nodes = alive(4);
        nodes.get_mut(&NodeId(2)).unwrap().standing = Standing::Suspect;
        assert_eq!(step(&members(4, 1), &nodes, 2), Some(Step::Seat(30)));
    }
}
