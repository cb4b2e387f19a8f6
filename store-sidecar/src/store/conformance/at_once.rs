//! Promises on two cut-offs of one user at once.

use session_gate_protocol::CheckVerdict;

use super::{Harness, SETTINGS, Store, check, create, end_all, id, plain, user};
use crate::store::Beginning;

/// Whoever holds a session that is to end must not be able to save it by ending all others at the same moment.
pub async fn of_two_cut_offs_at_once_the_first_counts<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    for (name, first_spares, is_finished) in
        [("a", None, true), ("b", Some(1), true), ("c", None, false), ("d", Some(1), false)]
    {
        let alice = user(name);
        for number in 1..=3 {
            create(store, plain(&alice, number)).await;
        }
        let spared = first_spares.map(|number| id(&alice, number));
        let first = store.begin_cut_off(&alice, spared.as_ref(), 0).await.unwrap();
        assert_eq!(first.beginning, Beginning::New);
        let during = create(store, plain(&alice, 4)).await;
        // Again and again, before the first is finished.
        for _ in 0..2 {
            let second = store.begin_cut_off(&alice, Some(&id(&alice, 2)), 0).await.unwrap();
            assert_eq!((second.beginning, second.before), (Beginning::Earlier, first.before), "{name}");
            assert_eq!(second.except, spared, "{name}");
            assert_eq!((second.listed, second.latest_expiry), (4, during.expires_at), "{name}");
        }
        if is_finished {
            store.finish_cut_off(&alice, first.before, spared.as_ref()).await.unwrap();
        } else {
            // Whoever began it may be gone; a later one ends the same, and the session that is to end is saved by none.
            end_all(store, &alice).await;
        }
        let late = store.begin_cut_off(&alice, Some(&id(&alice, 2)), 0).await.unwrap();
        assert_eq!(late.beginning, Beginning::None, "{name}: it has ended");
        store.finish_cut_off(&alice, first.before, spared.as_ref()).await.unwrap();
        for number in 2..=3 {
            assert_eq!(check(store, &alice, &id(&alice, number)).await, CheckVerdict::SessionTerminated, "{name}");
        }
        for (session, lives) in [(id(&alice, 1), spared.is_some()), (during.session_id, true)] {
            let verdict = check(store, &alice, &session).await;
            assert_eq!(verdict == CheckVerdict::Live, lives && is_finished, "{name} {session}");
        }
    }
}

/// The session that the first one spares, and one that has begun since, may end all others before that is finished.
pub async fn who_is_spared_by_a_cut_off_may_begin_another_at_once<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    for (name, first_spares, second_spares) in [("a", Some(1), 1), ("b", None, 3)] {
        let alice = user(name);
        for number in 1..=2 {
            create(store, plain(&alice, number)).await;
        }
        let spared = first_spares.map(|number| id(&alice, number));
        let first = store.begin_cut_off(&alice, spared.as_ref(), 0).await.unwrap();
        create(store, plain(&alice, 3)).await;
        let kept = id(&alice, second_spares);
        let second = store.begin_cut_off(&alice, Some(&kept), 0).await.unwrap();
        assert_eq!((second.beginning, second.before), (Beginning::New, first.before + 1), "{name}");
        // In either order.
        store.finish_cut_off(&alice, second.before, Some(&kept)).await.unwrap();
        store.finish_cut_off(&alice, first.before, spared.as_ref()).await.unwrap();
        for number in 1..=3 {
            let verdict = check(store, &alice, &id(&alice, number)).await;
            assert_eq!(verdict == CheckVerdict::Live, number == second_spares, "{name} {number}");
        }
        // Both are finished: nothing is left of them that could hinder a third.
        let third = store.begin_cut_off(&alice, Some(&kept), 0).await.unwrap();
        assert_eq!((third.beginning, third.before), (Beginning::New, second.before + 1), "{name}");
    }
}
