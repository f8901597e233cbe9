//! A seed replays bit for bit, and the plans of the first ones break no rule.

#![allow(clippy::unwrap_used, reason = "it is a test")]

use std::process::Command;

fn told(arguments: &[&str]) -> String {
    let played = Command::new(env!("CARGO_BIN_EXE_simulate"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    String::from_utf8(played.stdout).unwrap()
}

#[test]
fn fifty_seeds_have_the_same_histories_in_two_processes() {
    let digests = || told(&["--plans", "50", "digests"]);
    let (first, second) = std::thread::scope(|scope| {
        let (first, second) = (scope.spawn(digests), scope.spawn(digests));
        (first.join().unwrap(), second.join().unwrap())
    });
    assert_eq!(first.lines().count(), 50, "they were played: {first}");
    assert!(first.lines().all(|line| line.split(' ').nth(1).unwrap().len() == 64));
    for (one, other) in first.lines().zip(second.lines()) {
        assert_eq!(one, other);
    }
}

/// What was made before in the process that is copied must not show.
#[test]
fn a_play_in_a_copy_of_a_process_has_the_history_of_one_in_a_process_of_its_own() {
    for seed in ["1", "4", "17"] {
        let copied = told(&["--first", seed, "--plans", "1", "digests"]);
        let own = told(&["play", seed, "--digest"]);
        assert_eq!(copied, format!("{seed} {own}"));
    }
}

#[test]
fn the_first_hundred_plans_break_no_rule() {
    let told = told(&["--plans", "100", "--seconds", "3600"]);
    assert!(told.starts_with("100 plans "), "{told}");
}
