//! What is declared lost, what is held back, and what comes back.

use cairn_core::{LogIndex, WallTime};

use super::*;

/// A cluster with as many drives on each node as asked; nodes count from 1, drives are node * 10 + n.
struct Cluster {
    standings: Standings,
    zones: BTreeMap<NodeId, String>,
    drives: BTreeMap<DriveId, DriveRow>,
    answering: BTreeSet<DriveId>,
    standard: Geometry,
}

impl Cluster {
    fn new(nodes: u64, drives_each: u64, standard: &str) -> Self {
        let row = |node| DriveRow {
            node,
            weight: 1,
            state: DriveState::Active,
            since: LogIndex(1),
            changed: WallTime(0),
            label: String::new(),
        };
        let places = (1..=nodes).flat_map(|node| (0..drives_each).map(move |drive| (node, drive)));
        Self {
            standings: (1..=nodes).map(|node| (NodeId(node), NodeStanding::Alive)).collect(),
            zones: (1..=nodes).map(|node| (NodeId(node), String::new())).collect(),
            drives: places.map(|(node, drive)| (DriveId(node * 10 + drive), row(NodeId(node)))).collect(),
            answering: BTreeSet::new(),
            standard: standard.parse().unwrap(),
        }
    }

    fn stands(&mut self, nodes: &[u64], standing: NodeStanding) {
        self.standings.extend(nodes.iter().map(|&node| (NodeId(node), standing)));
    }

    fn judge(&self) -> Verdict {
        let Self { standings, zones, drives, answering, standard } = self;
        judge(&Picture { standings, zones, drives, answering, standard: *standard })
    }

    /// Judges, and does what was judged.
    fn step(&mut self) -> Vec<(u64, DriveState)> {
        let verdict = self.judge();
        for change in &verdict.changes {
            self.drives.get_mut(&change.drive).unwrap().state = change.to;
        }
        verdict.changes.iter().map(|change| (change.drive.0, change.to)).collect()
    }
}

#[test]
fn drives_of_the_dead_are_lost_and_those_of_suspects_are_not() {
    let mut cluster = Cluster::new(6, 1, "4+2");
    cluster.stands(&[2, 5], NodeStanding::Suspect);
    assert_eq!(cluster.judge(), Verdict::default(), "suspicion moves nothing");
    cluster.stands(&[2], NodeStanding::Dead);
    assert_eq!(cluster.step(), [(20, DriveState::Lost)]);
    cluster.stands(&[5], NodeStanding::Dead);
    assert_eq!(cluster.step(), [(50, DriveState::Lost)]);
    assert_eq!(cluster.judge(), Verdict::default(), "what was declared is not declared again");
}

#[test]
fn when_more_vanish_at_once_than_data_survives_nothing_is_declared() {
    let mut cluster = Cluster::new(6, 1, "4+2");
    cluster.stands(&[1, 2, 3], NodeStanding::Dead);
    let nodes = vec![NodeId(1), NodeId(2), NodeId(3)];
    let held = Held::TooManySilent { nodes: nodes.clone(), domains: 3, most: 2 };
    assert_eq!(cluster.judge(), Verdict { changes: Vec::new(), held: Some(held.clone()) });
    // One of the three crossed the grace time a moment later.
    cluster.stands(&[3], NodeStanding::Suspect);
    assert_eq!(cluster.judge().held, Some(held));
    // It was a machine, and not a switch: one of them is back.
    cluster.stands(&[3], NodeStanding::Alive);
    assert_eq!(cluster.step(), [(10, DriveState::Lost), (20, DriveState::Lost)]);
    assert_eq!(cluster.judge().held, None);
}

#[test]
fn those_that_vanish_after_others_were_declared_are_judged_for_themselves() {
    let mut cluster = Cluster::new(7, 1, "4+2");
    cluster.stands(&[1, 2], NodeStanding::Dead);
    assert_eq!(cluster.step().len(), 2);
    cluster.stands(&[3], NodeStanding::Dead);
    assert_eq!(cluster.step(), [(30, DriveState::Lost)]);
    cluster.stands(&[4], NodeStanding::Dead);
    assert_eq!(cluster.step(), [(40, DriveState::Lost)]);
    cluster.stands(&[5], NodeStanding::Dead);
    let held = cluster.judge().held;
    assert_eq!(held, Some(Held::TooFewLeft { left: 2, least: 3 }), "1+2 needs three drives");
}

#[test]
fn a_node_counts_once_however_many_drives_it_has_and_a_zone_however_many_nodes() {
    let mut cluster = Cluster::new(4, 3, "4+2");
    cluster.stands(&[1, 4], NodeStanding::Dead);
    assert_eq!(cluster.step().len(), 6);
    let mut cluster = Cluster::new(9, 1, "6+2");
    for node in 1..=9 {
        cluster.zones.insert(NodeId(node), format!("zone {}", (node - 1) / 3));
    }
    cluster.stands(&[1, 2, 3], NodeStanding::Dead);
    assert_eq!(cluster.step().len(), 3, "one zone");
    let mut cluster = Cluster::new(9, 1, "6+2");
    cluster.stands(&[1, 2, 3], NodeStanding::Dead);
    assert!(cluster.step().is_empty(), "three nodes of one zone, which says nothing");
}

#[test]
fn a_lost_drive_comes_back_when_its_node_lives_and_it_answers() {
    let mut cluster = Cluster::new(6, 1, "4+2");
    cluster.stands(&[2, 3], NodeStanding::Dead);
    cluster.step();
    cluster.answering.insert(DriveId(20));
    assert!(cluster.step().is_empty(), "its node is still dead, whoever answered");
    cluster.stands(&[2, 3], NodeStanding::Alive);
    assert_eq!(cluster.step(), [(20, DriveState::Active)], "the other one does not answer yet");
    cluster.answering.insert(DriveId(30));
    assert_eq!(cluster.step(), [(30, DriveState::Active)]);
    for row in cluster.drives.values_mut() {
        row.state = DriveState::Removed;
    }
    assert!(cluster.step().is_empty(), "from there no road leads back");
}

#[test]
fn drives_come_back_while_others_are_held() {
    let mut cluster = Cluster::new(6, 1, "4+2");
    cluster.stands(&[2], NodeStanding::Dead);
    cluster.step();
    cluster.stands(&[2], NodeStanding::Alive);
    cluster.stands(&[4, 5, 6], NodeStanding::Dead);
    cluster.answering.insert(DriveId(20));
    let verdict = cluster.judge();
    assert_eq!(verdict.changes.len(), 1);
    assert!(verdict.held.unwrap().to_string().contains("3 nodes or zones"));
}

#[test]
fn a_node_that_nobody_has_heard_of_gets_its_grace_and_the_own_node_is_alive() {
    let cluster = Cluster::new(3, 1, "2+1");
    let (own, grace) = (NodeId(1), Duration::from_secs(10));
    let heard = Standings::from([(NodeId(2), NodeStanding::Alive), (NodeId(9), NodeStanding::Dead)]);
    let after = |seconds| complete(&heard, &cluster.drives, own, Duration::from_secs(seconds), grace);
    let expected =
        |third| Standings::from([(own, NodeStanding::Alive), (NodeId(2), NodeStanding::Alive), (NodeId(3), third)]);
    assert_eq!(after(9), expected(NodeStanding::Suspect));
    assert_eq!(after(10), expected(NodeStanding::Dead));
}
