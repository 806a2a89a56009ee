//! The documents say what is so: links lead somewhere, commands work, lists are complete, figures are those
//! that were measured.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;

use benches::results::repository;

mod commands;
mod house;
mod lists;
mod place;

/// Every page for people, by its path in the repository.
fn pages() -> Vec<String> {
    let mut pages = vec!["benches/README.md".to_owned()];
    for folder in ["", "docs/"] {
        let entries = fs::read_dir(repository().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        pages.extend(
            names
                .filter(|name| name.ends_with(".md"))
                .map(|name| format!("{folder}{name}")),
        );
    }
    pages.sort();
    pages
}

/// A file of the repository, as text.
fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path))
        .unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}
