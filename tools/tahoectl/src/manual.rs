//! The manual page of the command line, `docs/tahoectl.md`, is made from the help texts.
//!
//! `UPDATE=1 cargo test -p tahoectl manual` writes it; otherwise the test compares.

use std::fmt::Write;

use clap::{Command, CommandFactory};
use tools::home::Encoding;

use crate::arguments::Arguments;

const BEGIN: &str = "<!-- from here on made by `UPDATE=1 cargo test -p tahoectl manual` -->\n";

#[test]
fn the_manual_says_what_the_help_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tahoectl.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (by_hand, made) = text.split_once(BEGIN).expect("the mark is there");
    let mut expected = String::new();
    let mut command = Arguments::command();
    command.build();
    describe(&mut command, "tahoectl", &mut expected);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, format!("{by_hand}{BEGIN}{expected}")).unwrap();
    } else {
        assert!(
            made == expected,
            "run UPDATE=1 cargo test -p tahoectl manual"
        );
    }
}

// A table that is wrong is worse than none.
#[test]
fn the_manual_has_the_numbers_that_are_chosen() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tahoectl.md");
    let text = std::fs::read_to_string(path).unwrap();
    for servers in 1..=10 {
        let Encoding {
            needed,
            happy,
            total,
        } = Encoding::for_grid(servers);
        let more = if servers == 10 { " and more" } else { "" };
        let row = format!("| {servers}{more} | {total} | {needed} | {happy} |\n");
        assert!(text.contains(&row), "{row}");
    }
}

// Programs are written against these words.
#[test]
fn the_manual_names_every_word_that_programs_branch_on() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tahoectl.md");
    let text = std::fs::read_to_string(path).unwrap();
    let source = include_str!("object.rs");
    let words: Vec<_> = source
        .lines()
        .filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","))
        .collect();
    assert!(words.len() > 30, "{words:?}");
    for word in words {
        assert!(text.contains(&format!("`{word}`")), "{word}");
    }
}

fn describe(command: &mut Command, name: &str, text: &mut String) {
    let help = command.render_long_help().to_string();
    let help: Vec<_> = help.lines().map(str::trim_end).collect();
    write!(
        text,
        "\n## `{name}`\n\n```text\n{}\n```\n",
        help.join("\n").trim_end()
    )
    .unwrap();
    let hidden = |command: &&mut Command| !command.is_hide_set() && command.get_name() != "help";
    for command in command.get_subcommands_mut().filter(hidden) {
        let name = format!("{name} {}", command.get_name());
        describe(command, &name, text);
    }
}
