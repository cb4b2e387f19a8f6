//! Promises on how a user's sessions are listed.

use serde_json::json;

use super::{Harness, LIFETIME, SETTINGS, Store, create, end_all, get, id, idle_after, op, plain, secs, update, user};
use crate::store::PageAsk;

/// The one that expires last comes first; whatever ends meanwhile, no other is left out or comes twice.
pub async fn a_list_is_read_in_pages<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    for number in 0..10 {
        // Several of one second, so that their order follows from their ids.
        let mut new = plain(&alice, number);
        new.duration = LIFETIME + secs(1_000 * u64::from(number / 5));
        create(store, new).await;
    }
    create(store, idle_after(&alice, 10, 5)).await;
    harness.pass(secs(10)).await;
    let mut seen = Vec::new();
    let mut ask = PageAsk { after: None, limit: 3 };
    loop {
        let page = store.list_sessions(&alice, &ask).await.unwrap();
        assert!(page.sessions.len() <= 3);
        seen.extend(page.sessions.iter().map(|session| session.session_id.clone()));
        let Some(next) = page.next else { break };
        // Where a page ends may have ended itself by then.
        store.terminate_session(&next.id, op()).await.unwrap();
        ask.after = Some(next);
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
    for (part, numbers) in [(&seen[..5], 5..10), (&seen[5..], 0..5)] {
        let expected: Vec<_> = numbers.map(|number| id(&alice, number)).collect();
        let mut part = part.to_vec();
        part.sort();
        assert_eq!(part, expected, "those that expire last come first");
    }
    assert_eq!(
        store.list_sessions(&user("bob"), &PageAsk { after: None, limit: 1 }).await.unwrap(),
        Default::default()
    );
}

/// Whatever they are beside, and in the order of the list.
pub async fn the_active_sessions_are_found_among_any_others<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    let expiring_in = |number: u8, seconds: u64| crate::store::CreateSession {
        duration: LIFETIME + secs(seconds),
        ..plain(&alice, number)
    };
    let mut numbers = Vec::new();
    for number in 0..250_u8 {
        let mut new = expiring_in(number, 10 * u64::from(number));
        // Two are active: far from the start of the list, and near its end.
        let is_active = matches!(number, 3 | 120);
        new.session.pending_2fa = !is_active;
        numbers.extend(is_active.then_some(number));
        create(store, new).await;
    }
    let over = create(store, expiring_in(250, 5_000)).await;
    store.terminate_session(&over.session_id, op()).await.unwrap();
    create(store, expiring_in(251, 6_000)).await;
    update(store, &id(&alice, 251), json!({ "status": "suspended" })).await;
    for limit in [1_000, 40] {
        let mut ask = PageAsk { after: None, limit };
        let mut found = Vec::new();
        loop {
            let page = store.active_sessions(&alice, &ask).await.unwrap();
            found.extend(page.sessions);
            let Some(next) = page.next else { break };
            ask.after = Some(next);
        }
        let expected: Vec<_> = numbers.iter().rev().map(|number| id(&alice, *number)).collect();
        assert_eq!(found.iter().map(|one| one.session_id.clone()).collect::<Vec<_>>(), expected, "{limit}");
        assert_eq!(found[0], get(store, &found[0].session_id).await);
    }
    let near = store.active_sessions(&alice, &PageAsk { after: None, limit: 100 }).await.unwrap();
    assert!(near.sessions.is_empty() && near.next.is_some(), "no more are looked at than is said");
    end_all(store, &alice).await;
    let none = store.active_sessions(&alice, &PageAsk { after: None, limit: 1_000 }).await.unwrap();
    assert_eq!((none.sessions, none.next), (Vec::new(), None));
}
