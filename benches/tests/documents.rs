//! Pages under `docs/` that name things of the code name all of them.

use std::fs;

use benches::results::repository;

#[test]
fn every_dependency_has_its_reason() {
    let read =
        |path: &str| fs::read_to_string(repository().join(path)).expect("it is in the repository");
    let page = read("docs/dependencies.md");
    let manifest = read("Cargo.toml");
    let dependencies: Vec<_> = manifest
        .lines()
        .skip_while(|line| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.contains("path ="))
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .collect();
    assert!(dependencies.len() > 20, "{dependencies:?}");
    let missing: Vec<_> = dependencies
        .iter()
        .filter(|name| !page.contains(&format!("`{name}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/dependencies.md does not say why: {missing:?}"
    );
}
