//! Promises on the rules in the change feed.

use session_gate_protocol::{FeedChange, FeedEntry, Rule, RuleId, UnixSeconds, UserId};

use super::{Harness, SETTINGS, Store, now, secs, token};
use crate::store::{FeedPage, FeedPosition, MAX_STANDING_RULES, NewFeedEntry, StoreErrorKind, UNLIMITED};

/// A rule against the user of that number.
fn rule(number: usize) -> Rule {
    let user_id: UserId = format!("user-{number}").parse().unwrap();
    Rule::User { user_id }
}

fn added(number: usize, until: UnixSeconds) -> NewFeedEntry {
    let rule = rule(number);
    NewFeedEntry { until, change: FeedChange::RuleAdded { rule_id: rule.id(), rule, note: None } }
}

fn removed(number: usize) -> NewFeedEntry {
    NewFeedEntry { until: UNLIMITED, change: FeedChange::RuleRemoved { rule_id: rule(number).id() } }
}

/// What makes the log forget what is in it.
async fn append_another(store: &impl Store) {
    let change = FeedChange::TokenRevoked { token_id: token("t") };
    store.append_feed(&[NewFeedEntry { until: UNLIMITED, change }]).await.unwrap();
}

async fn read(store: &impl Store, known: Option<&FeedPosition>) -> FeedPage {
    store.read_feed(known, 30_000).await.unwrap()
}

/// The rules that hold by what a reader was told from the start, with their ends.
fn in_force(page: &FeedPage) -> Vec<(RuleId, UnixSeconds)> {
    let mut rules: Vec<(RuleId, UnixSeconds)> = Vec::new();
    for FeedEntry { until, change, .. } in &page.entries {
        match change {
            FeedChange::RuleAdded { rule_id, .. } => {
                rules.retain(|(id, _)| id != rule_id);
                rules.push((rule_id.clone(), *until));
            }
            FeedChange::RuleRemoved { rule_id } => rules.retain(|(id, _)| id != rule_id),
            _ => {}
        }
    }
    rules.retain(|(_, until)| page.now < *until);
    rules
}

/// One without an end, and one whose end is far away: whoever reads from the start is told of both, once,
/// be the feed used or not.
pub async fn a_rule_outlives_everything_else_in_the_feed<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let far = now(store).await.after(SETTINGS.feed_horizon * 9);
    store.append_feed(&[added(1, UNLIMITED), added(2, far)]).await.unwrap();
    for wait in [SETTINGS.feed_horizon / 2, SETTINGS.feed_horizon, SETTINGS.feed_horizon * 3] {
        harness.pass(wait).await;
        let page = read(store, None).await;
        let rules = in_force(&page);
        assert_eq!(rules.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), [rule(1).id(), rule(2).id()]);
        assert_eq!(rules[0].1, UNLIMITED);
        assert!(rules[1].1 > page.now && rules[1].1 <= far, "{rules:?}");
        append_another(store).await;
        assert_eq!(in_force(&read(store, None).await), rules);
        let known = FeedPosition { epoch: page.epoch.id.clone(), at: page.cursor };
        assert_eq!(read(store, Some(&known)).await.epoch, page.epoch, "nothing is missed");
        assert_eq!(in_force(&read(store, Some(&known)).await), [], "and told once");
    }
    harness.pass(SETTINGS.feed_horizon * 6).await;
    assert_eq!(in_force(&read(store, None).await), [(rule(1).id(), UNLIMITED)]);
}

/// It needs no more than the log.
pub async fn a_rule_that_does_not_last_goes_with_its_time<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let end = now(store).await.after(secs(600));
    store.append_feed(&[added(1, end)]).await.unwrap();
    assert_eq!(in_force(&read(store, None).await), [(rule(1).id(), end)]);
    harness.pass(secs(700)).await;
    assert_eq!(in_force(&read(store, None).await), []);
}

/// Neither at once nor when the log has forgotten that it was removed, nor because nobody appends.
pub async fn a_removed_rule_does_not_come_back<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    store.append_feed(&[added(1, UNLIMITED), added(2, UNLIMITED), added(3, UNLIMITED)]).await.unwrap();
    store.append_feed(&[removed(2), removed(2), removed(9)]).await.unwrap();
    let left = [(rule(1).id(), UNLIMITED), (rule(3).id(), UNLIMITED)];
    for _ in 0..4 {
        assert_eq!(in_force(&read(store, None).await), left);
        harness.pass(SETTINGS.feed_horizon / 2 + secs(60)).await;
    }
    append_another(store).await;
    assert_eq!(in_force(&read(store, None).await), left);
    store.append_feed(&[removed(1), removed(3)]).await.unwrap();
    assert_eq!(in_force(&read(store, None).await), []);
    store.append_feed(&[added(2, UNLIMITED)]).await.unwrap();
    assert_eq!(in_force(&read(store, None).await), [(rule(2).id(), UNLIMITED)], "it may be made anew");
}

/// Whether that is sooner or later, for those who read from the start at any time.
pub async fn a_rule_that_is_told_again_has_its_new_end<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let now = now(store).await;
    let (soon, far) = (now.after(secs(600)), now.after(SETTINGS.feed_horizon * 3));
    store.append_feed(&[added(1, UNLIMITED), added(2, soon), added(3, UNLIMITED)]).await.unwrap();
    store.append_feed(&[added(1, soon), added(2, UNLIMITED), added(3, far)]).await.unwrap();
    let told = [(rule(1).id(), soon), (rule(2).id(), UNLIMITED), (rule(3).id(), far)];
    assert_eq!(in_force(&read(store, None).await), told);
    harness.pass(secs(700)).await;
    let ids = async || in_force(&read(store, None).await).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(ids().await, [rule(2).id(), rule(3).id()], "the earlier word does not count");
    harness.pass(SETTINGS.feed_horizon).await;
    append_another(store).await;
    assert_eq!(ids().await, [rule(2).id(), rule(3).id()]);
    harness.pass(SETTINGS.feed_horizon * 3).await;
    append_another(store).await;
    assert_eq!(ids().await, [rule(2).id()]);
}

/// So that a reader's places go up; in pages too.
pub async fn rules_come_in_their_order_before_the_log<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    for number in [5, 3, 4, 1] {
        store.append_feed(&[added(number, UNLIMITED)]).await.unwrap();
    }
    harness.pass(SETTINGS.feed_horizon * 3).await;
    append_another(store).await;
    store.append_feed(&[added(2, UNLIMITED)]).await.unwrap();
    let mut page = store.read_feed(None, 1).await.unwrap();
    let mut entries = page.entries.clone();
    while !page.is_last() {
        let known = FeedPosition { epoch: page.epoch.id.clone(), at: page.cursor };
        page = store.read_feed(Some(&known), 1).await.unwrap();
        assert_eq!(page.epoch.id, known.epoch);
        entries.extend(page.entries.clone());
    }
    assert!(entries.iter().map(|entry| entry.at).is_sorted_by(|a, b| a < b), "{entries:?}");
    let rules = in_force(&FeedPage { entries, ..page });
    assert_eq!(
        rules.into_iter().map(|(id, _)| id).collect::<Vec<_>>(),
        [5, 3, 4, 1, 2].map(|number| rule(number).id())
    );
}

/// What is refused changes nothing; what has ended makes room, and what is there may be told again.
pub async fn the_rules_that_stand_are_bounded<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let now = now(store).await;
    let far = now.after(SETTINGS.feed_horizon + secs(10_000));
    let all: Vec<NewFeedEntry> =
        (0..MAX_STANDING_RULES).map(|number| added(number, if number < 3 { far } else { UNLIMITED })).collect();
    for chunk in all.chunks(1_000) {
        store.append_feed(chunk).await.unwrap();
    }
    let before = read(store, None).await;
    let one_more = [removed(7), added(MAX_STANDING_RULES, UNLIMITED), added(MAX_STANDING_RULES + 1, UNLIMITED)];
    assert_eq!(store.append_feed(&one_more).await.unwrap_err().kind(), StoreErrorKind::Full);
    assert_eq!(read(store, None).await.last, before.last, "nothing of it");
    store.append_feed(&[added(7, UNLIMITED), added(MAX_STANDING_RULES + 2, now.after(secs(100)))]).await.unwrap();
    store.append_feed(&[removed(7)]).await.unwrap();
    store.append_feed(&[added(MAX_STANDING_RULES, UNLIMITED)]).await.unwrap();
    harness.pass(SETTINGS.feed_horizon + secs(10_000)).await;
    let more: Vec<_> = (1..4).map(|number| added(MAX_STANDING_RULES + number, UNLIMITED)).collect();
    store.append_feed(&more).await.unwrap();
    assert_eq!(in_force(&read(store, None).await).len(), MAX_STANDING_RULES);
}

/// A key has one limit of its own at a time: whoever reads from the start is told of the latest alone, be it
/// in the log or beside it.
pub async fn a_limit_that_is_told_again_has_its_new_number<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let limit = |requests: u64| Rule::Limit { key: "api:user=alice".to_owned(), requests: vec![requests] };
    for requests in [5, 7] {
        let (rule_id, rule) = (limit(requests).id(), limit(requests));
        let change = FeedChange::RuleAdded { rule_id, rule, note: None };
        store.append_feed(&[NewFeedEntry { until: UNLIMITED, change }]).await.unwrap();
    }
    for wait in [secs(1), SETTINGS.feed_horizon * 2] {
        harness.pass(wait).await;
        append_another(store).await;
        let page = read(store, None).await;
        let told = page.entries.iter().rev().find_map(|entry| match &entry.change {
            FeedChange::RuleAdded { rule, .. } => Some(rule.clone()),
            _ => None,
        });
        assert_eq!((in_force(&page).len(), told), (1, Some(limit(7))), "{wait:?}");
    }
}
