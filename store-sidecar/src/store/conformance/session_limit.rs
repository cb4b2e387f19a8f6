//! Promises on how many sessions a user may have.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;
use session_gate_protocol::{CheckVerdict, SessionId, SessionStatus, UserId, WhenFull};

use super::{
    Harness, LIFETIME, SETTINGS, Store, StoreSettings, check, create, end_all, get, id, idle_after, op, plain, secs,
    update, user,
};
use crate::store::{
    Admission, Admitted, CreateSession, EVICTIONS_OVERDUE, EndedSession, MAX_ENDED, OperationId, Rotation, SessionLimit,
};

pub(super) const DENY: WhenFull = WhenFull::Deny;
pub(super) const EVICT: WhenFull = WhenFull::EvictOldest;

pub(super) fn limit(max: usize, when_full: WhenFull) -> Admission {
    Admission { limit: Some(SessionLimit { max, when_full }), ..Admission::default() }
}

/// Asks until the store has decided, as a sidecar does. Returns also what ended by the way.
async fn admit_by(
    store: &impl Store,
    new: CreateSession,
    mut admission: Admission,
    op: OperationId,
) -> (Admitted, Vec<EndedSession>) {
    let user = new.session.user_id.clone();
    let mut all = Vec::new();
    loop {
        match store.admit_session(new.clone(), &admission, op).await.unwrap() {
            Admitted::Unknown(known) => admission.known = known,
            Admitted::NotNoted => {
                store.note_evictions(&user, op).await.unwrap();
                admission.is_noted = true;
            }
            Admitted::Partly(ended) => {
                all.extend(ended);
                store.evictions_told(&user, op).await.unwrap();
                (admission.is_noted, admission.known) = (false, Vec::new());
            }
            admitted => {
                if let Admitted::Created { ended, .. } | Admitted::Full(ended) = &admitted {
                    all.extend(ended.clone());
                }
                store.evictions_told(&user, op).await.unwrap();
                return (admitted, all);
            }
        }
    }
}

/// The same for a plain session. Returns whether it was made, and which others ended.
pub(super) async fn admit(
    store: &impl Store,
    user: &UserId,
    number: u8,
    admission: Admission,
) -> (bool, Vec<SessionId>) {
    let (admitted, ended) = admit_by(store, plain(user, number), admission, op()).await;
    let is_made = matches!(admitted, Admitted::Created { .. });
    (is_made, ended.into_iter().map(|one| one.id).collect())
}

async fn live(store: &impl Store, user: &UserId) -> HashSet<SessionId> {
    store.user_sessions(user).await.unwrap().into_iter().map(|session| session.session_id).collect()
}

fn ids<const N: usize>(user: &UserId, numbers: [u8; N]) -> HashSet<SessionId> {
    numbers.map(|number| id(user, number)).into()
}

/// Nothing is made, nothing ends, and others go on.
pub async fn who_is_denied_changes_nothing<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice, bob) = (harness.store(), user("alice"), user("bob"));
    for number in 1..=3 {
        assert_eq!(admit(store, &alice, number, limit(3, DENY)).await, (true, vec![]));
    }
    assert_eq!(admit(store, &alice, 4, limit(3, DENY)).await, (false, vec![]));
    assert_eq!(store.session(&id(&alice, 4)).await.unwrap(), None);
    assert_eq!(live(store, &alice).await, ids(&alice, [1, 2, 3]));
    assert_eq!(admit(store, &bob, 4, limit(3, DENY)).await, (true, vec![]));
    // Whoever is suspended has not left.
    update(store, &id(&alice, 1), json!({ "status": "suspended" })).await;
    assert_eq!(admit(store, &alice, 5, limit(3, DENY)).await, (false, vec![]));
    store.terminate_session(&id(&alice, 2), op()).await.unwrap();
    assert_eq!(admit(store, &alice, 6, limit(3, DENY)).await, (true, vec![]));
    assert_eq!(live(store, &alice).await, ids(&alice, [1, 3, 6]));
}

/// Of two the one that was created first; no more than needed; at once.
pub async fn the_least_recently_used_session_ends_for_a_new_one<H: Harness>() {
    let harness = H::start(StoreSettings { activity_resolution: secs(1), ..SETTINGS }).await;
    let (store, alice) = (harness.store(), user("alice"));
    // The ids are in no order of theirs.
    for number in [7, 2, 5] {
        create(store, plain(&alice, number)).await;
    }
    harness.pass(secs(100)).await;
    store.touch(&[id(&alice, 7)]).await.unwrap();
    let (is_made, ended) = admit(store, &alice, 1, limit(3, EVICT)).await;
    assert_eq!((is_made, ended), (true, vec![id(&alice, 2)]), "made before the other, and not used since");
    assert_eq!(check(store, &alice, &id(&alice, 2)).await, CheckVerdict::SessionTerminated);
    assert_eq!(admit(store, &alice, 3, limit(3, EVICT)).await, (true, vec![id(&alice, 5)]));
    harness.pass(secs(100)).await;
    store.touch(&[id(&alice, 1)]).await.unwrap();
    // Both were used in the same second: the one that was created first goes first, whatever its id.
    assert_eq!(admit(store, &alice, 4, limit(3, EVICT)).await.1, [id(&alice, 7)]);
    assert_eq!(live(store, &alice).await, ids(&alice, [1, 3, 4]));
    let ended = get(store, &id(&alice, 7)).await;
    assert_eq!((ended.status, ended.user_agent), (SessionStatus::Terminated, None));
}

/// And the caller knows how many are too many.
pub async fn who_is_only_told_keeps_all<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    for (number, expected) in [(1, 0), (2, 0), (3, 1), (4, 2)] {
        let (admitted, ended) = admit_by(store, plain(&alice, number), limit(2, WhenFull::Notify), op()).await;
        let Admitted::Created { beyond, .. } = admitted else { panic!("{admitted:?}") };
        assert_eq!((beyond, ended), (expected, vec![]));
    }
    assert_eq!(live(store, &alice).await, ids(&alice, [1, 2, 3, 4]));
}

/// Or nobody would tell of it, if the caller died.
pub async fn nothing_ends_that_was_not_noted<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    create(store, plain(&alice, 1)).await;
    let mut admission = limit(1, EVICT);
    for _ in 0..3 {
        match store.admit_session(plain(&alice, 2), &admission, op()).await.unwrap() {
            Admitted::Unknown(known) => admission.known = known,
            refused => assert_eq!(refused, Admitted::NotNoted),
        }
    }
    assert_eq!(live(store, &alice).await, ids(&alice, [1]));
}

async fn fifty_at_once<H: Harness>(harness: &Arc<H>, when_full: WhenFull) -> Vec<(u8, bool, Vec<SessionId>)> {
    let logins = (0..50).map(|number| {
        let harness = Arc::clone(harness);
        tokio::spawn(async move {
            let (is_made, ended) = admit(harness.store(), &user("alice"), number, limit(3, when_full)).await;
            (number, is_made, ended)
        })
    });
    let watching = Arc::clone(harness);
    let watcher = tokio::spawn(async move {
        loop {
            let found = live(watching.store(), &user("alice")).await.len();
            assert!(found <= 3, "{found} at once");
            tokio::task::yield_now().await;
        }
    });
    let mut all = Vec::new();
    for login in logins.collect::<Vec<_>>() {
        all.push(login.await.unwrap());
    }
    watcher.abort();
    assert!(watcher.await.unwrap_err().is_cancelled(), "never more than three");
    all
}

/// And all others are refused.
pub async fn of_fifty_logins_at_once_as_many_are_made_as_allowed<H: Harness>() {
    let harness = Arc::new(H::start(SETTINGS).await);
    let logins = fifty_at_once(&harness, DENY).await;
    let made: HashSet<_> =
        logins.iter().filter(|(_, is_made, _)| *is_made).map(|(number, ..)| id(&user("alice"), *number)).collect();
    assert_eq!(made.len(), 3);
    assert!(logins.iter().all(|(.., ended)| ended.is_empty()));
    assert_eq!(live(harness.store(), &user("alice")).await, made);
}

/// Each was made, and each but the last three ended once, in the order in which they were made.
pub async fn of_fifty_logins_at_once_the_last_made_live<H: Harness>() {
    let harness = Arc::new(H::start(SETTINGS).await);
    let alice = user("alice");
    let logins = fifty_at_once(&harness, EVICT).await;
    assert!(logins.iter().all(|(_, is_made, _)| *is_made));
    let ended: Vec<_> = logins.iter().flat_map(|(.., ended)| ended.clone()).collect();
    let left = live(harness.store(), &alice).await;
    assert_eq!((ended.len(), left.len()), (47, 3), "no more than needed");
    let all: HashSet<_> = ended.into_iter().chain(left.clone()).collect();
    assert_eq!(all.len(), 50, "each once");
    // Those that were ended for a session were made before it; so no session that was left ended another that is later.
    let latest = left.iter().map(|one| logins.iter().position(|(number, ..)| id(&alice, *number) == *one).unwrap());
    for ended_by_last in latest.flat_map(|at| logins[at].2.clone()) {
        assert!(!left.contains(&ended_by_last));
    }
    // With one login after the other it can be seen which are the last.
    for number in 60..70 {
        assert_eq!(admit(harness.store(), &alice, number, limit(3, EVICT)).await.1.len(), 1);
    }
    assert_eq!(live(harness.store(), &alice).await, ids(&alice, [67, 68, 69]));
}

/// With the next login, not one by one; more than one step can end, too.
pub async fn a_lowered_limit_ends_all_that_is_too_much<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice, bob) = (harness.store(), user("alice"), user("bob"));
    for number in 1..=10 {
        create(store, plain(&alice, number)).await;
    }
    let (is_made, ended) = admit(store, &alice, 11, limit(3, EVICT)).await;
    assert!(is_made);
    assert_eq!(ended.iter().cloned().collect::<HashSet<_>>(), ids(&alice, [1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!(live(store, &alice).await, ids(&alice, [9, 10, 11]));
    let many = |number: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
        SessionId::new(&bob, &bytes)
    };
    let count = MAX_ENDED + 10;
    for number in 0..count {
        create(store, CreateSession { id: many(number), ..plain(&bob, 0) }).await;
    }
    let (is_made, ended) = admit(store, &bob, 200, limit(2, EVICT)).await;
    assert_eq!((is_made, ended.len()), (true, count - 1));
    assert_eq!(live(store, &bob).await, [many(count - 1), id(&bob, 200)].into());
    for number in [0, count / 2, count - 2] {
        assert_eq!(check(store, &bob, &many(number)).await, CheckVerdict::SessionTerminated);
    }
}

/// It ends in the same step, be it the most recently used one, and needs no other room.
pub async fn a_session_that_is_replaced_does_not_count<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice, bob) = (harness.store(), user("alice"), user("bob"));
    let bobs = create(store, plain(&bob, 1)).await;
    let replacing = |session: SessionId, max, when_full| Admission { replaces: Some(session), ..limit(max, when_full) };
    for number in 1..=4 {
        create(store, plain(&alice, number)).await;
    }
    assert_eq!(admit(store, &alice, 5, replacing(id(&alice, 4), 4, EVICT)).await, (true, vec![]));
    assert_eq!(admit(store, &alice, 6, replacing(id(&alice, 5), 4, DENY)).await, (true, vec![]));
    assert_eq!(live(store, &alice).await, ids(&alice, [1, 2, 3, 6]));
    assert_eq!(check(store, &alice, &id(&alice, 5)).await, CheckVerdict::SessionTerminated);
    // Where the limit is lower by now as many others end as are too many, and not the one that is replaced.
    assert_eq!(admit(store, &alice, 7, replacing(id(&alice, 1), 3, EVICT)).await, (true, vec![id(&alice, 2)]));
    assert_eq!(live(store, &alice).await, ids(&alice, [3, 6, 7]));
    // What is no session of this user's, or has ended, makes no room.
    assert_eq!(admit(store, &alice, 8, replacing(bobs.session_id.clone(), 3, DENY)).await, (false, vec![]));
    assert_eq!(admit(store, &alice, 9, replacing(id(&alice, 1), 3, DENY)).await, (false, vec![]));
    assert_eq!(check(store, &bob, &bobs.session_id).await, CheckVerdict::Live);
}

/// Nor is it said to have ended by a login.
pub async fn what_has_ended_by_itself_does_not_count<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    create(store, plain(&alice, 1)).await;
    end_all(store, &alice).await;
    create(store, idle_after(&alice, 2, 5)).await;
    create(store, CreateSession { duration: secs(10), ..plain(&alice, 3) }).await;
    create(store, plain(&alice, 4)).await;
    store.terminate_session(&id(&alice, 4), op()).await.unwrap();
    harness.pass(secs(20)).await;
    assert_eq!(admit(store, &alice, 5, limit(1, DENY)).await, (true, vec![]));
    assert_eq!(admit(store, &alice, 6, limit(1, DENY)).await, (false, vec![]));
    assert_eq!(live(store, &alice).await, ids(&alice, [5]));
    assert_eq!(get(store, &id(&alice, 1)).await.status, SessionStatus::Terminated);
    assert_eq!(get(store, &id(&alice, 2)).await.status, SessionStatus::Expired);
}

/// Then it ends where there is no room: elevated later, it would be one too many.
pub async fn who_waits_for_a_second_factor_counts_for_a_while<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let mut pending = plain(&alice, 1);
    pending.session.pending_2fa = true;
    create(store, pending).await;
    assert_eq!(admit(store, &alice, 2, limit(1, DENY)).await, (false, vec![]));
    harness.pass(secs(590)).await;
    assert_eq!(admit(store, &alice, 3, limit(1, DENY)).await, (false, vec![]));
    harness.pass(secs(20)).await;
    assert_eq!(admit(store, &alice, 4, limit(1, DENY)).await, (true, vec![id(&alice, 1)]));
    assert_eq!(check(store, &alice, &id(&alice, 1)).await, CheckVerdict::SessionTerminated);
    let mut pending = plain(&alice, 5);
    pending.session.pending_2fa = true;
    create(store, pending).await;
    harness.pass(secs(610)).await;
    // The one that counts stays in the place of the one that does not, whichever was used last.
    assert_eq!(admit(store, &alice, 6, limit(2, EVICT)).await, (true, vec![id(&alice, 5)]));
    assert_eq!(live(store, &alice).await, ids(&alice, [4, 6]));
}

/// An elevation changes no count, and ends nothing.
pub async fn a_rotated_session_keeps_its_place<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    for number in 1..=3 {
        create(store, plain(&alice, number)).await;
    }
    let rotation = Rotation { user_id: alice.clone(), id: id(&alice, 9), scopes: None };
    store.rotate_session(&id(&alice, 1), &rotation, op()).await.unwrap();
    assert_eq!(live(store, &alice).await, ids(&alice, [2, 3, 9]));
    assert_eq!(admit(store, &alice, 4, limit(3, DENY)).await, (false, vec![]));
    harness.pass(LIFETIME / 2).await;
    // Used now, it is the last that ends.
    store.touch(&[id(&alice, 9)]).await.unwrap();
    assert_eq!(admit(store, &alice, 5, limit(2, EVICT)).await.1, [id(&alice, 2), id(&alice, 3)]);
    assert_eq!(live(store, &alice).await, ids(&alice, [5, 9]));
}

/// A caller may not have learnt what became of it. What has ended by it is named as long as nobody has been told.
pub async fn a_repeated_admission_answers_as_the_first_time<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    for number in 1..=2 {
        create(store, plain(&alice, number)).await;
    }
    let op_id = op();
    store.note_evictions(&alice, op_id).await.unwrap();
    let known = vec![id(&alice, 1), id(&alice, 2)];
    let admission = Admission { is_noted: true, known, ..limit(1, EVICT) };
    let ask = async || store.admit_session(plain(&alice, 3), &admission, op_id).await.unwrap();
    let first = ask().await;
    let Admitted::Created { ended, .. } = &first else { panic!("{first:?}") };
    let ended: HashSet<_> = ended.iter().map(|one| one.id.clone()).collect();
    assert_eq!(ended, ids(&alice, [1, 2]));
    let again = ask().await;
    let Admitted::Created { session, ended: still, .. } = &again else { panic!("{again:?}") };
    assert_eq!(session.session_id, id(&alice, 3));
    assert_eq!(still.iter().map(|one| one.id.clone()).collect::<HashSet<_>>(), ended);
    store.evictions_told(&alice, op_id).await.unwrap();
    let Admitted::Created { ended, .. } = ask().await else { panic!("it was made") };
    assert_eq!(ended, []);
    assert_eq!(live(store, &alice).await, ids(&alice, [3]));
}

/// By whoever looks, some time later; until everybody was told.
pub async fn what_was_not_told_is_found<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let old = create(store, plain(&alice, 1)).await;
    let (died, idle) = (op(), op());
    for op in [died, idle] {
        store.note_evictions(&alice, op).await.unwrap();
    }
    let admission = Admission { is_noted: true, known: vec![id(&alice, 1)], ..limit(1, EVICT) };
    let admitted = store.admit_session(plain(&alice, 2), &admission, died).await.unwrap();
    assert!(matches!(admitted, Admitted::Created { .. }));
    assert_eq!(store.overdue_evictions().await.unwrap(), [], "its own replica tells");
    harness.pass(EVICTIONS_OVERDUE).await;
    let mut overdue = store.overdue_evictions().await.unwrap();
    overdue.sort_by_key(|one| one.ended.len());
    let [nothing, untold] = overdue.as_slice() else { panic!("{overdue:?}") };
    assert_eq!((nothing.op, &nothing.ended, &nothing.user), (idle, &vec![], &alice));
    assert_eq!((untold.op, &untold.user), (died, &alice));
    let [ended] = untold.ended.as_slice() else { panic!("{untold:?}") };
    assert_eq!(ended.id, old.session_id);
    // What is noted anew is not overdue.
    store.note_evictions(&alice, idle).await.unwrap();
    store.evictions_told(&alice, died).await.unwrap();
    assert_eq!(store.overdue_evictions().await.unwrap(), []);
    store.evictions_told(&alice, idle).await.unwrap();
    harness.pass(EVICTIONS_OVERDUE).await;
    assert_eq!(store.overdue_evictions().await.unwrap(), []);
}

/// And only for its user.
pub async fn a_handle_is_good_once_and_for_its_time<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice, bob) = (harness.store(), user("alice"), user("bob"));
    for hash in ["one", "two"] {
        store.put_takeover(&alice, hash, r#"{"a":"b"}"#, secs(300)).await.unwrap();
    }
    assert_eq!(store.take_takeover(&bob, "one").await.unwrap(), None);
    assert_eq!(store.take_takeover(&alice, "three").await.unwrap(), None);
    assert_eq!(store.take_takeover(&alice, "one").await.unwrap().unwrap(), r#"{"a":"b"}"#);
    assert_eq!(store.take_takeover(&alice, "one").await.unwrap(), None);
    harness.pass(secs(310)).await;
    assert_eq!(store.take_takeover(&alice, "two").await.unwrap(), None);
}

/// The store has not been told yet, and everybody else has.
pub async fn what_a_cut_off_has_ended_is_in_nobodys_way<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    let old = create(store, plain(&alice, 1)).await;
    create(store, plain(&alice, 2)).await;
    let admission = Admission { floor: old.generation + 1, ..limit(2, EVICT) };
    assert_eq!(admit(store, &alice, 3, admission).await, (true, Vec::new()), "there is room for two");
    assert_eq!(live(store, &alice).await, [id(&alice, 3)].into());
}
