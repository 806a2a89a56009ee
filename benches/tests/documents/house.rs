//! The code is as ARCHITECTURE.md says: who uses whom, where `unsafe` is, where the limits are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use benches::results::repository;

use crate::read;

const MAP: &str = "ARCHITECTURE.md";

#[test]
fn crates_use_only_those_that_the_map_allows() {
    let listed: BTreeMap<_, _> = table("## Crates")
        .into_iter()
        .map(|row| {
            let [name, folder, _, uses] = <[String; 4]>::try_from(row).unwrap();
            let [name, folder] = [name, folder].map(|cell| quoted(&cell).next().unwrap());
            (name, (folder, uses))
        })
        .collect();
    let members = members();
    let is_listed = |(name, member): (&String, &Member)| {
        let row = listed.get(name);
        row.is_some_and(|(folder, _)| *folder == member.folder)
    };
    assert!(
        listed.len() == members.len() && members.iter().all(is_listed),
        "{MAP} lists other crates than there are: {:?}",
        listed.keys()
    );
    for (name, member) in &members {
        let (_, allowed) = &listed[name];
        if allowed != "all" {
            let allowed: BTreeSet<_> = quoted(allowed).collect();
            assert_eq!(member.uses, allowed, "{name} uses others than {MAP} allows");
        }
    }
}

// The client is no server. It names the server's crates where it starts servers on this machine, and the
// store's where it works on one.
#[test]
fn the_client_names_the_servers_crates_only_for_the_local_grid_and_for_stores() {
    let mut elsewhere = Vec::new();
    for path in sources()
        .iter()
        .filter(|path| path.starts_with("tools/") && path.contains("/src/"))
    {
        let code = code(&read(path));
        let [daemon, bucketfs] = ["daemon", "bucketfs"].map(|name| names_crate(&code, name));
        let in_local_grid = path.starts_with("tools/src/local");
        let on_stores = ["tools/src/fsck", "tools/src/migrate", "tools/src/stats.rs"];
        let on_a_store = on_stores.iter().any(|place| path.starts_with(place));
        if (daemon && !in_local_grid) || (bucketfs && !in_local_grid && !on_a_store) {
            elsewhere.push(path.clone());
        }
    }
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}

// Sockets, files, clocks and threads have no place in the state machines.
#[test]
fn state_machines_do_no_input_or_output() {
    let mut found = Vec::new();
    for path in sources() {
        let pure = [
            "encoder/src",
            "encoder/lafs/src",
            "encoder/share/src",
            "daemon/protocol/src",
        ];
        if !pure.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let code = code(&read(&path));
        let code = code.split("mod tests {").next().unwrap();
        for name in [
            "std::fs",
            "TcpStream",
            "UdpSocket",
            "std::thread",
            "std::process",
            "SystemTime",
            "Instant::now",
        ] {
            if code.contains(name) {
                found.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_file_with_unsafe_code_has_its_reason() {
    let found: BTreeSet<_> = sources()
        .into_iter()
        .filter(|path| has_unsafe(&code(&read(path))))
        .collect();
    let listed: BTreeSet<_> = table("## `unsafe`")
        .iter()
        .map(|row| quoted(&row[0]).next().unwrap())
        .collect();
    assert_eq!(
        found, listed,
        "{MAP} lists other files than have unsafe code"
    );
}

#[test]
fn every_file_of_limits_is_on_the_map() {
    let listed: BTreeSet<_> = table("## Limits")
        .iter()
        .map(|row| quoted(&row[0]).next().unwrap())
        .collect();
    for path in &listed {
        assert!(repository().join(path).is_file(), "there is no {path}");
    }
    let found = sources()
        .into_iter()
        .filter(|path| path.contains("/src/") && path.ends_with("/limits.rs"));
    for path in found {
        assert!(listed.contains(&path), "{MAP} does not list {path}");
    }
}

// What is read first must be there.
#[test]
fn every_file_that_the_map_names_exists() {
    let page = read(MAP);
    let mut missing = Vec::new();
    for name in quoted(&page) {
        let is_path = name.contains('/') && !name.contains(['$', ':', ' ', '<']);
        if is_path && !repository().join(&name).exists() {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

// `cargo install` and whoever looks at a package see these.
#[test]
fn every_package_says_what_it_is() {
    for (name, member) in members() {
        let manifest = manifest(&member.folder);
        let package = manifest["package"].as_table().unwrap();
        for key in ["description", "keywords", "categories"] {
            assert!(package.contains_key(key), "{name} has no {key}");
        }
        let keywords = package["keywords"].as_array().map(Vec::len);
        assert!(
            keywords.unwrap_or_default() <= 5,
            "{name}: more keywords than a registry takes"
        );
        assert!(
            manifest.contains_key("lints"),
            "{name} does not take the workspace's lints"
        );
    }
}

struct Member {
    folder: String,
    uses: BTreeSet<String>,
}

/// The packages of the workspace, by name, and which of the others each uses outside of its tests.
fn members() -> BTreeMap<String, Member> {
    let workspace: toml::Table = toml::from_str(&read("Cargo.toml")).unwrap();
    let folders = workspace["workspace"]["members"].as_array().unwrap();
    let folders: Vec<_> = folders
        .iter()
        .map(|folder| folder.as_str().unwrap())
        .collect();
    // A dependency is named by its key, which may differ from the package's name.
    let dependencies = workspace["workspace"]["dependencies"].as_table().unwrap();
    let packages: BTreeMap<_, _> = dependencies
        .iter()
        .filter_map(|(key, value)| {
            let folder = value.get("path")?.as_str()?;
            Some((key.as_str(), package_name(&manifest(folder))))
        })
        .collect();
    folders
        .iter()
        .map(|folder| {
            let manifest = manifest(folder);
            let used = manifest["dependencies"].as_table().unwrap();
            let uses = used
                .keys()
                .filter_map(|key| packages.get(key.as_str()).cloned());
            let member = Member {
                folder: (*folder).to_owned(),
                uses: uses.collect(),
            };
            (package_name(&manifest), member)
        })
        .collect()
}

fn manifest(folder: &str) -> toml::Table {
    toml::from_str(&read(&format!("{folder}/Cargo.toml"))).unwrap()
}

fn package_name(manifest: &toml::Table) -> String {
    manifest["package"]["name"].as_str().unwrap().to_owned()
}

/// The rows of the first table in a section of the map.
fn table(section: &str) -> Vec<Vec<String>> {
    let page = read(MAP);
    let (_, text) = page.split_once(&format!("\n{section}\n")).unwrap();
    let rows = text
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|row| {
            let cells = row.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// All Rust files of the repository, by their paths in it.
fn sources() -> Vec<String> {
    let mut sources = Vec::new();
    for member in members().into_values() {
        collect(&member.folder, &mut sources);
    }
    sources.sort();
    // A crate may lie in another's folder.
    sources.dedup();
    assert!(sources.len() > 100, "{}", sources.len());
    sources
}

fn collect(folder: &str, sources: &mut Vec<String>) {
    for entry in fs::read_dir(repository().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&path, sources);
        } else if Path::new(&path)
            .extension()
            .is_some_and(|extension| extension == "rs")
        {
            sources.push(path);
        }
    }
}

/// A file's lines without their comments, and without what is in double quotes.
fn code(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines() {
        let line = line.split("//").next().unwrap();
        let line = line.replace("\\\"", "").replace("'\"'", "");
        code.extend(line.split('"').step_by(2));
        code.push('\n');
    }
    code
}

fn has_unsafe(code: &str) -> bool {
    words(code, "unsafe").any(|rest| {
        rest.trim_start()
            .starts_with(['{', '(', 'f', 'i', 'e', 't'])
    })
}

/// Whether code names a crate: `name::` or `use name`, and not a module of that name.
fn names_crate(code: &str, name: &str) -> bool {
    let mut names = code
        .match_indices(name)
        .map(|(at, _)| (&code[..at], &code[at + name.len()..]));
    names.any(|(before, after)| {
        let is_path = after.starts_with("::")
            || after.starts_with([';', ',', ' ']) && before.ends_with("use ");
        let is_root =
            !before.ends_with(|char: char| char.is_alphanumeric() || matches!(char, '_' | ':'));
        is_path && is_root
    })
}

/// What follows each occurrence of a whole word.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let is_inner = |char: char| char.is_alphanumeric() || char == '_';
    code.match_indices(word).filter_map(move |(at, _)| {
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        (!before.ends_with(is_inner) && !after.starts_with(is_inner)).then_some(after)
    })
}

#[test]
fn comments_strings_and_longer_words_are_not_unsafe_code() {
    for line in [
        "unsafe { x }",
        "#[unsafe(no_mangle)]",
        "pub unsafe fn f()",
        "unsafe impl Send",
    ] {
        assert!(has_unsafe(&code(line)), "{line}");
    }
    for line in [
        "// unsafe { x }",
        "let x = \"unsafe {\";",
        "#[expect(unsafe_code)]",
        "an_unsafe {",
    ] {
        assert!(!has_unsafe(&code(line)), "{line}");
    }
}

#[test]
fn a_crate_is_told_from_a_module_of_its_name() {
    for line in ["use daemon::init;", "daemon::serve()", "use daemon;"] {
        assert!(names_crate(line, "daemon"), "{line}");
    }
    for line in [
        "use crate::daemon::x;",
        "mod daemon;",
        "a_daemon::x",
        "let daemon = 1;",
    ] {
        assert!(!names_crate(line, "daemon"), "{line}");
    }
}
