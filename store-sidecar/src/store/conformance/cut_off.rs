//! Promises on how all sessions of a user end at once.

use std::sync::Arc;

use serde_json::json;
use session_gate_protocol::{CheckVerdict, SessionData, SessionId, SessionStatus};

use super::{
    Harness, LIFETIME, SETTINGS, Store, StoreSettings, check, create, end_all, get, id, idle_after, op, plain, secs,
    update, user,
};
use crate::store::{Admission, Admitted, Beginning, SWEEP_BATCH};

/// So that everybody can be told first.
pub async fn a_cut_off_that_has_only_begun_ends_nothing<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    let before = create(store, plain(&alice, 1)).await;
    let begun = store.begin_cut_off(&alice, None, 0).await.unwrap();
    assert_eq!((begun.before, begun.listed), (before.generation + 1, 1));
    assert_eq!(begun.latest_expiry, before.expires_at);
    assert!(begun.now >= before.created_at && begun.except.is_none());
    let after = create(store, plain(&alice, 2)).await;
    assert_eq!(after.generation, begun.before);
    for session in [before, after] {
        assert_eq!(check(store, &alice, &session.session_id).await, CheckVerdict::Live);
        assert_eq!(get(store, &session.session_id).await, session);
    }
}

/// In the same second too; of whatever status, and of nobody else's.
pub async fn a_cut_off_ends_what_began_before_it_and_nothing_else<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let (alice, bob) = (user("alice"), user("bob"));
    for number in 1..=4 {
        create(store, plain(&alice, number)).await;
    }
    update(store, &id(&alice, 2), json!({ "status": "suspended" })).await;
    let bobs = create(store, plain(&bob, 1)).await;
    let begun = store.begin_cut_off(&alice, None, 0).await.unwrap();
    let during = create(store, plain(&alice, 5)).await;
    store.finish_cut_off(&alice, begun.before, None).await.unwrap();
    let after = create(store, plain(&alice, 6)).await;
    for number in 1..=4 {
        let ended = id(&alice, number);
        assert_eq!(check(store, &alice, &ended).await, CheckVerdict::SessionTerminated);
        assert_eq!(get(store, &ended).await.status, SessionStatus::Terminated);
        let refused =
            store.update_session(&ended, &super::patch(json!({ "location": "CH" })), None, op()).await.unwrap();
        assert!(matches!(refused, crate::store::Update::Ended(_)), "{refused:?}");
        let again = store.terminate_session(&ended, op()).await.unwrap();
        assert_eq!(again, crate::store::Termination::AlreadyEnded);
    }
    assert_eq!(check(store, &bob, &bobs.session_id).await, CheckVerdict::Live);
    let mut live = store.user_sessions(&alice).await.unwrap();
    live.sort_by_key(|session| session.session_id.clone());
    assert_eq!(live, [during, after]);
}

/// Whoever asks learns the same before and after, and after the list has been swept.
pub async fn what_had_expired_before_a_cut_off_stays_expired<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    let (idle, over, live) = (id(&alice, 1), id(&alice, 2), id(&alice, 3));
    create(store, idle_after(&alice, 1, 5)).await;
    create(store, crate::store::CreateSession { duration: secs(10), ..plain(&alice, 2) }).await;
    create(store, plain(&alice, 3)).await;
    harness.pass(secs(20)).await;
    let expected = [
        (&idle, CheckVerdict::SessionExpired, SessionStatus::Expired),
        (&over, CheckVerdict::SessionExpired, SessionStatus::Expired),
        (&live, CheckVerdict::SessionTerminated, SessionStatus::Terminated),
    ];
    end_all(store, &alice).await;
    for is_swept in [false, true] {
        if is_swept {
            store.sweep_sessions(&alice, None).await.unwrap();
        }
        for (session, verdict, status) in expected {
            assert_eq!(check(store, &alice, session).await, verdict, "{session}, swept: {is_swept}");
            assert_eq!(get(store, session).await.status, status, "{session}, swept: {is_swept}");
        }
    }
    // And what a cut-off has ended stays so, once it is swept.
    harness.pass(LIFETIME).await;
    assert_eq!(get(store, &live).await.status, SessionStatus::Terminated);
}

/// Until a later cut-off; and only a live session of the user's own can be.
pub async fn the_one_that_is_spared_goes_on<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let (alice, bob) = (user("alice"), user("bob"));
    for number in 1..=3 {
        create(store, plain(&alice, number)).await;
    }
    let bobs = create(store, plain(&bob, 1)).await;
    store.terminate_session(&id(&alice, 3), op()).await.unwrap();
    for none in [&id(&alice, 3), &id(&alice, 9), &bobs.session_id] {
        let begun = store.begin_cut_off(&alice, Some(none), 0).await.unwrap();
        assert_eq!((begun.beginning, begun.except), (Beginning::None, None), "{none}");
    }
    let generation = get(store, &id(&alice, 1)).await.generation;
    let begun = store.begin_cut_off(&alice, Some(&id(&alice, 1)), 0).await.unwrap();
    assert_eq!((begun.beginning, begun.before), (Beginning::New, generation + 1), "the ones before have not begun");
    assert_eq!(begun.except, Some(id(&alice, 1)));
    store.finish_cut_off(&alice, begun.before, Some(&id(&alice, 1))).await.unwrap();
    assert_eq!(check(store, &alice, &id(&alice, 1)).await, CheckVerdict::Live);
    assert_eq!(get(store, &id(&alice, 1)).await.generation, begun.before);
    assert_eq!(check(store, &alice, &id(&alice, 2)).await, CheckVerdict::SessionTerminated);
    // What has ended is not brought back by being spared.
    let again = store.begin_cut_off(&alice, Some(&id(&alice, 2)), 0).await.unwrap();
    assert_eq!(again.beginning, Beginning::None);
    assert_eq!(check(store, &alice, &id(&alice, 1)).await, CheckVerdict::Live, "that one has not begun");
    let again = end_all(store, &alice).await;
    store.finish_cut_off(&alice, again, Some(&id(&alice, 2))).await.unwrap();
    for number in 1..=3 {
        assert_eq!(check(store, &alice, &id(&alice, number)).await, CheckVerdict::SessionTerminated);
    }
    assert_eq!(check(store, &bob, &bobs.session_id).await, CheckVerdict::Live);
}

/// A caller may not know whether a step was done, and does it again.
pub async fn a_repeated_or_late_step_changes_nothing<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    create(store, plain(&alice, 1)).await;
    let first = store.begin_cut_off(&alice, None, 0).await.unwrap().before;
    let second = store.begin_cut_off(&alice, None, 0).await.unwrap().before;
    assert!(second > first);
    store.finish_cut_off(&alice, second, None).await.unwrap();
    let after = create(store, plain(&alice, 2)).await;
    for before in [second, first, second] {
        store.finish_cut_off(&alice, before, None).await.unwrap();
        assert_eq!(check(store, &alice, &after.session_id).await, CheckVerdict::Live);
        assert_eq!(check(store, &alice, &id(&alice, 1)).await, CheckVerdict::SessionTerminated);
    }
    assert_eq!(store.begin_cut_off(&alice, None, 0).await.unwrap().before, second + 1);
}

/// A session that is created meanwhile has either ended, or is listed and ends with the next call.
pub async fn no_session_slips_through_a_cut_off<H: Harness>() {
    let harness = Arc::new(H::start(SETTINGS).await);
    let alice = user("alice");
    let created = (0..24).map(|number| {
        let (harness, new) = (Arc::clone(&harness), plain(&alice, number));
        tokio::spawn(async move { drop(create(harness.store(), new).await) })
    });
    let ending = (0..6).map(|_| {
        let (harness, alice) = (Arc::clone(&harness), alice.clone());
        tokio::spawn(async move {
            end_all(harness.store(), &alice).await;
        })
    });
    // Mixed, so that they meet.
    let mut tasks: Vec<_> = created.chain(ending).collect();
    tasks.rotate_left(12);
    for task in tasks {
        task.await.unwrap();
    }
    let listed = harness.store().user_sessions(&alice).await.unwrap();
    for number in 0..24 {
        let live = check(harness.store(), &alice, &id(&alice, number)).await == CheckVerdict::Live;
        assert_eq!(live, listed.iter().any(|session| session.session_id == id(&alice, number)));
    }
    end_all(harness.store(), &alice).await;
    for number in 0..24 {
        let verdict = check(harness.store(), &alice, &id(&alice, number)).await;
        assert_eq!(verdict, CheckVerdict::SessionTerminated);
    }
}

/// Steps of several callers, mixed at random: of each session it is known what must have become of it.
pub async fn in_any_order_exactly_the_sessions_that_began_after_it_live<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    for seed in 1..=6_u32 {
        let alice = user(&format!("alice {seed}"));
        let (mut sessions, mut begun) = (Vec::<SessionData>::new(), Vec::<u64>::new());
        let first = create(store, plain(&alice, u8::MAX)).await;
        let (mut generation, mut ended_before, mut random) = (first.generation, 0, seed);
        sessions.push(first);
        for number in 0..40_u8 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match (random >> 16) % 4 {
                0 | 1 => {
                    let session = create(store, plain(&alice, number)).await;
                    assert_eq!(session.generation, generation);
                    sessions.push(session);
                }
                2 => {
                    generation += 1;
                    assert_eq!(store.begin_cut_off(&alice, None, 0).await.unwrap().before, generation);
                    begun.push(generation);
                }
                _ => {
                    // Any of them, and each maybe several times.
                    let Some(len) = u32::try_from(begun.len()).ok().filter(|len| *len > 0) else { continue };
                    let before = begun[usize::try_from((random >> 20) % len).unwrap()];
                    store.finish_cut_off(&alice, before, None).await.unwrap();
                    ended_before = ended_before.max(before);
                }
            }
            if number % 8 == 7 {
                for session in &sessions {
                    let is_live = check(store, &alice, &session.session_id).await == CheckVerdict::Live;
                    assert_eq!(is_live, session.generation >= ended_before, "seed {seed}, step {number}");
                }
                let live = sessions.iter().filter(|session| session.generation >= ended_before).count();
                assert_eq!(store.user_sessions(&alice).await.unwrap().len(), live, "seed {seed}, step {number}");
            }
        }
    }
}

/// The counter begins anew, but not below what everybody knows to have ended.
pub async fn who_logs_in_after_a_loss_is_not_dead_at_birth<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    let old = create(store, plain(&alice, 1)).await;
    let floor = old.generation + 7;
    let admission = Admission { floor, ..Admission::default() };
    let Admitted::Created { session: new, .. } = store.admit_session(plain(&alice, 2), &admission, op()).await.unwrap()
    else {
        panic!("there is no bound")
    };
    assert_eq!(new.generation, floor);
    assert_eq!(check(store, &alice, &new.session_id).await, CheckVerdict::Live);
    assert_eq!(check(store, &alice, &old.session_id).await, CheckVerdict::SessionTerminated, "as everybody knows");
    assert_eq!(store.begin_cut_off(&alice, None, floor - 4).await.unwrap().before, floor + 1);
    assert_eq!(store.begin_cut_off(&alice, None, floor + 13).await.unwrap().before, floor + 14);
}

/// By then no session is left of before, nor a token.
pub async fn a_cut_off_is_known_for_as_long_as_it_could_matter<H: Harness>() {
    let harness = H::start(StoreSettings { retention: secs(1), ..SETTINGS }).await;
    let store = harness.store();
    let alice = user("alice");
    let first = create(store, plain(&alice, 1)).await;
    assert_eq!(end_all(store, &alice).await, first.generation + 1);
    harness.pass(LIFETIME - secs(100)).await;
    let later = create(store, plain(&alice, 2)).await;
    assert_eq!(later.generation, first.generation + 1);
    // It counts from the last session, and then for as long as a token may be accepted.
    harness.pass(LIFETIME + SETTINGS.feed_horizon - secs(100)).await;
    assert_eq!(create(store, plain(&alice, 3)).await.generation, later.generation);
    harness.pass(LIFETIME + SETTINGS.feed_horizon + secs(100)).await;
    // Whoever still remembers it must not take a new session for one of before.
    assert!(create(store, plain(&alice, 4)).await.generation >= later.generation);
}

/// They are dead before that; but for the list nobody needs them.
pub async fn what_was_cut_off_is_swept_in_batches<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    let count = SWEEP_BATCH + SWEEP_BATCH / 2;
    let many = |number: usize| {
        let mut bytes = [0; 32];
        bytes[0] = u8::try_from(number % 256).unwrap();
        bytes[1] = u8::try_from(number / 256).unwrap();
        SessionId::new(&alice, &bytes)
    };
    for number in 0..count {
        create(store, crate::store::CreateSession { id: many(number), ..plain(&alice, 0) }).await;
    }
    let spared = many(17);
    let begun = store.begin_cut_off(&alice, Some(&spared), 0).await.unwrap();
    assert_eq!(begun.listed, count as u64);
    store.finish_cut_off(&alice, begun.before, Some(&spared)).await.unwrap();
    let first = store.sweep_sessions(&alice, None).await.unwrap();
    assert!(first.removed + 1 >= SWEEP_BATCH as u64 && first.next.is_some(), "{first:?}");
    let second = store.sweep_sessions(&alice, first.next.as_ref()).await.unwrap();
    assert_eq!((first.removed + second.removed, second.next), (count as u64 - 1, None));
    assert_eq!(store.begin_cut_off(&alice, None, 0).await.unwrap().listed, 1);
    assert_eq!(check(store, &alice, &many(3)).await, CheckVerdict::SessionTerminated);
    assert_eq!(check(store, &alice, &spared).await, CheckVerdict::Live);
}
