//! `ci/test` runs every step whatever fails before it, and its sum is what the steps counted.
//!
//! The scripts are the real ones; `cargo` and what they ask Debian are stand-ins, the first on PATH.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use benches::results::repository;

/// A machine where `cargo` does what a test says.
struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    /// `cargo` is a shell script's `case` over its arguments; what matches nothing succeeds silently.
    fn new(cases: &str) -> Self {
        let machine = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let calls = machine.path("calls");
        machine.program(
            "bin/cargo",
            &format!(
                "echo \"$*\" >>'{}'\ncase \"$*\" in\n{cases}\nesac",
                calls.display()
            ),
        );
        machine.program("bin/cargo-deny", "");
        machine.program("bin/dpkg-query", "printf 'ii '");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let path = std::env::var("PATH").unwrap();
        Command::new(repository().join(script))
            .args(arguments)
            .env(
                "PATH",
                format!("{}:{path}", self.directory.path().join("bin").display()),
            )
            .env("CARGO_TARGET_DIR", self.path("target"))
            .env("FUZZ_SEED", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.lines()
            .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
            .collect()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn last_line(output: &Output) -> String {
    text(output).lines().last().unwrap_or_default().to_owned()
}

const STEPS: [&str; 9] = [
    "fmt --all",
    "clippy --all-targets",
    "doc --no-deps",
    "deny --locked",
    "deny --locked",
    "deny --locked",
    "test --all-targets",
    "test --doc",
    "test -p",
];

// A failed format check once kept all tests from running, and a failed test the second command of its stage.
#[test]
fn a_step_that_fails_stops_no_other_and_every_failure_is_counted() {
    let machine = Machine::new(
        "fmt*) exit 1 ;;\n\
         doc*) exit 101 ;;\n\
         *all-targets*no-fail-fast*)\n\
         echo 'test result: ok. 2 passed; 0 failed; 2 ignored; 0 measured'\n\
         echo 'test result: FAILED. 1 passed; 4 failed; 0 ignored; 0 measured'; exit 101 ;;\n\
         *bucketfs*) echo 'test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured' ;;",
    );
    let output = machine.run("ci/test", &["lint", "native", "try"]);
    let calls = machine.calls();
    assert_eq!(calls[..STEPS.len()], STEPS);
    assert_eq!(calls[STEPS.len()..], ["run --locked"]);
    // Counted by no line: fmt and doc as failures, clippy, ci/deny, the doc tests and `try` as passed.
    assert_eq!(
        last_line(&output),
        "test result: FAILED. 12 passed; 6 failed; 3 ignored"
    );
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    for failed in ["lint: cargo fmt", "lint: cargo doc", "native: cargo test"] {
        assert!(
            said.contains(&format!("ci/test: failed: {failed}")),
            "{failed}: {said}"
        );
    }
}

#[test]
fn a_run_without_failures_ends_well_with_the_sum_of_what_was_counted() {
    let machine =
        Machine::new("test*) echo 'test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured' ;;");
    let output = machine.run("ci/test", &["native", "try"]);
    assert_eq!(
        last_line(&output),
        "test result: ok. 7 passed; 0 failed; 3 ignored"
    );
    assert!(output.status.success());
}

// A test program that is killed prints no counts at all: the others' must not hide it.
#[test]
fn a_step_that_fails_without_counting_it_counts_as_one_failure() {
    let machine = Machine::new(
        "*all-targets*) echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 101 ;;",
    );
    let output = machine.run("ci/test", &["native"]);
    assert_eq!(
        last_line(&output),
        "test result: FAILED. 4 passed; 1 failed; 0 ignored"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_stage_that_does_not_exist_is_refused_before_anything_runs() {
    let machine = Machine::new("");
    let output = machine.run("ci/test", &["native", "nativ"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(machine.calls().is_empty());
}

// Continuous integration runs the lints as well; nothing that `ci/test` has is left out of it.
#[test]
fn continuous_integration_runs_every_stage() {
    let read = |path: &str| fs::read_to_string(repository().join(path)).unwrap();
    let script = read("ci/test");
    let stages: Vec<_> = script
        .lines()
        .filter_map(|line| line.split_once("() {").map(|name| name.0))
        .filter(|name| *name != "step")
        .collect();
    assert!(stages.contains(&"native"), "{stages:?}");
    let wanted = format!("ci/test\" {}", stages.join(" "));
    assert!(read(".ci/run").contains(&wanted), "{wanted}");
}

#[test]
fn a_fuzz_target_that_fails_is_counted_and_the_others_run() {
    let machine = Machine::new("");
    let triple = host();
    let program = |name: &str, script: &str| {
        machine.program(&format!("target/fuzz/{triple}/fuzz/{name}"), script);
    };
    program("first", "echo broken; exit 77");
    program("second", "echo 'Done 10 runs in 1 second(s)'");
    let output = machine.run("ci/fuzz", &["first", "second", "missing"]);
    let said = text(&output);
    assert!(said.contains("fuzz second ... ok (Done 10 runs"), "{said}");
    assert!(said.contains("broken"), "{said}");
    assert_eq!(
        last_line(&output),
        "test result: FAILED. 1 passed; 2 failed; 0 ignored"
    );
    assert_eq!(output.status.code(), Some(1));
}

fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let said = text(&output);
    let line = said.lines().find_map(|line| line.strip_prefix("host: "));
    line.unwrap().to_owned()
}

// Each script says what it is for, and stops when something in it goes wrong.
#[test]
fn every_script_is_strict_and_explains_itself() {
    let mut scripts = vec![repository().join(".ci/run")];
    scripts.extend(
        fs::read_dir(repository().join("ci"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file()),
    );
    for path in scripts {
        let script = fs::read_to_string(&path).unwrap();
        let mut lines = script.lines();
        assert_eq!(lines.next(), Some("#!/usr/bin/env bash"), "{path:?}");
        assert!(lines.next().unwrap().starts_with("# "), "{path:?}");
        let is_strict = script.contains("\nset -euo pipefail\n") || is_one_command(&path);
        assert!(is_strict, "{path:?}");
    }
}

fn is_one_command(path: &Path) -> bool {
    let script = fs::read_to_string(path).unwrap();
    let commands: Vec<_> = script
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    commands.len() == 1 && commands[0].starts_with("exec ")
}
