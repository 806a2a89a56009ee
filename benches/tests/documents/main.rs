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

#[test]
fn every_link_to_a_file_of_the_repository_leads_somewhere() {
    let root = repository();
    let mut pages = vec![root.join("README.md"), root.join("benches/README.md")];
    let documents = fs::read_dir(root.join("docs")).expect("there are documents");
    pages.extend(
        documents
            .map(|entry| entry.expect("it can be listed").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md")),
    );
    let mut dead = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).expect("it is text");
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|link| link.0)
        {
            let path = link.split('#').next().unwrap_or(link);
            let folder = page.parent().expect("a page is in a folder");
            if !path.is_empty() && !path.contains("://") && !folder.join(path).exists() {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn the_readme_leads_to_every_document() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("it is text");
    let documents = fs::read_dir(repository().join("docs")).expect("there are documents");
    for entry in documents {
        let entry = entry.expect("it can be listed");
        let name = entry.file_name().into_string().expect("its name is text");
        if name.ends_with(".md") {
            assert!(readme.contains(&format!("(docs/{name})")), "docs/{name}");
        }
    }
}
