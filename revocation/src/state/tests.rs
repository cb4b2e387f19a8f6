use serde_json::json;
use session_gate_protocol::UnknownChange;

use super::*;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const LATER: UnixSeconds = UnixSeconds(NOW.0 + 60);

fn session_id(number: u8) -> SessionId {
    format!("K9gGyX.{}", char::from(b'A' + number).to_string().repeat(43)).parse().unwrap()
}

fn session(number: u8, generation: u64) -> SessionNames {
    SessionNames::of(&session_id(number), "alice", generation)
}

fn cut_off(before: u64, except: Option<u8>) -> FeedChange {
    let issued_until = UnixSeconds(NOW.0 - 100 + before);
    let except = except.map(session_id);
    FeedChange::UserSessionsEnded(CutOff { user_id: "alice".parse().unwrap(), before, issued_until, except })
}

#[test]
fn a_cut_off_ends_all_of_a_users_sessions_before_it_but_one() {
    let mut known = Revocations::default();
    assert!(known.apply(cut_off(3, Some(1)), LATER, NOW));
    assert!(known.has_ended(&session(0, 2)) && known.has_ended(&session(0, 0)));
    assert!(!known.has_ended(&session(0, 3)), "it began after");
    assert!(!known.has_ended(&session(1, 2)), "it goes on");
    assert!(!known.has_ended(&SessionNames::of(&session_id(0), "bob", 0)), "another user's");
    assert_eq!(known.cut_off_of(Fingerprint::of_user("alice")), 3);
    // The survivor of an earlier cut-off ends with a later one.
    assert!(known.apply(cut_off(4, None), LATER, NOW));
    assert!(known.has_ended(&session(1, 2)) && !known.has_ended(&session(1, 4)));
}

#[test]
fn of_two_cut_offs_the_greater_counts_in_whatever_order() {
    let mut known = Revocations::default();
    assert!(known.apply(cut_off(5, None), LATER, NOW));
    assert!(!known.apply(cut_off(4, Some(1)), LATER, NOW));
    assert!(known.has_ended(&session(1, 4)));
}

#[test]
fn tokens_of_other_issuers_are_cut_off_by_when_they_were_issued() {
    let mut known = Revocations::default();
    known.apply(cut_off(3, None), LATER, NOW);
    let names = TokenNames::of("https://idp", "alice", None, None, false);
    let issued = |seconds: f64| Some(NOW.0 as f64 - 97.0 + seconds);
    assert!(known.is_cut_off(&names, issued(0.9)) && known.is_cut_off(&names, None));
    assert!(!known.is_cut_off(&names, issued(1.0)));
    assert!(!known.is_cut_off(&TokenNames::of("https://idp", "bob", None, None, false), None));
}

#[test]
fn of_a_suspension_the_greater_version_counts_and_a_new_epoch_counts_anew() {
    let mut known = Revocations::default();
    let suspended = |version| FeedChange::SessionSuspended { session_id: session_id(0), version };
    let resumed = |version| FeedChange::SessionResumed { session_id: session_id(0), version };
    let name = session(0, 0).session;
    assert!(known.apply(suspended(7), LATER, NOW) && known.is_suspended(name));
    assert!(!known.apply(resumed(6), LATER, NOW) && known.is_suspended(name));
    known.forget_versions();
    assert!(known.is_suspended(name), "what is known stays known");
    assert!(known.apply(resumed(2), LATER, NOW) && !known.is_suspended(name));
    assert_eq!(known.suspension(name), Some((2, false)));
}

#[test]
fn what_has_ended_is_not_suspended_any_more_and_stays_ended() {
    let mut known = Revocations::default();
    known.apply(FeedChange::SessionSuspended { session_id: session_id(0), version: 1 }, LATER, NOW);
    known.apply(FeedChange::SessionEnded { session_id: session_id(0) }, LATER, NOW);
    assert!(known.has_ended(&session(0, 9)) && !known.is_suspended(session(0, 9).session));
    assert!(known.has_ended(&session(0, 9)));
}

#[test]
fn an_unknown_change_that_must_be_understood_makes_ignorant_until_it_is_irrelevant() {
    let mut known = Revocations::default();
    let unknown = |must_understand| {
        let rest = json!({ "x": 1 }).as_object().unwrap().clone();
        FeedChange::Unknown(UnknownChange { kind: "brand_new".to_owned(), must_understand, rest })
    };
    assert!(!known.apply(unknown(false), LATER, NOW) && !known.is_ignorant(NOW));
    assert!(known.apply(unknown(true), LATER, NOW));
    assert!(known.is_ignorant(NOW) && !known.is_ignorant(LATER));
}

#[test]
fn what_was_known_before_counts_where_nothing_newer_is_known() {
    let suspended = |number, version| FeedChange::SessionSuspended { session_id: session_id(number), version };
    let resumed = |number, version| FeedChange::SessionResumed { session_id: session_id(number), version };
    let fingerprint = |number| Fingerprint::of_session(session_id(number).as_str());
    let mut earlier = Revocations::default();
    earlier.apply(cut_off(5, Some(1)), LATER, NOW);
    earlier.apply(FeedChange::SessionEnded { session_id: session_id(7) }, LATER, NOW);
    earlier.apply(FeedChange::SessionEnded { session_id: session_id(8) }, UnixSeconds(NOW.0 - 1), UnixSeconds(1));
    for number in [2, 3] {
        earlier.apply(suspended(number, 4), LATER, NOW);
    }
    let mut known = Revocations::default();
    known.apply(cut_off(4, None), LATER, NOW);
    known.apply(resumed(3, 4), LATER, NOW);
    known.absorb(earlier, NOW);
    assert_eq!(known.cut_off_of(Fingerprint::of_user("alice")), 5);
    assert!(!known.has_ended(&session(1, 0)) && known.has_ended(&session(0, 4)));
    assert!(known.is_revoked(fingerprint(7)) && !known.is_revoked(fingerprint(8)), "the latter is irrelevant");
    assert!(known.is_suspended(fingerprint(2)) && !known.is_suspended(fingerprint(3)), "that was resumed since");
}
