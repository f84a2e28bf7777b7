//! Accidents that a seed would hardly draw, each as a story of its own, with clients at work all the time.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::machine::{Machine, ip};
use super::{BUCKET, HEALING, LOOK, SERVING, World, formed, run};

/// Ten years, in milliseconds.
const TEN_YEARS_MS: i64 = 10 * 365 * 86_400_000;

/// The calendar of the machine that leads is ten years ahead for a while. Afterwards a machine is gone for good: the data is
/// coded anew for those that are left, some seconds after they became too few and not ten years later.
pub fn a_leader_ten_years_ahead() {
    let story = async |world: &World| {
        let ahead = async {
            keep_some(world).await;
            let leader = leader(world).await;
            world.note(&format!("the calendar of machine {} is ten years ahead", leader.number));
            leader.clock.jump(TEN_YEARS_MS);
            sleep(Duration::from_secs(5)).await;
            leader.clock.jump(-TEN_YEARS_MS);
            let gone = &world.machines[(leader.number + 1) % world.machines.len()];
            world.note(&format!("machine {} is gone", gone.number));
            gone.cut();
            let began = Instant::now();
            world.within(HEALING, "the data is coded anew for the machines that are left", reshaped(world, gone)).await;
            world.note(&format!("coded anew after {:?}", began.elapsed()));
            gone.start();
        };
        world.at_work(ahead).await;
    };
    tell(6, story);
}

/// For two minutes nobody hears anybody. The leader sees no renewal and is never told that it leads no more: it must not
/// take that for the silence of the sessions.
pub fn two_minutes_without_a_quorum() {
    let story = async |world: &World| {
        let alone = async {
            let before = sessions(world).await;
            world.note("nobody hears anybody");
            for one in 0..world.machines.len() {
                for other in 0..one {
                    world.site.network.part(ip(one), ip(other));
                }
            }
            sleep(Duration::from_secs(120)).await;
            world.note("everybody hears everybody");
            world.site.network.heal();
            world.within(SERVING, "all serve again", world.all_serve()).await;
            // Longer than a term: what is to end would have ended.
            sleep(Duration::from_secs(30)).await;
            assert_eq!(before, sessions(world).await, "each session goes on");
        };
        world.at_work(alone).await;
    };
    tell(5, story);
}

/// Tells a story on a formed cluster.
fn tell(machines: usize, story: impl AsyncFnOnce(&World)) {
    run(machines as u64, machines, Some(formed(machines)), story);
}

/// Writes objects that nobody overwrites: their stripes do not die by themselves.
async fn keep_some(world: &World) {
    let body = bytes::Bytes::from(vec![7; 300_000]);
    let s3 = world.machines[0].runs().await.s3;
    for number in 0..4 {
        let (status, _) = s3.send("PUT", &format!("/{BUCKET}/kept-{number}"), "", body.clone()).await;
        assert_eq!(status, 200, "nothing is wrong yet");
    }
}

/// The machine that leads the log.
async fn leader(world: &World) -> Rc<Machine> {
    loop {
        for machine in &world.machines {
            let status = machine.runs().await.metadata.status();
            if status.leader == Some(status.voter) {
                return machine.clone();
            }
        }
        sleep(LOOK).await;
    }
}

/// The sessions of all gateways.
async fn sessions(world: &World) -> Vec<cairn_core::SessionId> {
    let mut sessions = Vec::new();
    for machine in &world.machines {
        sessions.push(machine.runs().await.log.session());
    }
    sessions
}

/// The node that counts says that the data is fully redundant without one machine.
async fn reshaped(world: &World, gone: &Machine) {
    let asked = &world.machines[(gone.number + 1) % world.machines.len()];
    let before = asked.runs().await.metadata.status().applied_index.0;
    loop {
        let status = world.status(&asked.runs().await).await.unwrap_or_default();
        let counted = status["data"]["as_of_index"].as_u64().is_some_and(|counted| counted > before);
        let lost =
            status["drives"].as_array().is_some_and(|drives| drives.iter().any(|drive| drive["state"] == "lost"));
        if counted && lost && status["fully_redundant"] == true {
            assert_ne!(status["data"]["stripes_reshaped"], 0, "some were coded for more drives than there are");
            return;
        }
        sleep(LOOK).await;
    }
}
