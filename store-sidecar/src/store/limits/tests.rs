use proptest::prelude::*;
use session_gate_protocol::{Algorithm, LeaseAsk, Quota, SettledLease};

use super::{Account, Leased};

pub(crate) const START: u64 = 1_800_000_000_000;

pub(crate) fn quota(algorithm: Algorithm, requests: u64, window_ms: u64, burst: Option<u64>) -> Quota {
    Quota { algorithm, requests, window_ms, burst }
}

pub(crate) fn ask(quotas: &[Quota], lease: u64, need: u64, want: u64) -> LeaseAsk {
    LeaseAsk {
        counter: "AAAAAAAAAAAAAAAA".parse().unwrap(),
        quotas: quotas.to_vec(),
        settle: Vec::new(),
        owed: 0,
        lease,
        kept: 0,
        need,
        want,
    }
}

fn settling(ask: LeaseAsk, settled: &[(u64, u64)]) -> LeaseAsk {
    let settle = settled.iter().map(|&(lease, used)| SettledLease { lease, used }).collect();
    LeaseAsk { settle, ..ask }
}

/// What a worker does next, in numbers to be made something of.
#[derive(Clone, Debug)]
struct Move {
    after_ms: u64,
    worker: usize,
    need: u64,
    want: u64,
    /// How many of its leases it uses how much of, and when within each.
    uses: Vec<(u64, u64)>,
    /// Whether its settlements arrive, and whether it hears the answer.
    settles: bool,
    hears: bool,
    repeats: bool,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (
        prop_oneof![0..20_u64, 0..400_u64, 0..3_000_u64],
        0..4_usize,
        0..6_u64,
        0..40_u64,
        prop::collection::vec((0..1_000_u64, 0..1_000_u64), 0..6),
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.2),
    );
    let one = one.prop_map(|(after_ms, worker, need, want, uses, settles, hears, repeats)| Move {
        after_ms,
        worker,
        need,
        want,
        uses,
        settles,
        hears,
        repeats,
    });
    prop::collection::vec(one, 1..120)
}

/// A lease as its worker has it.
struct Held {
    number: u64,
    granted: u64,
    used: u64,
    end: u64,
}

/// Plays that on one counter, and answers when requests were admitted.
fn admitted(quotas: &[Quota], moves: &[Move]) -> Vec<u64> {
    let mut account = Account::default();
    let mut held: Vec<Vec<Held>> = (0..4).map(|_| Vec::new()).collect();
    let (mut now, mut number, mut uses) = (START, 0, Vec::new());
    for Move { after_ms, worker, need, want, uses: wishes, settles, hears, repeats } in moves {
        let later = now + after_ms;
        let own = &mut held[*worker];
        // Uses before this call, at any moment while a lease can be used.
        for (which, when) in wishes {
            let Some(index) = usize::try_from(*which).unwrap().checked_rem(own.len()) else { break };
            let lease = &mut own[index];
            let at = now + when % (after_ms + 1);
            if lease.used < lease.granted && at < lease.end {
                lease.used += 1;
                uses.push(at);
            }
        }
        now = later;
        number += 1;
        let mut call = ask(quotas, number, *need, *want);
        if *settles {
            // Those that have ended too: nobody knows them any more, or somebody has counted them.
            let all: Vec<(u64, u64)> = own.iter().map(|lease| (lease.number, lease.used)).collect();
            call = settling(call, &all);
            own.clear();
        }
        let name = format!("w{worker}");
        let Leased { lease, .. } = account.step(now, &name, &call);
        // By the worker's clock it begins when it asks.
        let (mut answer, mut asked) = (lease, now);
        now += 3;
        if *repeats {
            let again = account.step(now, &name, &call).lease;
            assert!(again.granted == answer.granted || answer.granted == 0 || answer.lifetime_ms <= 3);
            (answer, asked) = (again, now);
        }
        if *hears {
            let end = asked + answer.lifetime_ms;
            held[*worker].push(Held { number, granted: answer.granted, used: 0, end });
        }
    }
    uses.sort_unstable();
    uses
}

/// Whether in no interval of such a length that begins with a use more than so many are.
fn most_within(uses: &[u64], length: u64) -> usize {
    let count = |(place, start): (usize, &u64)| uses[place..].iter().take_while(|use_| **use_ < start + length).count();
    uses.iter().enumerate().map(count).max().unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_interval_of_a_sliding_window_has_more(moves in moves(), requests in 1..30_u64, window in 1_000..5_000_u64) {
        let uses = admitted(&[quota(Algorithm::SlidingWindow, requests, window, None)], &moves);
        prop_assert!(most_within(&uses, window) as u64 <= requests, "{uses:?}");
    }

    #[test]
    fn no_fixed_window_has_more(moves in moves(), requests in 1..30_u64, window in 1_000..5_000_u64) {
        let uses = admitted(&[quota(Algorithm::FixedWindow, requests, window, None)], &moves);
        for window in uses.chunk_by(|a, b| a / window == b / window) {
            prop_assert!(window.len() as u64 <= requests, "{window:?}");
        }
    }

    #[test]
    fn no_interval_has_more_than_a_bucket_and_what_flows_in(
        moves in moves(), requests in 1..30_u64, window in 1_000..5_000_u64, burst in 1..30_u64,
    ) {
        let uses = admitted(&[quota(Algorithm::TokenBucket, requests, window, Some(burst))], &moves);
        for (place, start) in uses.iter().enumerate() {
            for (count, end) in uses[place..].iter().enumerate() {
                let flown = (end - start) as f64 * requests as f64 / window as f64;
                prop_assert!((count + 1) as f64 <= burst as f64 + flown + 1e-6, "{start} to {end} of {uses:?}");
            }
        }
    }

    #[test]
    fn all_quotas_hold_at_once(moves in moves()) {
        let quotas = [
            quota(Algorithm::SlidingWindow, 10, 1_000, None),
            quota(Algorithm::SlidingWindow, 25, 4_000, None),
            quota(Algorithm::FixedWindow, 20, 3_000, None),
        ];
        let uses = admitted(&quotas, &moves);
        prop_assert!(most_within(&uses, 1_000) <= 10 && most_within(&uses, 4_000) <= 25);
        for window in uses.chunk_by(|a, b| a / 3_000 == b / 3_000) {
            prop_assert!(window.len() <= 20);
        }
    }

    /// Nothing is lost for ever, whatever has become of leases; and then there is nothing to keep.
    #[test]
    fn all_is_left_again_in_the_end(moves in moves(), algorithm in 0..3_usize) {
        let algorithm = [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::TokenBucket][algorithm];
        let quotas = [quota(algorithm, 17, 2_000, None)];
        let mut account = Account::default();
        let mut now = START;
        for (number, one) in (0..).zip(&moves) {
            now += one.after_ms;
            account.step(now, &format!("w{}", one.worker), &LeaseAsk { owed: one.want % 3, ..ask(&quotas, number, one.need, one.want) });
        }
        let over = account.over();
        prop_assert!(over <= now + 120 * 3 * 2_000);
        let last = account.clone().step(over, "w", &ask(&quotas, 10_000, 17, 17)).lease;
        prop_assert_eq!(last.granted, 17);
        prop_assert_eq!((last.outstanding, last.retry_ms), (0, 0));
        account.step(over, "w", &ask(&quotas, 10_001, 0, 0));
        prop_assert_eq!(account.over(), account.seen(), "as if new");
    }

    /// Who waits as long as he is told gets what he needs, even if nothing comes back.
    #[test]
    fn what_lacks_is_there_when_it_was_said_to_be(moves in moves(), algorithm in 0..4_usize, need in 1..10_u64) {
        let quotas = [
            vec![quota(Algorithm::FixedWindow, 12, 2_000, None)],
            vec![quota(Algorithm::SlidingWindow, 12, 2_000, None)],
            vec![quota(Algorithm::TokenBucket, 12, 2_000, Some(15))],
            vec![quota(Algorithm::TokenBucket, 12, 2_000, None), quota(Algorithm::SlidingWindow, 15, 4_000, None)],
        ][algorithm].clone();
        let mut account = Account::default();
        let mut now = START;
        for (number, one) in (0..).zip(&moves) {
            now += one.after_ms;
            account.step(now, &format!("w{}", one.worker), &ask(&quotas, number, one.need, one.want));
        }
        let lease = account.step(now, "w", &ask(&quotas, 10_000, need, need)).lease;
        let lacking = need - lease.granted;
        prop_assert_eq!(lacking == 0, lease.retry_ms == 0);
        prop_assert!(lease.again_ms <= lease.retry_ms);
        let then = account.step(now + lease.retry_ms, "w", &ask(&quotas, 10_001, lacking, lacking)).lease;
        prop_assert_eq!(then.granted, lacking);
    }
}

#[test]
fn what_is_handed_back_can_be_leased_again() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::TokenBucket] {
        let quotas = [quota(algorithm, 100, 10_000, None)];
        let mut account = Account::default();
        assert_eq!(account.step(START, "a", &ask(&quotas, 1, 100, 100)).lease.granted, 100);
        assert_eq!(account.step(START, "b", &ask(&quotas, 1, 1, 1)).lease.granted, 0, "nothing is left");
        let leased = account.step(START + 1, "a", &settling(ask(&quotas, 2, 0, 0), &[(1, 30), (1, 30), (9, 9)]));
        assert_eq!((leased.returned, leased.lapsed, leased.lease.quotas[0].remaining), (70, 0, 70));
        assert_eq!(account.step(START + 1, "b", &ask(&quotas, 2, 70, 70)).lease.granted, 70);
        let late = account.step(START + 9_000, "b", &settling(ask(&quotas, 3, 0, 0), &[(2, 0)]));
        assert_eq!((late.returned, late.lapsed), (0, 70), "it came too late");
    }
}

#[test]
fn of_what_nobody_needs_yet_a_third_is_given() {
    let quotas = [quota(Algorithm::SlidingWindow, 100, 60_000, None)];
    let mut account = Account::default();
    let granted = |account: &mut Account, number, need, want| {
        account.step(START, "a", &ask(&quotas, number, need, want)).lease.granted
    };
    assert_eq!(granted(&mut account, 1, 10, 100), 40);
    assert_eq!(granted(&mut account, 2, 0, 100), 20);
    assert_eq!(granted(&mut account, 3, 5, 6), 6);
    assert_eq!(granted(&mut account, 4, 5, 0), 5, "what is needed is wanted");
    assert_eq!(granted(&mut account, 5, 60, 100), 29, "all there is");
}

#[test]
fn a_repeated_call_is_answered_again_and_takes_nothing() {
    let quotas = [quota(Algorithm::SlidingWindow, 100, 60_000, None)];
    let mut account = Account::default();
    let call = LeaseAsk { owed: 3, ..ask(&quotas, 1, 10, 10) };
    let first = account.step(START, "a", &call).lease;
    let again = account.step(START + 100, "a", &call).lease;
    assert_eq!((again.granted, again.lifetime_ms), (10, first.lifetime_ms - 100));
    assert_eq!(again.quotas[0].remaining, 87);
    assert_eq!(account.step(START + 100, "b", &call).lease.quotas[0].remaining, 74, "of another worker it is another");
}

#[test]
fn slots_move_with_what_is_kept_and_come_back_with_their_lease() {
    let quotas = [quota(Algorithm::InFlight, 10, 0, None)];
    let mut account = Account::default();
    assert_eq!(account.step(START, "a", &ask(&quotas, 1, 8, 8)).lease.granted, 8);
    let moved = LeaseAsk { kept: 6, ..settling(ask(&quotas, 2, 1, 1), &[(1, 8)]) };
    let lease = account.step(START + 1_000, "a", &moved).lease;
    assert_eq!((lease.granted, lease.quotas[0].remaining, lease.lifetime_ms), (1, 3, 30_000));
    let full = account.step(START + 2_000, "b", &ask(&quotas, 1, 5, 5)).lease;
    assert_eq!((full.granted, full.outstanding, full.retry_ms), (3, 7, 29_000));
    // What is in flight is in flight, even if its lease had been over.
    let beyond = LeaseAsk { kept: 9, ..ask(&quotas, 2, 1, 1) };
    assert_eq!(account.step(START + 3_000, "b", &beyond).lease.granted, 0);
    let late = account.step(START + 33_000, "c", &ask(&quotas, 1, 10, 10)).lease;
    assert_eq!((late.granted, late.outstanding), (10, 0), "all of them are dead");
}

#[test]
fn another_number_of_requests_keeps_the_count_and_another_window_does_not() {
    let mut account = Account::default();
    let of = |requests, window| [quota(Algorithm::SlidingWindow, requests, window, None)];
    let remaining = |account: &mut Account, at, number, quotas: &[Quota]| {
        account.step(at, "b", &ask(quotas, number, 0, 0)).lease.quotas[0].remaining
    };
    account.step(START, "a", &LeaseAsk { owed: 50, ..ask(&of(100, 60_000), 1, 0, 0) });
    assert_eq!(remaining(&mut account, START, 1, &of(60, 60_000)), 10);
    assert_eq!(remaining(&mut account, START, 2, &of(40, 60_000)), 0);
    assert_eq!(remaining(&mut account, START, 3, &of(100, 30_000)), 100);
    // While some workers have the one and some the other, both count on.
    account.step(START, "a", &LeaseAsk { owed: 20, ..ask(&of(100, 30_000), 2, 0, 0) });
    assert_eq!(remaining(&mut account, START + 1, 4, &of(100, 60_000)), 30);
    assert_eq!(remaining(&mut account, START + 1, 5, &of(100, 30_000)), 80);
}

#[test]
fn a_lease_is_short_where_little_is_left_and_ends_with_a_fixed_window() {
    let lifetime =
        |quota: Quota, at, need| Account::default().step(at, "a", &ask(&[quota], 1, need, need)).lease.lifetime_ms;
    let start = START - START % 60_000;
    assert_eq!(lifetime(quota(Algorithm::SlidingWindow, 100, 60_000, None), start, 10), 10_000);
    assert_eq!(lifetime(quota(Algorithm::SlidingWindow, 100, 60_000, None), start, 80), 2_500);
    assert_eq!(lifetime(quota(Algorithm::SlidingWindow, 100, 1_000, None), start, 10), 250);
    assert_eq!(lifetime(quota(Algorithm::SlidingWindow, 1, 1_000, None), start, 1), 62);
    assert_eq!(lifetime(quota(Algorithm::TokenBucket, 100, 1_000, Some(1)), start, 1), 50);
    assert_eq!(lifetime(quota(Algorithm::FixedWindow, 100, 60_000, None), start + 58_000, 10), 1_999);
    assert_eq!(lifetime(quota(Algorithm::FixedWindow, 100, 60_000, None), start + 59_999, 10), 0);
}

#[test]
fn a_clock_that_is_set_back_gives_nothing_back() {
    let quotas = [quota(Algorithm::FixedWindow, 10, 1_000, None)];
    let mut account = Account::default();
    account.step(START, "a", &ask(&quotas, 1, 10, 10));
    assert_eq!(account.step(START - 5_000, "b", &ask(&quotas, 1, 1, 1)).lease.granted, 0);
    assert_eq!(account.step(START + 1_000, "b", &ask(&quotas, 2, 1, 1)).lease.granted, 1);
}

/// A server with a slower clock has taken the place of another: what was used stays so for as long as before.
#[test]
fn a_counter_does_not_stand_still_for_long() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::TokenBucket] {
        let quotas = [quota(algorithm, 10, 1_000, None)];
        let mut account = Account::default();
        let leased = account.step(START, "a", &ask(&quotas, 1, 10, 10));
        assert_eq!(leased.lease.granted, 10);
        let back = START - 3_600_000;
        assert_eq!(account.step(back, "b", &ask(&quotas, 1, 1, 1)).lease.granted, 0, "{algorithm:?}");
        // Its lease ends, counts as used, and falls out of the window.
        let later = back + leased.lease.lifetime_ms + 2_100;
        assert_eq!(account.step(later, "b", &ask(&quotas, 2, 1, 1)).lease.granted, 1, "{algorithm:?}");
    }
}
