//! Promises on logins that one device sends twice, and how many sessions their user may have.

use super::session_limit::{DENY, EVICT, admit, limit};
use super::{Harness, SETTINGS, id, secs, user};
use crate::store::{Admission, LoginDevice, LoginHash};

/// A form is sent twice: the browser keeps one of two cookies, and both are good. Of another device, of none, later or too
/// often they count.
pub async fn what_one_device_begins_twice_ends_nothing_of_its_own<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let window = secs(100);
    let on = |device: &str, when_full| Admission {
        device: Some(LoginDevice { hash: LoginHash::of(device), window }),
        ..limit(2, when_full)
    };
    assert_eq!(admit(store, &alice, 1, limit(2, EVICT)).await, (true, vec![]));
    assert_eq!(admit(store, &alice, 2, on("laptop", EVICT)).await, (true, vec![]));
    assert_eq!(admit(store, &alice, 3, on("laptop", EVICT)).await, (true, vec![]));
    assert_eq!(admit(store, &alice, 4, on("laptop", DENY)).await, (true, vec![]));
    assert_eq!(admit(store, &alice, 5, on("phone", DENY)).await, (false, vec![]));
    assert_eq!(admit(store, &alice, 5, limit(2, DENY)).await, (false, vec![]));
    for number in [5, 6] {
        assert_eq!(admit(store, &alice, number, on("laptop", DENY)).await, (true, vec![]));
    }
    assert_eq!(admit(store, &alice, 7, on("laptop", DENY)).await, (false, vec![]), "four are enough");
    harness.pass(window).await;
    let ended = admit(store, &alice, 7, on("laptop", EVICT)).await;
    assert_eq!(ended, (true, [1, 2, 3, 4, 5].map(|number| id(&alice, number)).into()), "the last of the twins is left");
}
