//! Migrations, crashed at any moment: each share is there once, and whoever begins again finishes.

use bucketfs::Layout;
use bucketfs::disk::sim::{Faults, Medium, Random, SyncKind};

use crate::ledger::{Ledger, Verdict, Violation};
use crate::life::live;
use crate::{CAPACITY, each_seed, plan, start};

/// Several lives with migrations in them, each ended at random; in the last all buckets are moved.
fn lives(seed: u64, faults: &Faults) -> Verdict {
    let mut random = Random::new(seed);
    let mut medium = Medium::new(CAPACITY);
    let mut ledger = Ledger::default();
    let mut now = start();
    let mut boot = 0;
    let layout = |random: &mut Random| Layout::ALL[random.index(Layout::ALL.len())];
    for _ in 0..6 {
        let mut plan = plan(random.number(), 40);
        plan.faults = faults.clone();
        plan.layout = layout(&mut random);
        plan.migrates = true;
        plan.crash_at = match random.below(4) {
            0 => Some(random.below(90)),
            1 | 2 => Some(random.below(1500)),
            _ => None,
        };
        plan.boot = boot;
        let (left, _) = live(medium, &mut ledger, &mut now, &plan)?;
        medium = if random.one_in(3) {
            left
        } else {
            boot += 1;
            ledger.reboot();
            left.cut_power(&mut random)
        };
    }
    let mut last = plan(random.number(), 10);
    last.boot = boot;
    last.faults.lie = faults.lie;
    last.migrates_to = Some(layout(&mut random));
    let (left, _) = live(medium, &mut ledger, &mut now, &last)?;
    let mut look = plan(random.number(), 0);
    look.boot = boot;
    live(left, &mut ledger, &mut now, &look)?;
    Ok(())
}

#[test]
fn nothing_is_lost_while_buckets_are_moved() {
    each_seed(20_000..20_300, |seed| lives(seed, &Faults::default()));
}

// A bucket that the disk does not let be moved is served where it is.
#[test]
fn nothing_is_lost_while_buckets_are_moved_on_a_disk_that_fails_now_and_then() {
    let faults = Faults {
        error_every: 100,
        sync_error_every: 60,
        ..Faults::default()
    };
    each_seed(21_000..21_200, |seed| lives(seed, &faults));
}

#[test]
fn a_disk_that_lies_about_the_sync_before_the_end_is_found_out() {
    let faults = Faults {
        lie: Some(SyncKind::FileSystem),
        ..Faults::default()
    };
    assert!((0..100).any(|seed| lives(seed, &faults).is_err()));
}

/// Shares are stored, then all of them are moved, and a crash comes before every single system call of
/// that; then others are stored and it is begun again, in the same direction or the other.
#[test]
fn a_crash_may_come_before_any_system_call_of_a_migration() {
    for (seed, from, to) in [
        (22_000, Layout::OneLevel, Layout::TwoLevel),
        (22_001, Layout::TwoLevel, Layout::Flat),
        (22_002, Layout::Flat, Layout::OneLevel),
    ] {
        let mut ledger = Ledger::default();
        let mut now = start();
        let mut filled = plan(seed, 60);
        filled.layout = from;
        let medium = Medium::new(CAPACITY);
        let (filled, _) = live(medium, &mut ledger, &mut now, &filled).unwrap();
        for call in 0.. {
            let mut random = Random::new(seed ^ (call << 32));
            let mut ledger = ledger.clone();
            let mut now = now;
            let mut run = || -> Verdict<bool> {
                let mut moved = plan(seed + 1, 8);
                moved.migrates_to = Some(to);
                moved.crash_at = Some(call);
                let (left, crashed) = live(filled.clone(), &mut ledger, &mut now, &moved)?;
                let killed = random.one_in(3);
                let medium = match killed {
                    true => left,
                    false => left.cut_power(&mut random),
                };
                let mut again = plan(seed + 2, 8);
                again.boot = u8::from(!killed);
                if !killed {
                    ledger.reboot();
                }
                again.migrates_to = Some(if random.one_in(2) { to } else { from });
                let (left, _) = live(medium, &mut ledger, &mut now, &again)?;
                let mut look = plan(seed + 3, 0);
                look.boot = again.boot;
                live(left, &mut ledger, &mut now, &look)?;
                Ok(crashed)
            };
            match run() {
                Ok(true) => {}
                Ok(false) => break,
                Err(Violation(text)) => panic!("seed {seed}, call {call}: {text}"),
            }
        }
    }
}
