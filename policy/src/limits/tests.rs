use std::{rc::Rc, time::Duration};

use proptest::prelude::*;
use session_gate_protocol::{Algorithm, Lease, LeaseGrant, LeaseReply, LimitKey, Quota, QuotaState, SettledLease};

use super::*;

const HOUR: Quota = Quota { algorithm: Algorithm::SlidingWindow, requests: 1000, window_ms: 3_600_000, burst: None };
const SLOTS: Quota = Quota { algorithm: Algorithm::InFlight, requests: 4, window_ms: 0, burst: None };

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn limit(quota: Quota, change: impl FnOnce(&mut Limit)) -> Rc<Limit> {
    let mut limit = Limit {
        name: "api".parse().unwrap(),
        quotas: vec![quota],
        key: Vec::new(),
        requests_from: None,
        cost: Cost::Fixed(1),
        exact: false,
        shadow: false,
        on_store_unavailable: OnStoreUnavailable::Deny,
    };
    change(&mut limit);
    Rc::new(limit)
}

fn claim_of(limit: Rc<Limit>, user: &str) -> LimitDemand {
    let quotas = limit.quotas.clone();
    let key = LimitKey { limit: limit.name.clone(), parts: [("user".to_owned(), user.to_owned())].into() };
    LimitDemand { limit, key: KeyText::from(&key), quotas }
}

fn claim() -> LimitDemand {
    claim_of(limit(HOUR, |_| ()), "alice")
}

fn lease(granted: u64) -> Lease {
    let quotas = vec![QuotaState { remaining: 900, reset_ms: 60_000 }];
    Lease { granted, lifetime_ms: 10_000, outstanding: 0, retry_ms: 0, again_ms: 0, quotas }
}

/// Nothing is left for so long.
fn none(again_ms: u64) -> Lease {
    let quotas = vec![QuotaState { remaining: 0, reset_ms: again_ms }];
    Lease { granted: 0, lifetime_ms: 0, outstanding: 0, retry_ms: again_ms, again_ms, quotas }
}

fn reply(leases: Vec<Lease>) -> Option<LeaseReply> {
    Some(LeaseReply { workers: 4, grants: leases.into_iter().map(LeaseGrant::Lease).collect() })
}

/// Asks for what one request needs, and is given that.
fn give(ledger: &mut Ledger, claim: &LimitDemand, given: Lease, now: Duration) -> Question {
    assert_eq!(ledger.availability(claim, false, now), Availability::Ask);
    let question = ledger.ask_for(&claim.key, claim.limit.reserve(), now).unwrap();
    ledger.on_reply(vec![question.clone()], reply(vec![given]), now, now);
    question
}

fn take(ledger: &mut Ledger, claim: &LimitDemand, times: u64, now: Duration) {
    for _ in 0..times {
        assert_eq!(ledger.availability(claim, false, now), Availability::Open);
        ledger.take(claim, now);
    }
}

/// What is asked on a tick, with nothing under way.
fn due(ledger: &mut Ledger, now: Duration) -> Vec<Question> {
    ledger.due(|_| false, now)
}

#[test]
fn what_is_leased_is_used_and_then_asked_for_again() {
    let (mut ledger, claim) = (Ledger::new(100), claim());
    let first = give(&mut ledger, &claim, lease(3), ms(0));
    assert_eq!((first.ask.need, first.ask.want), (1, 83), "a twelfth of the limit, ahead of any demand");
    take(&mut ledger, &claim, 3, ms(10));
    assert_eq!(ledger.availability(&claim, false, ms(10)), Availability::Ask);
    let second = ledger.ask_for(&claim.key, 1, ms(10)).unwrap();
    assert_eq!(second.ask.settle, [SettledLease { lease: first.ask.lease, used: 3 }]);
    assert_ne!(second.ask.lease, first.ask.lease);
}

#[test]
fn a_lease_is_not_used_in_the_last_fiftieth_of_its_life_counted_from_the_question() {
    let (mut ledger, claim) = (Ledger::new(100), claim());
    let question = ledger.availability(&claim, false, ms(1000));
    assert_eq!(question, Availability::Ask);
    let question = ledger.ask_for(&claim.key, 1, ms(1000)).unwrap();
    ledger.on_reply(vec![question], reply(vec![lease(50)]), ms(1000), ms(1900));
    assert_eq!(ledger.availability(&claim, false, ms(10_798)), Availability::Open);
    assert_eq!(ledger.availability(&claim, false, ms(10_799)), Availability::Ask);
    let next = ledger.ask_for(&claim.key, 1, ms(10_799)).unwrap();
    assert!(next.ask.settle.is_empty(), "it may have ended by now: it counts as used");
}

#[test]
fn a_key_that_has_nothing_left_asks_nobody_until_there_is_more() {
    let (mut ledger, claim) = (Ledger::new(100), claim());
    give(&mut ledger, &claim, none(5_000), ms(0));
    for at in [0, 1_000, 4_999] {
        assert_eq!(ledger.availability(&claim, false, ms(at)), Availability::Shut(ms(5_000 - at)));
        assert!(due(&mut ledger, ms(at)).is_empty());
    }
    assert_eq!(ledger.availability(&claim, false, ms(5_000)), Availability::Ask);
}

#[test]
fn another_limit_for_the_key_opens_it_at_once() {
    let (mut ledger, mut claim) = (Ledger::new(100), claim());
    give(&mut ledger, &claim, none(5_000), ms(0));
    claim.quotas = vec![Quota { requests: 5_000, ..HOUR }];
    assert_eq!(ledger.availability(&claim, false, ms(1)), Availability::Ask);
    assert_eq!(ledger.ask_for(&claim.key, 1, ms(1)).unwrap().ask.quotas, claim.quotas);
}

#[test]
fn an_idle_lease_is_handed_back_and_the_next_is_as_large_as_what_was_used() {
    let (mut ledger, claim) = (Ledger::new(100), claim());
    let first = give(&mut ledger, &claim, lease(62), ms(0));
    take(&mut ledger, &claim, 5, ms(100));
    assert!(due(&mut ledger, ms(2_550)).is_empty(), "a quarter of its life without use");
    let [back] = due(&mut ledger, ms(2_600)).try_into().unwrap();
    assert_eq!(back.ask.settle, [SettledLease { lease: first.ask.lease, used: 5 }]);
    assert_eq!((back.ask.need, back.ask.want), (0, 0));
    assert_eq!(ledger.availability(&claim, false, ms(2_600)), Availability::Ask, "what is handed back is not used");
    ledger.on_reply(vec![back], reply(vec![lease(0)]), ms(2_600), ms(2_601));
    assert_eq!(ledger.ask_for(&claim.key, 1, ms(3_000)).unwrap().ask.want, 10);
    assert!(due(&mut ledger, ms(60_000)).is_empty(), "once is enough");
}

#[test]
fn a_lease_in_use_is_renewed_before_it_ends() {
    let (mut ledger, claim) = (Ledger::new(100), claim());
    let first = give(&mut ledger, &claim, lease(62), ms(0));
    for second in 1..=7 {
        take(&mut ledger, &claim, 4, ms(second * 1_000));
        assert!(due(&mut ledger, ms(second * 1_000)).is_empty());
    }
    let [renewal] = due(&mut ledger, ms(7_500)).try_into().unwrap();
    assert_eq!(renewal.ask.settle, [SettledLease { lease: first.ask.lease, used: 28 }]);
    assert_eq!((renewal.ask.need, renewal.ask.want), (0, 35), "what was used, and a quarter more");
}

#[test]
fn before_a_busy_lease_is_used_up_the_next_is_asked_for_and_larger() {
    let (mut ledger, claim) = (Ledger::new(100), claim());
    give(&mut ledger, &claim, lease(60), ms(0));
    take(&mut ledger, &claim, 45, ms(1_000));
    let [ahead] = due(&mut ledger, ms(1_000)).try_into().unwrap();
    assert!(ahead.ask.settle.is_empty(), "what is left of the first goes on being used");
    assert_eq!((ahead.ask.need, ahead.ask.want), (0, 332), "four times as many at most");
    take(&mut ledger, &claim, 15, ms(1_001));
    ledger.on_reply(vec![ahead], reply(vec![lease(200)]), ms(1_000), ms(1_002));
    take(&mut ledger, &claim, 200, ms(1_003));
}

#[test]
fn where_the_limit_runs_out_nothing_is_asked_for_ahead() {
    let (mut ledger, claim) = (Ledger::new(100), claim());
    let scarce = Lease { quotas: vec![QuotaState { remaining: 200, reset_ms: 1 }], ..lease(60) };
    give(&mut ledger, &claim, scarce, ms(0));
    take(&mut ledger, &claim, 59, ms(1_000));
    assert!(due(&mut ledger, ms(1_000)).is_empty());
}

#[test]
fn a_question_about_a_key_that_is_under_way_is_not_asked_again() {
    let (mut ledger, claim) = (Ledger::new(100), claim());
    give(&mut ledger, &claim, lease(60), ms(0));
    assert!(ledger.due(|_| true, ms(2_600)).is_empty());
}

#[test]
fn what_came_of_a_failed_question_is_settled_with_the_next() {
    let (mut ledger, claim) = (Ledger::new(100), claim());
    let first = give(&mut ledger, &claim, lease(2), ms(0));
    take(&mut ledger, &claim, 2, ms(10));
    let lost = ledger.ask_for(&claim.key, 1, ms(20)).unwrap();
    let changed = ledger.on_reply(vec![lost.clone()], None, ms(20), ms(270));
    assert_eq!(changed, Some(Reachable::No));
    assert_eq!(ledger.availability(&claim, false, ms(769)), Availability::Away);
    assert!(due(&mut ledger, ms(769)).is_empty(), "nobody asks meanwhile");
    let settles = [SettledLease { lease: first.ask.lease, used: 2 }, SettledLease { lease: lost.ask.lease, used: 0 }];
    let [again] = due(&mut ledger, ms(770)).try_into().unwrap();
    assert_eq!(again.ask.settle, settles);
    assert_eq!(ledger.on_reply(vec![again.clone()], None, ms(770), ms(1_020)), None, "it was away before");
    let [again] = due(&mut ledger, ms(1_520)).try_into().unwrap();
    assert_eq!(again.ask.settle, settles);
    let back = ledger.on_reply(vec![again], reply(vec![lease(0)]), ms(1_520), ms(1_521));
    assert_eq!(back, Some(Reachable::Yes));
    assert_eq!(ledger.availability(&claim, false, ms(1_522)), Availability::Ask);
}

#[test]
fn one_key_that_cannot_be_asked_about_leaves_the_others() {
    let mut ledger = Ledger::new(100);
    let (one, other) = (claim(), claim_of(limit(HOUR, |_| ()), "bob"));
    let questions = [&one, &other].map(|claim| {
        assert_eq!(ledger.availability(claim, false, ms(0)), Availability::Ask);
        ledger.ask_for(&claim.key, 1, ms(0)).unwrap()
    });
    let grants = vec![LeaseGrant::Unavailable, LeaseGrant::Lease(lease(3))];
    ledger.on_reply(questions.to_vec(), Some(LeaseReply { workers: 1, grants }), ms(0), ms(1));
    assert_eq!(ledger.availability(&one, true, ms(2)), Availability::Away);
    assert_eq!(ledger.availability(&other, true, ms(2)), Availability::Open);
}

#[test]
fn a_reply_that_answers_something_else_is_a_failure() {
    let (mut ledger, claim) = (Ledger::new(100), claim());
    assert_eq!(ledger.availability(&claim, false, ms(0)), Availability::Ask);
    let question = ledger.ask_for(&claim.key, 1, ms(0)).unwrap();
    assert_eq!(ledger.on_reply(vec![question], reply(vec![]), ms(0), ms(1)), Some(Reachable::No));
}

#[test]
fn an_exact_limit_asks_for_each_request_and_keeps_nothing() {
    let mut ledger = Ledger::new(100);
    let claim = claim_of(limit(HOUR, |limit| limit.exact = true), "alice");
    let question = give(&mut ledger, &claim, lease(3), ms(0));
    assert_eq!((question.ask.need, question.ask.want), (1, 1));
    assert_eq!(ledger.availability(&claim, false, ms(1)), Availability::Ask, "for whoever comes now");
    assert_eq!(ledger.availability(&claim, true, ms(1)), Availability::Open, "for whoever has asked");
    ledger.take(&claim, ms(1));
    let [back] = due(&mut ledger, ms(1)).try_into().unwrap();
    assert_eq!(back.ask.settle, [SettledLease { lease: question.ask.lease, used: 1 }]);
}

#[test]
fn a_slot_comes_back_with_its_stream_and_goes_back_when_nobody_wants_it() {
    let mut ledger = Ledger::new(100);
    let claim = claim_of(limit(SLOTS, |_| ()), "alice");
    let slots = |granted| Lease { lifetime_ms: 30_000, quotas: vec![QuotaState::default()], ..lease(granted) };
    give(&mut ledger, &claim, slots(1), ms(0));
    take(&mut ledger, &claim, 1, ms(0));
    assert_eq!(ledger.availability(&claim, false, ms(1)), Availability::Ask);
    let second = ledger.ask_for(&claim.key, 1, ms(1)).unwrap();
    assert_eq!((second.ask.kept, second.ask.need, second.ask.want), (1, 1, 1));
    assert_eq!(second.ask.settle.len(), 1, "the slot in use moves");
    ledger.on_reply(vec![second], reply(vec![slots(1)]), ms(1), ms(2));
    take(&mut ledger, &claim, 1, ms(2));
    ledger.release(&claim.key, ms(100));
    take(&mut ledger, &claim, 1, ms(200));
    ledger.release(&claim.key, ms(300));
    assert!(due(&mut ledger, ms(1_200)).is_empty());
    let [back] = due(&mut ledger, ms(1_300)).try_into().unwrap();
    assert_eq!((back.ask.kept, back.ask.want), (1, 0));
    ledger.on_reply(vec![back], reply(vec![slots(0)]), ms(1_300), ms(1_301));
    assert_eq!(ledger.availability(&claim, false, ms(1_302)), Availability::Ask);
    let [renewal] = due(&mut ledger, ms(23_800)).try_into().unwrap();
    assert_eq!((renewal.ask.kept, renewal.ask.settle.len()), (1, 1), "a stream goes on");
}

#[test]
fn a_request_may_cost_less_or_more_than_was_taken() {
    let mut ledger = Ledger::new(100);
    let cost = Cost::Answer { header: "x-cost".to_owned(), reserve: 5 };
    let claim = claim_of(limit(HOUR, |limit| limit.cost = cost), "alice");
    let number = give(&mut ledger, &claim, lease(10), ms(0)).ask.lease;
    let drawn = ledger.take(&claim, ms(0));
    assert_eq!(drawn, [LeaseDraw { lease: number, count: 5 }]);
    take(&mut ledger, &claim, 1, ms(0));
    assert_eq!(ledger.availability(&claim, false, ms(1)), Availability::Ask);
    ledger.correct(&claim.key, &[LeaseDraw { lease: number + 1, count: 5 }], 5, 0, ms(1));
    assert_eq!(ledger.availability(&claim, false, ms(1)), Availability::Ask, "another lease's is not given back here");
    ledger.correct(&claim.key, &drawn, 5, 0, ms(1));
    take(&mut ledger, &claim, 1, ms(2));
    ledger.correct(&claim.key, &drawn, 5, 12, ms(3));
    let [owed] = due(&mut ledger, ms(3)).try_into().unwrap();
    assert_eq!(owed.ask.owed, 7);
    ledger.on_reply(vec![owed.clone()], None, ms(3), ms(4));
    let [again] = due(&mut ledger, ms(504)).try_into().unwrap();
    assert_eq!(again.ask.owed, 7, "a debt is not forgotten");
}

/// Nobody knows what a request costs before its answer is there: what it was given waits for that, but not for ever.
#[test]
fn what_an_answer_may_give_back_is_not_settled_before() {
    let mut ledger = Ledger::new(100);
    let cost = Cost::Answer { header: "x-cost".to_owned(), reserve: 5 };
    let claim = claim_of(limit(HOUR, |limit| limit.cost = cost), "alice");
    let first = give(&mut ledger, &claim, lease(5), ms(0)).ask.lease;
    let drawn = ledger.take(&claim, ms(0));
    let next = give(&mut ledger, &claim, lease(5), ms(100));
    assert!(next.ask.settle.is_empty(), "nothing is left of the first, but it may have cost less");
    let unanswered = ledger.take(&claim, ms(100));
    ledger.correct(&claim.key, &drawn, 5, 1, ms(1_000));
    assert_eq!(ledger.availability(&claim, false, ms(1_001)), Availability::Ask, "4 came back, and that is too few");
    let [back] = due(&mut ledger, ms(2_600)).try_into().unwrap();
    assert_eq!(back.ask.settle, [SettledLease { lease: first, used: 1 }]);
    ledger.on_reply(vec![back], reply(vec![lease(0)]), ms(2_600), ms(2_601));
    assert!(due(&mut ledger, ms(7_500)).is_empty());
    let [back] = due(&mut ledger, ms(7_600)).try_into().unwrap();
    assert_eq!(back.ask.settle, [SettledLease { lease: next.ask.lease, used: 5 }], "it will soon be over");
    ledger.correct(&claim.key, &unanswered, 5, 1, ms(7_601));
    assert!(ledger.hand_all_back(ms(7_602)).is_empty(), "and then it is too late");
}

#[test]
fn what_two_leases_have_given_goes_back_to_both() {
    let mut ledger = Ledger::new(100);
    let cost = Cost::Answer { header: "x-cost".to_owned(), reserve: 3 };
    let claim = claim_of(limit(HOUR, |limit| limit.cost = cost), "alice");
    let first = give(&mut ledger, &claim, lease(5), ms(0)).ask.lease;
    take(&mut ledger, &claim, 1, ms(0));
    let second = give(&mut ledger, &claim, lease(3), ms(1)).ask.lease;
    let drawn = ledger.take(&claim, ms(2));
    assert_eq!(drawn, [LeaseDraw { lease: first, count: 2 }, LeaseDraw { lease: second, count: 1 }]);
    ledger.correct(&claim.key, &drawn, 3, 0, ms(3));
    let back = ledger.hand_all_back(ms(4)).remove(0).ask.settle;
    assert_eq!(back, [SettledLease { lease: first, used: 3 }, SettledLease { lease: second, used: 0 }]);
}

#[test]
fn while_the_store_is_away_each_worker_has_its_part() {
    let (mut ledger, claim) = (Ledger::new(100), claim());
    give(&mut ledger, &claim, lease(200), ms(0));
    take(&mut ledger, &claim, 200, ms(1));
    for _ in 0..50 {
        assert!(ledger.has_share(&claim, ms(2)));
        ledger.take_unasked(&claim, ms(2));
    }
    assert!(!ledger.has_share(&claim, ms(2)), "a fourth of 1000: there are four workers");
    assert!(ledger.has_share(&claim, ms(3_600_001)));
    let [owed] = due(&mut ledger, ms(2)).try_into().unwrap();
    assert_eq!(owed.ask.owed, 50, "the store is told when it is back");
    ledger.on_reply(vec![owed], reply(vec![lease(0)]), ms(2), ms(3));
    (0..900).for_each(|_| ledger.take_unasked(&claim, ms(4)));
    assert_eq!(due(&mut ledger, ms(4))[0].ask.owed, 250, "of all that were let pass, as many as are its part");
}

/// Two configurations of one VM know nothing of each other's questions.
#[test]
fn a_slot_in_use_moves_to_one_lease_only() {
    let mut ledger = Ledger::new(100);
    let claim = claim_of(limit(SLOTS, |_| ()), "alice");
    let slots = |granted| Lease { lifetime_ms: 30_000, quotas: vec![QuotaState::default()], ..lease(granted) };
    give(&mut ledger, &claim, slots(3), ms(0));
    take(&mut ledger, &claim, 3, ms(0));
    let one = ledger.ask_for(&claim.key, 1, ms(1)).unwrap();
    assert_eq!((one.ask.kept, one.ask.settle.len()), (3, 1));
    let other = ledger.ask_for(&claim.key, 1, ms(2)).unwrap();
    assert_eq!((other.ask.kept, other.ask.settle.len()), (0, 0));
    ledger.on_reply(vec![other], reply(vec![slots(1)]), ms(2), ms(3));
    take(&mut ledger, &claim, 1, ms(3));
    assert_eq!(ledger.availability(&claim, true, ms(4)), Availability::Ask, "and no more");
    ledger.on_reply(vec![one], None, ms(1), ms(5));
    let [again] = due(&mut ledger, ms(506)).try_into().unwrap();
    assert_eq!((again.ask.kept, again.ask.settle.len()), (4, 3), "and none is forgotten");
}

#[test]
fn streams_that_began_while_the_store_was_away_are_told_of() {
    let mut ledger = Ledger::new(100);
    let claim = claim_of(limit(SLOTS, |limit| limit.on_store_unavailable = OnStoreUnavailable::Allow), "alice");
    assert_eq!(ledger.availability(&claim, false, ms(0)), Availability::Ask);
    let lost = ledger.ask_for(&claim.key, 1, ms(0)).unwrap();
    ledger.on_reply(vec![lost], None, ms(0), ms(250));
    (0..3).for_each(|_| ledger.take_unasked(&claim, ms(251)));
    let [told] = due(&mut ledger, ms(750)).try_into().unwrap();
    assert_eq!((told.ask.kept, told.ask.need, told.ask.want), (3, 0, 0));
    ledger.on_reply(vec![told.clone()], reply(vec![Lease { lifetime_ms: 30_000, ..none(30_000) }]), ms(750), ms(751));
    assert!(due(&mut ledger, ms(752)).is_empty());
}

#[test]
fn a_lowered_limit_takes_back_what_is_leased() {
    let (mut ledger, mut claim) = (Ledger::new(100), claim());
    let first = give(&mut ledger, &claim, lease(60), ms(0));
    take(&mut ledger, &claim, 10, ms(1));
    claim.quotas = vec![Quota { requests: 600, ..HOUR }];
    assert_eq!(
        ledger.availability(&claim, false, ms(2)),
        Availability::Open,
        "a worker may have as many of 600 as well"
    );
    claim.quotas = vec![Quota { requests: 12, ..HOUR }];
    assert_eq!(ledger.availability(&claim, false, ms(2)), Availability::Ask);
    let next = ledger.ask_for(&claim.key, 1, ms(2)).unwrap();
    assert_eq!(next.ask.settle, [SettledLease { lease: first.ask.lease, used: 10 }]);
    assert_eq!((next.ask.need, next.ask.want), (1, 1));
    ledger.on_reply(vec![next], reply(vec![lease(1)]), ms(2), ms(3));
    claim.quotas = vec![SLOTS];
    assert_eq!(ledger.availability(&claim, false, ms(4)), Availability::Ask, "requests are no slots");
}

/// Clients of one key may have different plans.
#[test]
fn only_a_larger_limit_than_the_one_that_denies_opens_a_key() {
    let (mut ledger, large) = (Ledger::new(100), claim());
    let small = LimitDemand { quotas: vec![Quota { requests: 100, ..HOUR }], ..large.clone() };
    give(&mut ledger, &small, none(5_000), ms(0));
    give(&mut ledger, &large, none(5_000), ms(1));
    for at in 2..10 {
        let claim = if at % 2 == 0 { &small } else { &large };
        assert!(matches!(ledger.availability(claim, false, ms(at)), Availability::Shut(_)), "{at}");
    }
}

#[test]
fn a_key_that_is_refused_is_not_remembered_for_it() {
    let (mut ledger, denied) = (Ledger::new(100), claim());
    assert_eq!(ledger.known(&denied, false, ms(0)), None);
    assert!(ledger.is_empty());
    give(&mut ledger, &denied, none(5_000), ms(0));
    assert_eq!(ledger.known(&denied, false, ms(1_000)), Some(Availability::Shut(ms(4_000))));
    assert_eq!(ledger.len(), 1);
}

#[test]
fn a_debt_is_told_after_the_question_that_was_under_way() {
    let (mut ledger, claim) = (Ledger::new(100), claim());
    give(&mut ledger, &claim, lease(1), ms(0));
    let drawn = ledger.take(&claim, ms(0));
    let under_way = ledger.ask_for(&claim.key, 1, ms(1)).unwrap();
    ledger.correct(&claim.key, &drawn, 1, 50, ms(2));
    assert!(ledger.due(|_| true, ms(2)).is_empty());
    ledger.on_reply(vec![under_way], reply(vec![none(5_000)]), ms(1), ms(3));
    assert_eq!(due(&mut ledger, ms(3))[0].ask.owed, 49);
}

#[test]
fn nothing_is_said_of_what_is_not_known() {
    let (mut ledger, claim) = (Ledger::new(100), claim());
    assert_eq!(ledger.availability(&claim, false, ms(0)), Availability::Ask);
    ledger.take_unasked(&claim, ms(0));
    assert!(ledger.left(&claim.key, ms(0)).is_empty());
    let report = Report { name: claim.limit.name.clone(), quotas: Vec::new() };
    assert!(report.headers(LimitHeaders { draft: true, x: true }).is_empty());
    let denying = report.denying(&claim.quotas, ms(1_000));
    assert_eq!(denying.quotas, [Remaining { quota: HOUR, remaining: 0, reset: ms(1_000) }]);
}

#[test]
fn keys_are_bounded_and_what_is_forgotten_is_handed_back() {
    let mut ledger = Ledger::new(100);
    let used = claim_of(limit(SLOTS, |_| ()), "streaming");
    give(&mut ledger, &used, Lease { quotas: vec![QuotaState::default()], ..lease(1) }, ms(0));
    ledger.take(&used, ms(0));
    let late = claim_of(limit(HOUR, |_| ()), "late");
    assert_eq!(ledger.availability(&late, false, ms(0)), Availability::Ask);
    let asked = ledger.ask_for(&late.key, 1, ms(0)).unwrap();
    for user in 0..1_000 {
        give(&mut ledger, &claim_of(limit(HOUR, |_| ()), &user.to_string()), lease(5), ms(1));
        assert!(ledger.len() <= 100);
    }
    assert!(ledger.take_evicted() >= 900);
    assert_eq!(ledger.take_evicted(), 0);
    assert_eq!(ledger.availability(&used, false, ms(2)), Availability::Ask, "a stream keeps its key");
    ledger.on_reply(vec![asked.clone()], reply(vec![lease(9)]), ms(0), ms(2));
    let mut back = Vec::new();
    for tick in 3..20 {
        back.extend(due(&mut ledger, ms(tick)));
    }
    assert!(back.len() >= 900, "{}", back.len());
    assert!(back.iter().all(|question| question.key.is_none() && question.ask.want == 0));
    let late = back.iter().find(|question| question.ask.counter == asked.ask.counter).unwrap();
    assert_eq!(late.ask.settle, [SettledLease { lease: asked.ask.lease, used: 0 }]);
    let unavailable = || Some(LeaseReply { workers: 1, grants: vec![LeaseGrant::Unavailable] });
    ledger.on_reply(vec![late.clone()], unavailable(), ms(20), ms(21));
    let asks_again = |ledger: &mut Ledger, at| due(ledger, ms(at)).iter().any(|question| question.key.is_none());
    assert!(!asks_again(&mut ledger, 22), "not at once");
    assert!(asks_again(&mut ledger, 521));
    ledger.on_reply(vec![late.clone()], unavailable(), ms(521), ms(522));
    assert!(!asks_again(&mut ledger, 60_521), "and not when it is over");
}

#[test]
fn everything_is_handed_back_at_the_end() {
    let mut ledger = Ledger::new(100);
    let users: Vec<LimitDemand> = (0..3).map(|user| claim_of(limit(HOUR, |_| ()), &user.to_string())).collect();
    for claim in &users {
        give(&mut ledger, claim, lease(5), ms(0));
    }
    take(&mut ledger, &users[0], 2, ms(1));
    let back = ledger.hand_all_back(ms(2));
    let mut used: Vec<u64> = back.iter().flat_map(|question| &question.ask.settle).map(|lease| lease.used).collect();
    used.sort_unstable();
    assert_eq!(used, [0, 0, 2]);
    assert!(ledger.hand_all_back(ms(3)).is_empty());
}

#[test]
fn clients_are_told_what_this_worker_can_still_give() {
    let (mut ledger, claim) = (Ledger::new(100), claim());
    give(&mut ledger, &claim, lease(60), ms(0));
    take(&mut ledger, &claim, 10, ms(500));
    let report = Report { name: claim.limit.name.clone(), quotas: ledger.left(&claim.key, ms(500)) };
    let both = LimitHeaders { draft: true, x: true };
    let text = |report: &Report, wanted| {
        let headers = report.headers(wanted).into_iter().map(|change| match change {
            crate::http::headers::HeaderChange::Set(name, value) => {
                format!("{name}: {}", String::from_utf8(value).unwrap())
            }
            crate::http::headers::HeaderChange::Add(name, _) | crate::http::headers::HeaderChange::Remove(name) => name,
        });
        headers.collect::<Vec<_>>()
    };
    let expected = [
        "ratelimit-policy: \"api\";q=1000;w=3600",
        "ratelimit: \"api\";r=950;t=60",
        "x-ratelimit-limit: 1000",
        "x-ratelimit-remaining: 950",
        "x-ratelimit-reset: 60",
    ];
    assert_eq!(text(&report, both), expected);
    assert_eq!(text(&report, LimitHeaders { draft: false, x: true }), expected[2..]);
    let mut two = report.denying(&claim.quotas, ms(1_001));
    two.quotas.push(Remaining { quota: SLOTS, remaining: 3, reset: ms(0) });
    assert_eq!(
        text(&two, LimitHeaders { draft: true, x: false }),
        [
            "ratelimit-policy: \"api.3600s\";q=1000;w=3600, \"api.0s\";q=4;qu=\"concurrent-requests\"",
            "ratelimit: \"api.3600s\";r=0;t=2",
        ]
    );
}

/// What happens to a ledger.
#[derive(Clone, Debug)]
enum Step {
    Request,
    Tick,
    Wait(u64),
    Fail(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Request),
        2 => Just(Step::Tick),
        2 => (1..4_000_u64).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Fail),
    ];
    proptest::collection::vec(step, 1..200)
}

proptest! {
    /// Against a store that gives what it likes: what is admitted was given, and what is handed back as unused
    /// was not used.
    #[test]
    fn nothing_is_admitted_that_was_not_leased(steps in steps(), gifts in proptest::collection::vec(0..9_u64, 20)) {
        let (mut ledger, claim) = (Ledger::new(100), claim());
        let (mut now, mut fails, mut gifts) = (0, false, gifts.into_iter().cycle());
        let (mut given, mut returned, mut admitted) = (0, 0, 0);
        let mut known = std::collections::HashMap::new();
        let mut store = |question: &Question, fails: bool| {
            if fails {
                return None;
            }
            for settled in &question.ask.settle {
                if let Some(granted) = known.remove(&settled.lease) {
                    returned += granted - settled.used;
                }
            }
            let granted = if question.ask.want > 0 { gifts.next().unwrap().min(question.ask.want) } else { 0 };
            known.insert(question.ask.lease, granted);
            given += granted;
            reply(vec![if granted < question.ask.need { Lease { granted, ..none(50) } } else { lease(granted) }])
        };
        for step in steps {
            match step {
                Step::Wait(millis) => now += millis,
                Step::Fail(failing) => fails = failing,
                Step::Tick => {
                    for question in due(&mut ledger, ms(now)) {
                        let answer = store(&question, fails);
                        ledger.on_reply(vec![question], answer, ms(now), ms(now + 1));
                    }
                }
                Step::Request => {
                    if ledger.availability(&claim, false, ms(now)) == Availability::Ask {
                        let question = ledger.ask_for(&claim.key, 1, ms(now)).unwrap();
                        let answer = store(&question, fails);
                        ledger.on_reply(vec![question], answer, ms(now), ms(now + 1));
                    }
                    if ledger.availability(&claim, true, ms(now)) == Availability::Open {
                        ledger.take(&claim, ms(now));
                        admitted += 1;
                    }
                }
            }
        }
        prop_assert!(admitted + returned <= given, "{admitted} {returned} {given}");
    }
}
