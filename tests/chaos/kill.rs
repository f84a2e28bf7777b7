//! Kill -9 in the middle of writes, over and over.

use std::time::Duration;

use cairn_harness::Seed;
use cairn_harness::server::Launch;
use rand::RngExt;

use crate::workload::{BUCKET, Memory};
use crate::{CAIRN, long};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_object_survives_kill_9() {
    let rounds = if long() { 200 } else { 20 };
    let home = tempfile::tempdir().unwrap();
    let mut generator = Seed::take("kill -9").generator();
    let mut launch = Launch::dev(CAIRN, &home.path().join("data"));
    let mut memory = Memory::default();
    let mut acknowledged = 0;
    for round in 0..rounds {
        let server = launch.start();
        let s3 = server.s3();
        if round == 0 {
            s3.make_bucket(BUCKET).await.ok();
        }
        memory.verify(&s3).await;
        let patience = Duration::from_millis(generator.random_range(50..700));
        let killer = tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            server.kill()
        });
        acknowledged += memory.write(&s3, &mut generator, 8, 10_000).await;
        launch = killer.await.unwrap();
    }
    let server = launch.start();
    memory.verify(&server.s3()).await;
    server.wait_until_redundant(Duration::from_secs(60));
    assert!(memory.acknowledged() > 0 && acknowledged > rounds, "the test wrote too little to mean anything");
}
