//! What `docs/operations.md` tells people to run works, in the order in which it stands there.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::adopting;
use crate::node::{localise, start, tahoed};

const PAGE: &str = include_str!("../../../../docs/operations.md");

/// The commands of the page that begin with `tahoed` and name a directory.
fn commands() -> Vec<String> {
    let mut found = Vec::new();
    for (index, block) in PAGE.split("```").enumerate() {
        let lines = block.lines().map(|line| line.split('#').next().unwrap());
        match index % 2 {
            // The first line names the language.
            1 => found.extend(lines.skip(1).map(str::to_owned)),
            _ => {
                let spans = block.split('`').skip(1).step_by(2);
                found.extend(spans.map(|span| span.replace('\n', " ")));
            }
        }
    }
    let is_whole = |line: &String| line.starts_with("tahoed ") && line.contains(" /");
    found.retain(is_whole);
    found
}

#[test]
fn every_command_of_the_operators_page_works() {
    let temporary = TempDir::new().unwrap();
    let place = |path: &str| {
        let path = path.trim_start_matches('/');
        temporary.path().join(path).to_str().unwrap().to_owned()
    };
    fs::create_dir_all(place("/srv")).unwrap();
    fs::create_dir_all(place("/mnt/disk")).unwrap();
    let (node, _) = adopting::node();
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(node.path()).arg(place("/srv/tahoe"));
    assert!(copy.status().unwrap().success());

    let commands = commands();
    for verb in ["init", "run", "nurl", "servers-yaml", "adopt"] {
        let begin = format!("tahoed {verb} ");
        assert!(
            commands.iter().any(|line| line.starts_with(&begin)),
            "{verb}"
        );
    }
    for line in commands {
        let words: Vec<String> = line
            .split_whitespace()
            .skip(1)
            .map(|word| match word.starts_with('/') {
                true => place(word),
                false => word.to_owned(),
            })
            .collect();
        if words[0] == "run" {
            let directory = Path::new(&words[1]);
            let config = fs::read(directory.join("tahoed.toml")).unwrap();
            localise(directory);
            let running = start(directory);
            running.terminate();
            assert!(running.wait().success(), "{line}");
            fs::write(directory.join("tahoed.toml"), config).unwrap();
            continue;
        }
        // These ask the running server.
        let running = matches!(words[0].as_str(), "scrub" | "expire" | "count").then(|| {
            let directory = Path::new(&words[1]);
            localise(directory);
            start(directory)
        });
        let done = tahoed().args(&words).output().unwrap();
        assert!(done.status.success(), "{line}: {done:?}");
        drop(running);
    }
}
