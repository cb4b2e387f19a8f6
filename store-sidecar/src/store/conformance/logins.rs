//! Promises on failed logins, and on the devices that accounts know.

use std::sync::Arc;
use std::time::Duration;

use super::{Harness, SETTINGS, secs};
use crate::store::{
    LockRules, LoginAttempt, LoginCounter, LoginCounters, LoginHash, MAX_DEVICE_TOKENS, MAX_DEVICES, Tallied,
};

/// Five failures in 15 minutes, and half an hour at most.
const RULES: LockRules =
    LockRules { max_failures: 5, window: Duration::from_secs(900), longest: Duration::from_secs(1800) };

fn account(name: &str) -> LoginCounter {
    LoginCounter::Account(LoginHash::of(name))
}

async fn fail(store: &impl LoginCounters, counter: &LoginCounter) -> Tallied {
    store.login_attempt(counter, LoginAttempt::Failed, &RULES).await.unwrap()
}

async fn ask(store: &impl LoginCounters, counter: &LoginCounter) -> Tallied {
    store.login_attempt(counter, LoginAttempt::Ask, &RULES).await.unwrap()
}

async fn succeed(store: &impl LoginCounters, counter: &LoginCounter) -> Tallied {
    store.login_attempt(counter, LoginAttempt::Succeeded, &RULES).await.unwrap()
}

/// Whether it lasts so long, but for the time that the test has taken.
fn lasts(tallied: Tallied, wanted: u64) -> bool {
    let least = secs(wanted.saturating_sub(60));
    (least..=secs(wanted)).contains(&tallied.locked_for)
}

/// Locks it, and returns what the last failure said.
async fn lock(store: &impl LoginCounters, counter: &LoginCounter) -> Tallied {
    for number in 1..=4 {
        let tallied = fail(store, counter).await;
        assert_eq!((tallied.is_admitted, tallied.failures, tallied.has_locked), (true, number, false));
        assert_eq!(tallied.locked_for, Duration::ZERO);
    }
    let last = fail(store, counter).await;
    assert_eq!((last.is_admitted, last.failures, last.has_locked), (true, 5, true));
    last
}

pub async fn of_many_guesses_at_once_five_count<H: Harness>() {
    let harness = Arc::new(H::start(SETTINGS).await);
    let guesses = (0..200).map(|_| {
        let harness = Arc::clone(&harness);
        tokio::spawn(async move { fail(harness.store(), &account("alice")).await })
    });
    let (mut counted, mut locked) = (0, 0);
    for guess in guesses.collect::<Vec<_>>() {
        let tallied = guess.await.unwrap();
        counted += u32::from(tallied.is_admitted);
        locked += u32::from(tallied.has_locked);
    }
    assert_eq!((counted, locked), (5, 1));
    assert!(!succeed(harness.store(), &account("alice")).await.is_admitted, "a right guess comes too late");
    assert!(ask(harness.store(), &account("bob")).await.is_admitted);
    assert!(ask(harness.store(), &LoginCounter::Address(LoginHash::of("alice"))).await.is_admitted);
}

pub async fn locks_grow_to_the_longest_and_no_further<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), account("alice"));
    let mut tallied = lock(store, &alice).await;
    for length in [60, 300, 1800] {
        assert!(lasts(tallied, length), "{tallied:?}");
        harness.pass(secs(length)).await;
        assert!(ask(store, &alice).await.is_admitted, "{length}");
        // The failures of the last quarter of an hour count still: one more locks. After half an hour it takes five.
        tallied = if length < 900 { fail(store, &alice).await } else { lock(store, &alice).await };
        assert!(tallied.is_admitted && tallied.has_locked);
    }
    assert!(lasts(tallied, 1800), "{tallied:?}");
    // Where nothing more fails it is forgotten.
    harness.pass(secs(1800 + 1800)).await;
    assert!(lasts(lock(store, &alice).await, 60));
    // A short longest one is the first as well.
    let short = LockRules { longest: secs(30), ..RULES };
    for _ in 0..4 {
        store.login_attempt(&account("bob"), LoginAttempt::Failed, &short).await.unwrap();
    }
    let locked = store.login_attempt(&account("bob"), LoginAttempt::Failed, &short).await.unwrap();
    assert!(locked.has_locked && locked.locked_for <= secs(30));
}

pub async fn a_lock_does_not_feed_itself<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), account("alice"));
    lock(store, &alice).await;
    harness.pass(secs(20)).await;
    for _ in 0..50 {
        let tallied = fail(store, &alice).await;
        assert!(!tallied.is_admitted && !tallied.has_locked && tallied.locked_for <= secs(40), "{tallied:?}");
        assert_eq!(tallied.failures, 5);
    }
    let refused = succeed(store, &alice).await;
    assert!(!refused.is_admitted && refused.failures == 5, "a right guess changes nothing either");
    harness.pass(secs(40)).await;
    assert!(succeed(store, &alice).await.is_admitted, "one is admitted before it can lock again");
    assert!(lasts(lock(store, &alice).await, 60), "and it has forgotten all");
}

pub async fn failures_count_for_a_window<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), account("alice"));
    for _ in 0..4 {
        fail(store, &alice).await;
    }
    harness.pass(secs(901)).await;
    assert_eq!(ask(store, &alice).await.failures, 0);
    for number in 1..=4 {
        assert_eq!(fail(store, &alice).await.failures, number);
        harness.pass(secs(200)).await;
    }
    assert_eq!(fail(store, &alice).await.failures, 5, "the first is 800 seconds old");
    assert!(!ask(store, &alice).await.is_admitted);
}

pub async fn an_account_is_unlocked_at_once<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), account("alice"));
    lock(store, &alice).await;
    let address = LoginCounter::Address(LoginHash::of("alice"));
    lock(store, &address).await;
    store.unlock_account(&LoginHash::of("alice")).await.unwrap();
    store.unlock_account(&LoginHash::of("nobody")).await.unwrap();
    let unlocked = ask(store, &alice).await;
    assert!(unlocked.is_admitted && unlocked.failures == 0);
    assert!(!ask(store, &address).await.is_admitted, "an address is another counter");
    assert!(lasts(lock(store, &alice).await, 60), "the locks before are forgotten");
}

struct Device<'a, S>(&'a S, LoginHash, LoginHash);

impl<S: LoginCounters> Device<'_, S> {
    async fn fails(&self) -> (bool, bool) {
        let tallied = self.0.device_attempt(&self.1, &self.2, true, &RULES).await.unwrap();
        (tallied.is_trusted, tallied.is_exhausted)
    }

    async fn is_trusted(&self) -> bool {
        self.0.device_attempt(&self.1, &self.2, false, &RULES).await.unwrap().is_trusted
    }
}

pub async fn a_device_has_a_budget_of_its_own<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), LoginHash::of("alice"));
    let [laptop, phone] = ["laptop", "phone"].map(|name| Device(store, alice.clone(), LoginHash::of(name)));
    assert_eq!(laptop.fails().await, (false, false), "nobody knows it yet");
    for device in [&laptop, &phone] {
        store.issue_device(&alice, &device.2, None, secs(1_000_000)).await.unwrap();
    }
    lock(store, &account("alice")).await;
    assert!(laptop.is_trusted().await, "whatever others do");
    assert!(!Device(store, LoginHash::of("bob"), laptop.2.clone()).is_trusted().await, "it is another's");
    for number in 1..=5 {
        assert_eq!(laptop.fails().await, (true, number == 5), "{number}");
    }
    assert_eq!(laptop.fails().await, (false, false), "what is beyond counts as anybody's");
    assert!(!laptop.is_trusted().await && phone.is_trusted().await);
    // With the window it has a new budget, nine times more.
    for round in 2..=10 {
        harness.pass(secs(901)).await;
        assert!(laptop.is_trusted().await, "{round}");
        for number in 1..=5 {
            assert_eq!(laptop.fails().await, (true, number == 5), "{round} {number}");
        }
    }
    harness.pass(secs(901)).await;
    assert!(!laptop.is_trusted().await, "and then never again");
    assert!(phone.is_trusted().await);
}

pub async fn of_many_guesses_of_a_device_five_count<H: Harness>() {
    let harness = Arc::new(H::start(SETTINGS).await);
    let (alice, device) = (LoginHash::of("alice"), LoginHash::of("laptop"));
    harness.store().issue_device(&alice, &device, None, secs(1_000)).await.unwrap();
    let guesses = (0..50).map(|_| {
        let (harness, alice, device) = (Arc::clone(&harness), alice.clone(), device.clone());
        tokio::spawn(async move { harness.store().device_attempt(&alice, &device, true, &RULES).await.unwrap() })
    });
    let mut counted = 0;
    for guess in guesses.collect::<Vec<_>>() {
        counted += u32::from(guess.await.unwrap().is_trusted);
    }
    assert_eq!(counted, 5);
}

impl<S: LoginCounters> Device<'_, S> {
    async fn is_issued(&self, predecessor: Option<&Self>) {
        let predecessor = predecessor.map(|device| &device.2);
        self.0.issue_device(&self.1, &self.2, predecessor, secs(1_000_000)).await.unwrap();
    }
}

pub async fn a_token_of_a_device_is_known_until_its_successor_was_shown<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), LoginHash::of("alice"));
    let [first, second, third, strange] =
        ["1", "2", "3", "strange"].map(|name| Device(store, alice.clone(), LoginHash::of(name)));
    first.is_issued(None).await;
    second.is_issued(Some(&first)).await;
    // The answer was lost: it logs in with the first for as long as it has nothing else.
    harness.pass(secs(100_000)).await;
    assert!(first.is_trusted().await);
    third.is_issued(Some(&first)).await;
    assert!(first.is_trusted().await && third.is_trusted().await);
    assert!(first.is_trusted().await, "the third was shown, but requests with the first may be on their way");
    assert!(second.is_trusted().await && !first.is_trusted().await, "the second was issued long before");
    harness.pass(secs(61)).await;
    assert!(second.is_trusted().await, "nothing that came later was shown since");
    assert!(third.is_trusted().await && !second.is_trusted().await);
    // What nobody knows is no predecessor: this is another device.
    first.is_issued(Some(&strange)).await;
    harness.pass(secs(61)).await;
    assert!(first.is_trusted().await && third.is_trusted().await && !strange.is_trusted().await);
    // It may be done twice.
    second.is_issued(Some(&third)).await;
    second.is_issued(Some(&third)).await;
    harness.pass(secs(61)).await;
    assert!(third.is_trusted().await && second.is_trusted().await && !third.is_trusted().await);
    harness.pass(secs(1_000_000)).await;
    assert!(!second.is_trusted().await, "its time is over");
}

/// Case L2: a form that is sent again and again before the first answer is there.
pub async fn of_many_logins_of_a_device_at_once_each_token_is_known<H: Harness>() {
    let harness = Arc::new(H::start(SETTINGS).await);
    let (alice, first) = (LoginHash::of("alice"), LoginHash::of("0"));
    harness.store().issue_device(&alice, &first, None, secs(1_000)).await.unwrap();
    let logins = (1..=20).map(|number| {
        let (harness, alice, first) = (Arc::clone(&harness), alice.clone(), first.clone());
        tokio::spawn(async move {
            let (store, next) = (harness.store(), LoginHash::of(&number.to_string()));
            let tallied = store.device_attempt(&alice, &first, false, &RULES).await.unwrap();
            store.issue_device(&alice, &next, Some(&first), secs(1_000)).await.unwrap();
            tallied.is_trusted
        })
    });
    for login in logins.collect::<Vec<_>>() {
        assert!(login.await.unwrap());
    }
    // The browser may keep any of them.
    for number in 0..=20 {
        let token = Device(harness.store(), alice.clone(), LoginHash::of(&number.to_string()));
        assert!(token.is_trusted().await, "{number}");
    }
}

pub async fn a_token_of_a_device_shares_the_budget_of_its_successor<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), LoginHash::of("alice"));
    let [first, second, third] = ["1", "2", "3"].map(|name| Device(store, alice.clone(), LoginHash::of(name)));
    first.is_issued(None).await;
    for _ in 0..2 {
        assert_eq!(first.fails().await, (true, false));
    }
    // The successor takes over what has failed, and what fails by either counts for both.
    second.is_issued(Some(&first)).await;
    for (token, is_last) in [(&second, false), (&first, false), (&second, true)] {
        assert_eq!(token.fails().await, (true, is_last));
    }
    third.is_issued(Some(&first)).await;
    for token in [&first, &second, &third] {
        assert!(!token.is_trusted().await);
        assert_eq!(token.fails().await, (false, false));
    }
    // So does what has failed in all: 5 by now, and 45 more.
    for round in 2..=10 {
        harness.pass(secs(901)).await;
        for number in 1..=5 {
            assert_eq!(third.fails().await, (true, number == 5), "{round} {number}");
        }
    }
    harness.pass(secs(901)).await;
    for token in [&first, &second, &third] {
        assert!(!token.is_trusted().await, "all of it is forgotten");
    }
}

pub async fn devices_go_that_were_not_shown_for_the_longest_time<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), LoginHash::of("alice"));
    let device = |name: &str| Device(store, alice.clone(), LoginHash::of(name));
    for name in ["desk", "laptop", "phone"] {
        device(name).is_issued(None).await;
        harness.pass(secs(1)).await;
    }
    // These have come back, in another order than they came; the phone has failed.
    for name in ["laptop", "desk"] {
        assert!(device(name).is_trusted().await);
        harness.pass(secs(1)).await;
    }
    assert_eq!(device("phone").fails().await, (true, false));
    // Logins without a cookie, each a new device: of them the first goes.
    let program = |number: usize| device(&format!("program {number}"));
    for number in 0..2 * MAX_DEVICES {
        program(number).is_issued(None).await;
        harness.pass(secs(1)).await;
    }
    let kept = MAX_DEVICES + 3;
    assert!(!program(kept - 1).is_trusted().await);
    for number in kept..2 * MAX_DEVICES {
        assert!(program(number).is_trusted().await, "{number}");
        harness.pass(secs(1)).await;
    }
    // All have been shown by now: the one goes that was not for the longest time.
    device("tablet").is_issued(None).await;
    assert!(!device("laptop").is_trusted().await);
    assert!(device("desk").is_trusted().await && device("phone").is_trusted().await);
    assert!(device("tablet").is_trusted().await && program(kept).is_trusted().await);
}

pub async fn a_device_has_no_more_tokens_than_a_browser_may_wait_for<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), LoginHash::of("alice"));
    let token = |number: usize| Device(store, alice.clone(), LoginHash::of(&number.to_string()));
    token(0).is_issued(None).await;
    // A program that keeps no cookie but the first.
    for number in 1..=2 * MAX_DEVICE_TOKENS {
        assert!(token(0).is_trusted().await, "{number}");
        token(number).is_issued(Some(&token(0))).await;
    }
    let first = MAX_DEVICE_TOKENS + 2;
    assert!(token(0).is_trusted().await && !token(first - 1).is_trusted().await);
    for number in first..=2 * MAX_DEVICE_TOKENS {
        assert!(token(number).is_trusted().await, "{number}");
    }
}
