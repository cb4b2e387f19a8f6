//! A store that can be read and accepts no changes: full, or without its replicas or its disk.

use session_gate_protocol::NotApplied;

use super::*;

fn refuse(faults: &Faults, refuses: bool) {
    faults.refuses.store(refuses, Ordering::Relaxed);
}

/// Polls for so long, and returns the greatest age that it was told.
async fn follow(feed: &Feed, worker: &str, duration: Duration) -> u64 {
    let start = Instant::now();
    let mut known: Option<FeedPosition> = None;
    let mut oldest = 0;
    while start.elapsed() < duration {
        let reply = feed.poll(&query(worker, known.as_ref(), Duration::ZERO)).await.unwrap();
        oldest = oldest.max(reply.age_ms);
        known = Some(FeedPosition { epoch: reply.epoch.id, at: reply.cursor });
        sleep(Duration::from_millis(100)).await;
    }
    oldest
}

#[tokio::test(start_paused = true)]
async fn workers_stay_current_for_as_long_as_it_lasts() {
    let store = memory_store();
    let (feed, faults) = replica(&store, "here");
    follow(&feed, "w", Duration::from_millis(200)).await;
    refuse(&faults, true);
    assert!(follow(&feed, "w", Duration::from_secs(60)).await < 100);
    assert!(feed.append(&[revoked(1)]).await.is_err());
    // What another has told is heard of, and judged by.
    store.append_feed(&[revoked(2)]).await.unwrap();
    feed.catch_up(Instant::now(), Duration::from_millis(50)).await.unwrap();
    assert!(feed.is_revoked(&"t2".parse().unwrap()).unwrap());
    refuse(&faults, false);
    assert!(follow(&feed, "w", Duration::from_secs(10)).await < 100);
}

/// The first to write could count the others out, before they have tried again.
#[tokio::test(start_paused = true)]
async fn workers_stay_current_where_it_accepts_changes_for_a_moment() {
    let store = memory_store();
    let ((here, here_faults), (there, there_faults)) = (replica(&store, "here"), replica(&store, "there"));
    follow(&there, "w", Duration::from_millis(200)).await;
    refuse(&here_faults, true);
    refuse(&there_faults, true);
    assert!(follow(&there, "w", Duration::from_secs(5)).await < 100);
    let writes = async {
        refuse(&here_faults, false);
        // More than one record: a new worker is told of at once.
        sleep(Duration::from_millis(60)).await;
        here.poll(&query("new", None, Duration::ZERO)).await.unwrap();
        sleep(Duration::from_millis(60)).await;
        let records = store.followers().await.unwrap();
        let written = records.iter().find(|record| record.replica == "here").unwrap();
        assert!(written.followers.workers.iter().any(|worker| worker.worker == "new"), "{written:?}");
        refuse(&here_faults, true);
    };
    let (oldest, ()) = tokio::join!(follow(&there, "w", Duration::from_secs(5)), writes);
    assert!(oldest < 100, "{oldest}");
    // Where it is more than a moment, whoever is still silent is counted out.
    refuse(&here_faults, false);
    sleep(2 * RECORD_LIVES).await;
    let records = store.followers().await.unwrap();
    assert!(records.iter().all(|record| record.gone == (record.replica == "there")), "{records:?}");
}

/// Nobody else can know of it.
#[tokio::test(start_paused = true)]
async fn a_new_worker_is_told_all_there_is_at_once_but_may_not_trust_it() {
    let store = memory_store();
    let (feed, faults) = replica(&store, "here");
    feed.append(&[revoked(1)]).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    refuse(&faults, true);
    sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    let reply = feed.poll(&query("w", None, Duration::ZERO)).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(reply.age_ms > 1_000 && reply.ended.0.len() == 1 && !reply.more, "{reply:?}");
    refuse(&faults, false);
    sleep(Duration::from_millis(100)).await;
    let known = FeedPosition { epoch: reply.epoch.id, at: reply.cursor };
    assert!(feed.poll(&query("w", Some(&known), Duration::ZERO)).await.unwrap().age_ms < 100);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_starts_meanwhile_reads_and_judges_but_vouches_for_nothing() {
    let store = memory_store();
    store.append_feed(&[revoked(1)]).await.unwrap();
    let (feed, faults) = replica(&store, "fresh");
    refuse(&faults, true);
    feed.catch_up(Instant::now(), Duration::from_millis(50)).await.unwrap();
    assert!(feed.is_revoked(&"t1".parse().unwrap()).unwrap());
    let reply = feed.poll(&query("w", None, Duration::ZERO)).await.unwrap();
    assert!(reply.age_ms > 1_000 && reply.ended.0.len() == 1, "{reply:?}");
    refuse(&faults, false);
    assert!(follow(&feed, "w", Duration::from_secs(1)).await > 1_000);
    assert!(follow(&feed, "w", Duration::from_secs(1)).await < 100);
}

/// Whoever can write marks it as gone, and from then on its workers are told nothing that they may trust.
#[tokio::test(start_paused = true)]
async fn a_replica_that_was_counted_out_vouches_for_nothing_until_it_is_counted_in() {
    let store = memory_store();
    let (there, faults) = replica(&store, "there");
    follow(&there, "w", Duration::from_millis(200)).await;
    refuse(&faults, true);
    assert!(follow(&there, "w", Duration::from_secs(5)).await < 100);
    let start = Instant::now();
    let (here, _) = replica(&store, "here");
    sleep(Duration::from_millis(200)).await;
    let at = here.append(&[revoked(1)]).await.unwrap();
    assert!(here.receipt(at).await.applied);
    assert!(start.elapsed() >= TRUST, "{:?}", start.elapsed());
    let records = store.followers().await.unwrap();
    assert!(records.iter().all(|record| record.replica == "here" || record.gone), "{records:?}");
    let reply = there.poll(&query("w", None, Duration::ZERO)).await.unwrap();
    assert!(reply.age_ms > 1_000, "{reply:?}");
    refuse(&faults, false);
    sleep(Duration::from_millis(100)).await;
    assert!(follow(&there, "w", Duration::from_secs(1)).await < 100);
}

/// A replica that had no record may have answered questions about single tokens, and now says who asked.
#[tokio::test(start_paused = true)]
async fn nobody_is_told_that_all_know_while_it_lasts_nor_for_a_minute_after() {
    let store = memory_store();
    let (feed, faults) = replica(&store, "here");
    sleep(Duration::from_millis(100)).await;
    let at = feed.append(&[revoked(1)]).await.unwrap();
    assert!(feed.receipt(at).await.applied);
    refuse(&faults, true);
    sleep(Duration::from_secs(1)).await;
    let receipt = feed.receipt(at).await;
    assert_eq!((receipt.applied, receipt.reason), (false, Some(NotApplied::StoreRecovering)));
    refuse(&faults, false);
    let start = Instant::now();
    while !feed.receipt(at).await.applied {
        assert!(start.elapsed() < 2 * MAX_STALENESS);
    }
    assert!(start.elapsed() >= MAX_STALENESS, "{:?}", start.elapsed());
}

/// As long as nobody can be marked as gone.
#[tokio::test(start_paused = true)]
async fn a_replica_that_has_fallen_silent_is_waited_for_until_it_is_marked_as_gone() {
    let store = memory_store();
    let (there, faults) = replica(&store, "there");
    follow(&there, "w", Duration::from_millis(200)).await;
    faults.hangs.store(true, Ordering::Relaxed);
    let (here, here_faults) = replica(&store, "here");
    sleep(Duration::from_millis(300)).await;
    let at = here.append(&[revoked(1)]).await.unwrap();
    here_faults.fail(Some("publish_followers"));
    sleep(Duration::from_secs(5)).await;
    let view = here.shared.view(store.followers().await.unwrap());
    assert_eq!(view.lacks(at, MAX_STALENESS), Some(NotApplied::ReplicaSilent));
    here_faults.fail(None);
    let start = Instant::now();
    assert!(here.receipt(at).await.applied);
    assert!(start.elapsed() >= TRUST && start.elapsed() < 2 * TRUST, "{:?}", start.elapsed());
}
