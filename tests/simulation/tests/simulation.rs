//! A small simulation in every test run; `make sim` runs large ones.

use session_gate_simulation::simulation::{SHOWN, run, simulate};

#[test]
fn what_is_promised_holds_in_a_small_simulation() {
    let summary = simulate(1, 80_000, 2, SHOWN).unwrap();
    assert_eq!(summary.failure, None);
    assert!(summary.ops >= 80_000, "{}", summary.table());
}

#[test]
fn one_seed_has_one_history() {
    let mut hashes = Vec::new();
    for seed in [7, 8, 9, 10] {
        let (first, second) = (run(seed, 6_000, SHOWN).unwrap(), run(seed, 6_000, SHOWN).unwrap());
        assert_eq!((first.hash, first.ops, &first.counts), (second.hash, second.ops, &second.counts), "seed {seed}");
        hashes.push(first.hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 4, "each seed has its own");
}
