//! Every command in the documents works: it is run here, or by a stage of `ci/test` that is named here.
//!
//! A block of commands is a fenced block `sh`. Placeholders get values, servers get addresses of their
//! own, and everything happens in a temporary directory. A block that is not listed here is run just so,
//! and has to work.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use benches::results::repository;

use crate::place::{Place, address, program, with_values};
use crate::{pages, read};

/// How a block is kept true.
enum Way {
    /// The test of this name, below, runs it.
    Here(&'static str),
    /// Each of its lines is a command of this script, which is run by `ci/test`.
    Script(&'static str),
    /// Each is a measurement, whose arguments are parsed here; its outcome is in docs/results.md.
    Measurement,
}

/// Blocks that need more than values for their placeholders, by page and beginning.
const BLOCKS: [(&str, &str, Way); 12] = [
    (
        "README.md",
        "cargo run --locked --profile try",
        Way::Script("ci/test"),
    ),
    ("README.md", "cargo install", Way::Script("ci/install")),
    ("README.md", "tahoed init", Way::Here("a_grid_of_your_own")),
    (
        "README.md",
        "tahoectl init",
        Way::Here("a_grid_of_your_own"),
    ),
    ("CONTRIBUTING.md", "ci/test lint", Way::Script("ci/test")),
    ("docs/operations.md", "tahoed init", Way::Here("a_server")),
    (
        "docs/operations.md",
        "systemctl stop tahoe-node",
        Way::Here("a_node_taken_over"),
    ),
    (
        "docs/operations.md",
        "tahoed scrub",
        Way::Here("a_store_is_taken_care_of"),
    ),
    (
        "docs/fsck.md",
        "tahoectl fsck",
        Way::Here("a_store_is_taken_care_of"),
    ),
    (
        "docs/migration.md",
        "tahoectl migrate",
        Way::Here("a_store_is_taken_care_of"),
    ),
    (
        "docs/tahoectl.md",
        "eval \"$(tahoectl grid up",
        Way::Here("a_grid_to_play_with"),
    ),
    (
        "benches/README.md",
        "cargo build --release -p benches --bin line",
        Way::Here("a_line"),
    ),
];

struct Block {
    page: String,
    text: String,
}

impl Block {
    fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    fn is(&self, page: &str, start: &str) -> bool {
        self.page == page && self.first_line().starts_with(start)
    }

    fn commands(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines().map(|line| match line.split_once(" #") {
            Some((command, _)) => command.trim(),
            None => line.trim(),
        });
        lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
    }
}

/// All blocks of commands, in the order of the pages.
fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for page in pages() {
        let text = read(&page);
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(language) = line.trim_start().strip_prefix("```") else {
                continue;
            };
            let body: Vec<_> = lines
                .by_ref()
                .take_while(|line| !line.trim_start().starts_with("```"))
                .collect();
            let other = ["bash", "shell", "console", "shell-session"];
            assert!(
                !other.contains(&language),
                "{page}: commands are in blocks named sh"
            );
            if language == "sh" {
                let text = body.join("\n");
                blocks.push(Block {
                    page: page.clone(),
                    text,
                });
            }
        }
    }
    blocks
}

fn block(page: &str, start: &str) -> String {
    let found = blocks().into_iter().find(|block| block.is(page, start));
    found
        .unwrap_or_else(|| panic!("{page} has no block that starts with {start:?}"))
        .text
}

#[test]
fn every_block_of_commands_is_run() {
    let own = fs::read_to_string(repository().join("benches/tests/documents/commands.rs")).unwrap();
    for (index, block) in (100..).zip(blocks()) {
        let known = BLOCKS.iter().find(|(page, start, _)| block.is(page, start));
        let way = match known {
            Some((_, _, way)) => way,
            None if block.commands().all(is_measurement) => &Way::Measurement,
            None => {
                Place::new().run(&with_values(&block.text, index));
                continue;
            }
        };
        match way {
            Way::Here(test) => assert!(own.contains(&format!("fn {test}"))),
            Way::Script(script) => {
                let text = fs::read_to_string(repository().join(script)).unwrap();
                for command in block.commands() {
                    let is_script = repository()
                        .join(command.split(' ').next().unwrap())
                        .is_file();
                    assert!(
                        is_script || text.contains(command),
                        "{script} does not run: {command}"
                    );
                }
            }
            Way::Measurement => {}
        }
    }
    for (page, start, _) in &BLOCKS {
        block(page, start);
    }
}

fn is_measurement(command: &str) -> bool {
    command.starts_with("cargo run --release -p benches --bin ")
}

// Beside a running server, and without one.
#[test]
fn a_store_is_taken_care_of() {
    let care = [
        block("docs/fsck.md", "tahoectl fsck"),
        block("docs/migration.md", "tahoectl migrate"),
    ]
    .join("\n");
    let place = Place::new();
    let server = "tahoed init /srv/tahoed --location storage.example.org";
    let stopped = format!("{server}\n{care}");
    place.run(&with_values(&stopped, 40));
    let place = Place::new();
    let asked = block("docs/operations.md", "tahoed scrub");
    let running = format!("{server}\ntahoed run /srv/tahoed\n{asked}\n{care}");
    place.run(&with_values(&running, 41));
}

// In blocks and in running text: results.md repeats them, benches/README.md lists them.
#[test]
fn every_measurement_that_is_named_exists_and_takes_its_arguments() {
    let mut found = BTreeMap::new();
    for page in pages() {
        for (_, rest) in read(&page)
            .match_indices("cargo run --release -p benches --bin ")
            .map(|(at, start)| (at, read(&page)[at + start.len()..].to_owned()))
        {
            let command = rest.split(['`', '\n']).next().unwrap().trim().to_owned();
            found.insert(command, page.clone());
        }
    }
    assert!(found.len() > 10, "{found:?}");
    for (command, page) in found {
        let (name, arguments) = command.split_once(" -- ").unwrap_or((&command, ""));
        let output = Command::new(program(name))
            .args(arguments.split_whitespace())
            .arg("--help")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{page}: {command}: {said}");
    }
}

// In running text: `tahoectl grid up DIR` names commands and options that there are.
#[test]
fn every_command_that_a_sentence_names_exists() {
    let mut wrong = Vec::new();
    for page in pages() {
        for span in spans(&read(&page)) {
            let mut words = span.split_whitespace().peekable();
            let Some(name) = words.next_if(|word| ["tahoed", "tahoectl"].contains(word)) else {
                continue;
            };
            let mut command = Command::new(program(name));
            let is_name = |word: &&str| {
                word.chars()
                    .all(|char| char.is_ascii_lowercase() || char == '-')
            };
            while let Some(word) = words.next_if(|word| is_name(word) && !word.starts_with('-')) {
                command.arg(word);
            }
            let output = command.arg("--help").output().unwrap();
            let help = String::from_utf8_lossy(&output.stdout);
            let known: Vec<_> = help
                .split(|char: char| !char.is_ascii_alphanumeric() && char != '-')
                .collect();
            let mut options = words.filter(|word| word.starts_with("--"));
            if !output.status.success() || !options.all(|option| known.contains(&option)) {
                wrong.push(format!("{page}: {span}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What stands between backquotes in a page's sentences, also over the end of a line.
fn spans(text: &str) -> Vec<String> {
    let mut sentences = String::new();
    let mut is_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            sentences += line;
            // Where a paragraph ends, a span that was not closed ends too.
            sentences.push(if line.is_empty() { '\n' } else { ' ' });
        }
    }
    let paragraphs = sentences.split('\n');
    paragraphs
        .flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

// The scripts install the same ones, in every run on a machine that lacks them.
#[test]
fn every_package_that_the_readme_names_is_one_that_the_tests_use() {
    let readme = read("README.md");
    let (_, packages) = readme.split_once("`apt-get install ").unwrap();
    let (packages, _) = packages.split_once('`').unwrap();
    let scripts = ["ci/install", "ci/i686-toolchain"].map(read).concat();
    let words: Vec<_> = scripts.split([' ', '"', '=', '\n']).collect();
    for package in packages.split(' ') {
        assert!(words.contains(&package), "no script uses {package}");
    }
}

// With as many servers as a beginner may have.
#[test]
fn a_grid_of_your_own_works_with_one_server_and_with_three() {
    for servers in [1_u8, 3] {
        let place = Place::new();
        let mut script = String::new();
        for index in 0..servers {
            let server = block("README.md", "tahoed init").replace("/tahoed", &format!("/{index}"));
            script += &with_values(&server, 10 * servers + index);
            script.push('\n');
        }
        script += &with_values(&block("README.md", "tahoectl init"), 0);
        place.run(&script);
        place.expect_the_same("photo.jpg", "copy.jpg");
    }
}

#[test]
fn a_server_is_made_run_and_told_of() {
    let place = Place::new();
    let said = place.run(&with_values(&block("docs/operations.md", "tahoed init"), 1));
    assert!(
        said.contains("pb://") && said.contains("storage:"),
        "{said}"
    );
}

#[test]
fn a_node_taken_over_serves_under_its_old_identity() {
    let place = Place::new();
    let node = place.path("srv/tahoe");
    fs::create_dir_all(node.join("storage/shares/incoming")).unwrap();
    copy_tree(
        &repository().join("daemon/tests/fixtures/tahoe-node"),
        &node,
    );
    // Not the port of whatever else runs here.
    let settings = fs::read_to_string(node.join("tahoe.cfg")).unwrap();
    let settings = settings.replace("interface=127.0.0.1", &format!("interface={}", address(2)));
    fs::write(node.join("tahoe.cfg"), settings).unwrap();
    let script = with_values(&block("docs/operations.md", "systemctl stop"), 2);
    let said = place.run(&format!("{script}\ntahoed nurl srv/tahoe\n"));
    assert!(said.contains("2knmi7affpq6wuuc4fdyrzz3qtdx3nkz"), "{said}");
}

#[test]
fn a_grid_to_play_with_stores_a_file_and_ends() {
    let place = Place::new();
    place.run(&with_values(&block("docs/tahoectl.md", "eval"), 3));
    place.expect_the_same("photo.jpg", "copy.jpg");
}

// It needs root, /dev/net/tun and iproute2, as the other tests of the line do.
#[test]
fn a_line_joins_two_hosts_and_goes_away() {
    let place = Place::new();
    // Of this process alone, and gone after a while even if nobody ends it.
    let line = format!(
        "{} --name documents-{}",
        program("line").display(),
        std::process::id()
    );
    let script = block("benches/README.md", "cargo build")
        .replace(
            "cargo build --release -p benches --bin line",
            "shopt -s expand_aliases",
        )
        .replace(
            "alias line=target/release/line",
            &format!("alias line='{line}'"),
        )
        .replace("line up ", "line up --ttl 120 ")
        .replace("tahoed run DIR", "tahoed --version")
        .replace("tahoectl upload FILE", "tahoectl --version");
    place.run(&script);
}

// What a newcomer sees is what the page promises, but for the numbers and the names of directories.
#[test]
fn the_readme_shows_what_try_prints() {
    let readme = read("README.md");
    let (_, sample) = readme.split_once("-- try\n").unwrap();
    let (sample, _) = sample.split_once("\n```").unwrap();
    let place = Place::new();
    let said = place.run("tahoectl try 2>&1");
    assert_eq!(
        words(sample),
        words(&said),
        "README.md shows:\n{sample}\ntahoectl try prints:\n{said}"
    );
}

/// The words of each line, without what differs from run to run: numbers, units, paths, capabilities, remarks in
/// brackets, and how many servers were asked in vain.
fn words(text: &str) -> Vec<Vec<&str>> {
    let is_word = |word: &&str| word.len() > 2 && word.chars().all(char::is_alphabetic);
    text.trim()
        .lines()
        .map(|line| {
            if line.starts_with("URI:") {
                return vec!["a capability"];
            }
            let line = line.split('(').next().unwrap();
            let line = line.split(", past ").next().unwrap();
            let words = line.split([' ', ',', ':']);
            let words = words.filter(is_word);
            // How many there are is a matter of time.
            words
                .map(|word| if word == "trips" { "trip" } else { word })
                .collect()
        })
        .collect()
}

fn copy_tree(source: &Path, target: &Path) {
    fs::create_dir_all(target).unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        let to = target.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
            // A checkout knows no private modes.
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}
