//! Every command in the documents works: it is run here, or by a stage of `ci/test` that is named here.
//!
//! A block of commands is a fenced block `sh`. Placeholders get values, servers get addresses of their
//! own, and everything happens in a temporary directory. A block that this file does not know fails.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use benches::results::repository;

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

/// Every block of every page, by its page and a part of its first line.
const BLOCKS: [(&str, &str, Way); 9] = [
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
fn every_block_of_commands_is_run_by_somebody() {
    let own = fs::read_to_string(repository().join("benches/tests/documents/commands.rs")).unwrap();
    let mut unknown = Vec::new();
    for block in blocks() {
        let known = BLOCKS.iter().find(|(page, start, _)| block.is(page, start));
        let way = match known {
            Some((_, _, way)) => way,
            None if block.commands().all(is_measurement) => &Way::Measurement,
            None => {
                unknown.push(format!("{}: {}", block.page, block.first_line()));
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
    assert!(unknown.is_empty(), "nobody runs: {unknown:#?}");
    for (page, start, _) in &BLOCKS {
        block(page, start);
    }
}

fn is_measurement(command: &str) -> bool {
    command.starts_with("cargo run --release -p benches --bin ")
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
            script += &on_own_address(
                &block("README.md", "tahoed init").replace("/srv/tahoed", &format!("srv/{index}")),
                10 * servers + index,
            );
            script.push('\n');
        }
        script += &block("README.md", "tahoectl init")
            .replace("NURL...", "$(cat nurls)")
            .replace("FILE", "photo.jpg")
            .replace("CAPABILITY", "$(cat cap)")
            .replace("COPY", "copy.jpg");
        place.run(&script);
        place.expect_the_same("photo.jpg", "copy.jpg");
    }
}

#[test]
fn a_server_is_made_run_and_told_of() {
    let place = Place::new();
    let script = block("docs/operations.md", "tahoed init").replace("/srv/", "srv/");
    let said = place.run(&on_own_address(&script, 1));
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
    let script = block("docs/operations.md", "systemctl stop").replace("/srv/", "srv/");
    let said = place.run(&format!("{script}\ntahoed nurl srv/tahoe\n"));
    assert!(said.contains("2knmi7affpq6wuuc4fdyrzz3qtdx3nkz"), "{said}");
}

#[test]
fn a_grid_to_play_with_stores_a_file_and_ends() {
    let place = Place::new();
    let script = block("docs/tahoectl.md", "eval").replace("/tmp/grid", "$PWD/grid");
    place.run(&script);
    place.expect_the_same("photo.jpg", "copy.jpg");
}

// It needs root, /dev/net/tun and iproute2, as the other tests of the line do.
#[test]
fn a_line_joins_two_hosts_and_goes_away() {
    let place = Place::new();
    let line = program("line");
    let script = block("benches/README.md", "cargo build")
        .replace(
            "cargo build --release -p benches --bin line",
            "shopt -s expand_aliases",
        )
        .replace("target/release/line", line.to_str().unwrap())
        .replace(
            "line exec server -- tahoed run DIR",
            "line exec server -- tahoed --version",
        )
        .replace(
            "line exec client -- tahoectl upload FILE",
            "line exec client -- tahoectl --version",
        );
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
            let line = line.split('(').next().unwrap();
            let line = line.split(", past ").next().unwrap();
            let words = line.split([' ', ',', ':']);
            words.filter(is_word).collect()
        })
        .collect()
}

/// A temporary directory in which commands are run, with a file to store.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = Self { directory };
        fs::create_dir(place.path("srv")).unwrap();
        let photo: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        fs::write(place.path("photo.jpg"), photo).unwrap();
        for (name, program) in [
            ("tahoed", program("tahoed")),
            ("tahoectl", program("tahoectl")),
        ] {
            let link = place.path("bin").join(name);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(program, link).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a script that must succeed, and returns what it prints.
    fn run(&self, script: &str) -> String {
        let whole = format!("{PRELUDE}\n{script}\n");
        let path = std::env::var("PATH").unwrap();
        let output = Command::new("timeout")
            .args(["120", "bash", "-c", &whole])
            .current_dir(self.directory.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.directory.path())
            .env_remove("TAHOECTL_DIR")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{script}\n{}\n{said}\n{complained}",
            output.status
        );
        said
    }

    fn expect_the_same(&self, one: &str, other: &str) {
        assert_eq!(
            fs::read(self.path(one)).unwrap(),
            fs::read(self.path(other)).unwrap()
        );
    }
}

/// What a reader does with two hands and two terminals: servers run in the background once they say
/// that they listen, and end with the script; what is printed is noted.
const PRELUDE: &str = r#"
set -euo pipefail
mkdir -p "$HOME"
servers=() outputs=()
end() {
    local output
    kill "${servers[@]}" 2>/dev/null || true
    # The end of its output is the end of the process.
    for output in "${outputs[@]}"; do cat <&"$output" >/dev/null; done
    if [ -d grid ]; then command tahoectl grid down "$PWD/grid" >/dev/null 2>&1 || true; fi
}
trap end EXIT
tahoed() {
    local lines line
    case $1 in
        run)
            exec {lines}< <(exec "$PWD/bin/tahoed" "$@" 2>>log)
            servers+=($!) outputs+=("$lines")
            read -r line <&"$lines" || { cat log >&2; return 1; }
            ;;
        nurl) command tahoed "$@" | tee -a nurls ;;
        *) command tahoed "$@" ;;
    esac
}
tahoectl() {
    case $1 in
        upload) command tahoectl "$@" | tee cap ;;
        *) command tahoectl "$@" ;;
    esac
}
systemctl() { :; }
"#;

/// Lets a server listen on a loopback address that no other test and no other server has.
fn on_own_address(script: &str, index: u8) -> String {
    let address = address(index);
    script.replace(
        "--location storage.example.org",
        &format!("--location {address} --listen {address}:3457"),
    )
}

fn address(index: u8) -> String {
    let [high, low] = std::process::id().to_be_bytes()[2..] else {
        unreachable!("a number of four bytes")
    };
    format!("127.{}.{low}.{}", 64 + high % 64, index + 1)
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

/// A program of this project, built for this test's profile.
///
/// `cargo test` on the whole workspace builds all of them.
fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join(name);
    let sources = format!("{}.d", path.display());
    let sources = fs::read_to_string(&sources).unwrap_or_else(|_| {
        panic!("{path:?} is not built: cargo build --bin tahoed --bin tahoectl, or cargo test without -p")
    });
    let built = fs::metadata(&path).unwrap().modified().unwrap();
    let (_, sources) = sources.split_once(": ").unwrap();
    for source in sources.split_whitespace() {
        let changed = fs::metadata(source).unwrap().modified().unwrap();
        assert!(
            changed <= built,
            "{path:?} is older than {source}: build it first"
        );
    }
    path
}
