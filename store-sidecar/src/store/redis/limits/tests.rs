use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use session_gate_protocol::SettledLease;

use super::*;
use crate::store::limits::Account;
use crate::store::limits::tests::{START, ask, quota};
use crate::store::test_redis::RedisServer;

/// The script as it is, but with the time that its last argument says; no key ends by the server's clock, and
/// the reply's last number says when it would.
fn script() -> redis::Script {
    const CLOCK: &str = "\nlocal function now_millis()\n  return tonumber(ARGV[#ARGV])\nend\n";
    let prelude = include_str!("../scripts/prelude.lua");
    let parts = [prelude, CLOCK, include_str!("../scripts/account.lua"), include_str!("../scripts/lease.lua")];
    let code = parts.concat();
    let (lives, reply) = ("'PX', integer(lives)", "return reply");
    assert!(code.contains(lives) && code.ends_with(&format!("{reply}\n")));
    let code = code.replace(lives, "'PX', integer(lives + 3600000)");
    redis::Script::new(&code.replace(&format!("\n{reply}\n"), "\ntable.insert(reply, lives)\nreturn reply\n"))
}

fn quotas() -> impl Strategy<Value = Vec<Quota>> {
    let window = prop_oneof![1_000..8_000_u64, Just(60_000), Just(session_gate_protocol::MAX_WINDOW_MS)];
    let requests = || prop_oneof![1..40_u64, 1..2_000_u64, Just(session_gate_protocol::MAX_REQUESTS)];
    let rate = (0..3_usize, requests(), window, prop::option::of(requests())).prop_map(|(which, n, window, burst)| {
        let algorithm = [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::TokenBucket][which];
        quota(algorithm, n, window, burst.filter(|_| algorithm == Algorithm::TokenBucket))
    });
    prop_oneof![
        6 => prop::collection::vec(rate, 1..=8),
        1 => requests().prop_map(|requests| vec![quota(Algorithm::InFlight, requests, 0, None)]),
    ]
}

/// One question: after how long, by whom, and what.
fn questions() -> impl Strategy<Value = Vec<(i64, u64, LeaseAsk)>> {
    let settled = prop::collection::vec((0..60_u64, 0..30_u64), 0..4);
    let numbers = (0..60_u64, prop_oneof![3 => Just(0), 1 => 0..9_u64], 0..9_u64, 0..30_u64, 0..300_u64);
    let limits = prop::collection::vec(quotas(), 1..4);
    (limits, prop::collection::vec((-50..900_i64, 0..3_u64, 0..4_usize, settled, numbers), 1..60)).prop_map(
        |(limits, questions)| {
            let question =
                |(after, worker, limit, settled, (lease, owed, kept, need, want)): (_, _, usize, Vec<_>, _)| {
                    let quotas: &Vec<Quota> = &limits[limit % limits.len()];
                    let settle = settled.into_iter().map(|(lease, used)| SettledLease { lease, used }).collect();
                    // Sometimes long after, so that all is over.
                    let after = if after > 880 { after * 1_000 } else { after };
                    // Or another server's clock goes on, far behind.
                    let after = if after == -50 { -600_000 } else { after };
                    (after, worker, LeaseAsk { settle, owed, kept, ..ask(quotas, lease, need, want) })
                };
            questions.into_iter().map(question).collect()
        },
    )
}

/// Whatever is asked when: the script in Redis answers as the account does in memory.
#[test]
fn the_script_and_the_account_answer_alike() {
    let server = RedisServer::start().unwrap();
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let (script, mut runner) = (script(), TestRunner::deterministic());
    for _ in 0..300 {
        let case = questions().new_tree(&mut runner).unwrap().current();
        redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
        let (mut account, mut now) = (Account::default(), START);
        for (place, (after, worker, ask)) in case.iter().enumerate() {
            now = now.saturating_add_signed(*after);
            let worker = format!("w{worker}");
            let mut call = script.prepare_invoke();
            for key in super::super::keys::Keys::new("").counter(0, &ask.counter) {
                call.key(key);
            }
            for argument in arguments(&worker, ask, 10) {
                call.arg(argument);
            }
            let mut reply: Vec<u64> = call.arg(now).invoke(&mut connection).unwrap();
            let lives = reply.pop().unwrap();
            let expected = account.step(now, &worker, ask);
            assert_eq!(leased(&reply).unwrap(), expected, "question {place} of {case:#?}");
            assert_eq!(lives, account.over().saturating_sub(account.seen()), "question {place} of {case:#?}");
            if account.over() <= account.seen() {
                account = Account::default();
            }
        }
    }
}
