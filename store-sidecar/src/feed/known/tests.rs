use serde_json::json;
use session_gate_protocol::{Rule, Scopes, SessionId};

use super::{kept::REMOVED_FOR, *};
use crate::store::UNLIMITED;

const NOW: UnixSeconds = UnixSeconds(1_790_000_000);
const LATER: UnixSeconds = UnixSeconds(1_790_003_600);

/// A place of some time ago: nobody waits any more until all workers know of it.
fn at(number: u64) -> FeedCursor {
    FeedCursor { millis: (NOW.0 - 1_000) * 1_000 + number, number: 0 }
}

/// A place of just now.
fn just_now(number: u64) -> FeedCursor {
    FeedCursor { millis: NOW.0 * 1_000, number }
}

fn revoked(number: u64) -> FeedChange {
    FeedChange::TokenRevoked { token_id: format!("t{number}").parse().unwrap() }
}

fn rule() -> Rule {
    serde_json::from_value(json!({ "kind": "user", "user_id": "a" })).unwrap()
}

fn added() -> FeedChange {
    let rule = rule();
    FeedChange::RuleAdded { rule_id: rule.id(), rule, note: None }
}

fn removed() -> FeedChange {
    FeedChange::RuleRemoved { rule_id: rule().id() }
}

fn scopes(version: u64) -> FeedChange {
    let session_id = SessionId::new(&"a".parse().unwrap(), &[1; 32]);
    FeedChange::SessionScopes { session_id, version, scopes: Some(Scopes::default()) }
}

fn served(kind: &str) -> FeedChange {
    let session_id = SessionId::new(&"a".parse().unwrap(), &[1; 32]);
    serde_json::from_value(json!({ "kind": kind, "session_id": session_id, "version": 3 })).unwrap()
}

fn entry(number: u64, until: UnixSeconds, change: FeedChange) -> FeedEntry {
    FeedEntry { at: at(number), until, change }
}

fn kept(entry: FeedEntry) -> Kept {
    known(vec![entry]).into_kept().next().unwrap()
}

fn page(entries: Vec<FeedEntry>, cursor: u64, now: UnixSeconds) -> FeedPage {
    let epoch = FeedEpoch { id: "e".to_owned(), since: NOW };
    FeedPage { epoch, last: at(cursor), cursor: at(cursor), now, entries }
}

fn known(entries: Vec<FeedEntry>) -> Known {
    let cursor = entries.len() as u64 + 1_000_000;
    Known::new(page(entries, cursor, NOW), Instant::now())
}

fn ask(after: FeedCursor) -> FeedQuery {
    let epoch = Some("e".to_owned());
    FeedQuery { worker: "w".to_owned(), epoch, after, wait_ms: 0, max_staleness_ms: 1_000 }
}

#[tokio::test]
async fn pages_have_all_of_it_once_and_in_their_size() {
    let mixed = |number| if number % 3 == 0 { scopes(number) } else { revoked(number) };
    let known = known((1..=3_000).map(|number| entry(number, LATER, mixed(number))).collect());
    let (mut after, mut ended, mut others, mut pages) = (FeedCursor::START, 0, 0, 0);
    loop {
        let reply = known.reply(&ask(after), Duration::ZERO, 5_000);
        assert!(serde_json::to_string(&reply).unwrap().len() < 5_500);
        (ended, others, pages) = (ended + reply.ended.0.len(), others + reply.entries.len(), pages + 1);
        assert!(reply.cursor > after);
        after = reply.cursor;
        if !reply.more {
            break;
        }
    }
    // Of one session's scopes the last word alone.
    assert_eq!((ended, others, after), (2_000, 1, known.cursor));
    assert!((8..=10).contains(&pages), "{pages}");
    let small = known.reply(&ask(FeedCursor::START), Duration::ZERO, 1);
    assert_eq!((small.ended.0.len() + small.entries.len(), small.more), (1, true), "it goes on, however small");
}

#[tokio::test]
async fn the_list_has_what_ended_by_name() {
    let known = known(vec![entry(1, LATER, revoked(1)), entry(2, LATER, scopes(4)), entry(3, LATER, revoked(3))]);
    let (entries, cursor) = known.after(FeedCursor::START, 2);
    assert_eq!(entries.into_iter().map(|entry| entry.change).collect::<Vec<_>>(), [revoked(1), scopes(4)]);
    assert_eq!(cursor, at(2));
    let (entries, cursor) = known.after(cursor, 2);
    assert_eq!((entries, cursor), (vec![entry(3, LATER, revoked(3))], known.cursor));
}

#[tokio::test]
async fn of_a_rule_the_last_word_is_told_even_if_it_is_over() {
    let soon = UnixSeconds(NOW.0 + 5);
    let mut known = known(vec![entry(1, UNLIMITED, added()), entry(2, soon, added())]);
    let told = |known: &Known| known.reply(&ask(FeedCursor::START), Duration::ZERO, 10_000).entries;
    assert_eq!(told(&known), [entry(2, soon, added())]);
    known.extend(page(Vec::new(), 2_000_000, UnixSeconds(NOW.0 + 20)), Instant::now());
    assert_eq!(told(&known), [entry(2, soon, added())], "who knows the first one must hear of it");
    assert_eq!(known.after(FeedCursor::START, 9).0, [], "but it is in force no more");
    known
        .extend(page(vec![entry(2_000_001, UNLIMITED, removed())], 2_000_001, UnixSeconds(NOW.0 + 40)), Instant::now());
    assert_eq!(told(&known), [entry(2_000_001, UNLIMITED, removed())]);
    let much_later = NOW.after(REMOVED_FOR + Duration::from_secs(2_100));
    known.extend(page(Vec::new(), 2_000_001, much_later), Instant::now());
    assert_eq!((told(&known), known.last_words.len()), (Vec::new(), 0));
}

/// A worker in the midst of several pages may have passed the place of the first word before the second came.
#[tokio::test]
async fn the_word_before_the_last_is_told_for_as_long_as_somebody_may_wait() {
    let word = |number, change: FeedChange| FeedEntry { at: just_now(number), until: LATER, change };
    let words = vec![word(1, served("session_suspended")), word(2, served("session_resumed"))];
    let mut known = known(words.clone());
    let told = |known: &Known| known.reply(&ask(FeedCursor::START), Duration::ZERO, 10_000).entries;
    assert_eq!(told(&known), words);
    assert_eq!(known.after(FeedCursor::START, 9).0, words[1..], "what is listed is the last word alone");
    let end = page(Vec::new(), 2_000_000, NOW.after(AWAITED_FOR - Duration::from_secs(1)));
    known.extend(end, Instant::now());
    assert_eq!(told(&known), words);
    known.extend(page(Vec::new(), 2_000_000, NOW.after(AWAITED_FOR + PRUNE_EVERY)), Instant::now());
    assert_eq!(told(&known), words[1..]);
    let kept: Vec<FeedChange> = known.into_kept().map(|kept| kept.change()).collect();
    assert_eq!(kept, [], "a resumption is not told again");
}

#[tokio::test]
async fn what_is_newer_in_the_new_epoch_is_not_overruled() {
    let here = known(vec![
        entry(10, LATER, revoked(1)),
        entry(11, LATER, scopes(7)),
        entry(12, LATER, served("session_resumed")),
        entry(13, UNLIMITED, removed()),
    ]);
    for (old, superseded) in [
        (entry(1, LATER, revoked(1)), true),
        (entry(1, LATER, revoked(2)), false),
        (entry(99, LATER, scopes(7)), true),
        (entry(1, LATER, scopes(8)), false),
        (entry(5, LATER, served("session_suspended")), true),
        (entry(20, LATER, served("session_suspended")), false),
        (entry(5, UNLIMITED, added()), true),
        (entry(20, UNLIMITED, added()), false),
    ] {
        assert_eq!(here.supersedes(&kept(old.clone())), superseded, "{old:?}");
    }
    let here = known(vec![entry(10, LATER, added())]);
    assert!(here.supersedes(&kept(entry(20, LATER, added()))), "it is there for as long");
    assert!(!here.supersedes(&kept(entry(20, UNLIMITED, added()))), "but not for longer");
    assert!(here.supersedes(&kept(entry(5, UNLIMITED, added()))), "unless its end is newer");
}

#[tokio::test]
async fn of_two_limits_for_one_key_the_later_is_told_again() {
    let limit = |requests: u64| {
        let rule = Rule::Limit { key: "api:user=a".to_owned(), requests: vec![requests] };
        FeedChange::RuleAdded { rule_id: rule.id(), rule, note: None }
    };
    let here = known(vec![entry(10, UNLIMITED, limit(5))]);
    assert!(!here.supersedes(&kept(entry(20, UNLIMITED, limit(7)))), "it was set later, and lost");
    assert!(here.supersedes(&kept(entry(5, UNLIMITED, limit(7)))), "it was replaced");
    assert!(here.supersedes(&kept(entry(20, UNLIMITED, limit(5)))), "it says the same");
}

#[tokio::test]
async fn a_large_snapshot_has_nearly_nine_thousand_in_a_page() {
    let known = known((1..=100_000).map(|number| entry(number, LATER, revoked(number))).collect());
    let (mut after, mut pages, mut ended) = (FeedCursor::START, 0, 0);
    loop {
        let reply = known.reply(&ask(after), Duration::ZERO, crate::feed::Pages::default().reply_chars);
        pages += 1;
        ended += reply.ended.0.len();
        after = reply.cursor;
        if !reply.more {
            break;
        }
    }
    assert_eq!((ended, pages), (100_000, 12));
}
