//! The manual page of the command line, `docs/tahoectl.md`, is made from the help texts.
//!
//! `UPDATE=1 cargo test -p tahoectl manual` writes it; otherwise the test compares.

use std::fmt::Write;

use clap::{Command, CommandFactory};

use crate::arguments::Arguments;

const BEGIN: &str = "<!-- from here on made by `UPDATE=1 cargo test -p tahoectl manual` -->\n";

#[test]
fn the_manual_says_what_the_help_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tahoectl.md");
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
