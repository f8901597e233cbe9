//! A seed replays bit for bit, and the plans of the first ones break no rule.

#![allow(clippy::unwrap_used, reason = "it is a test")]

use std::process::Command;

fn digest(seed: u64) -> String {
    let played = Command::new(env!("CARGO_BIN_EXE_simulate"))
        .args(["play", &seed.to_string(), "--digest"])
        .output()
        .unwrap();
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    String::from_utf8(played.stdout).unwrap()
}

#[test]
fn fifty_seeds_have_the_same_histories_in_two_processes() {
    for seed in 1..=50 {
        let (first, second) = std::thread::scope(|scope| {
            let (first, second) = (scope.spawn(|| digest(seed)), scope.spawn(|| digest(seed)));
            (first.join().unwrap(), second.join().unwrap())
        });
        assert_eq!(first.trim().len(), 64, "it was played: {first}");
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn the_first_hundred_plans_break_no_rule() {
    let played = Command::new(env!("CARGO_BIN_EXE_simulate"))
        .args(["--plans", "100", "--seconds", "3600"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&played.stdout);
    assert!(played.status.success() && told.starts_with("100 plans "), "{told}");
}
