//! Pages that name things of the repository name all of them, and only what is there.

use std::collections::BTreeSet;
use std::path::Path;

use benches::results::{read_plots, repository};

use crate::{pages, read};

#[test]
fn every_dependency_has_its_reason_and_no_other_is_named() {
    let page = read("docs/dependencies.md");
    // What a table names first is used; what else a line names may have been rejected.
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let named: BTreeSet<_> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
        .collect();
    let manifest: toml::Table = toml::from_str(&read("Cargo.toml")).unwrap();
    let dependencies = manifest["workspace"]["dependencies"].as_table().unwrap();
    let used: BTreeSet<_> = dependencies
        .iter()
        .filter(|(_, value)| value.get("path").is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(named, used, "docs/dependencies.md and Cargo.toml differ");
}

#[test]
fn every_link_to_a_file_of_the_repository_leads_somewhere() {
    let mut dead = Vec::new();
    for page in pages() {
        let folder = Path::new(&page).parent().unwrap();
        for link in links(&read(&page)) {
            let path = link.split('#').next().unwrap();
            let target = repository().join(folder).join(path);
            if !path.is_empty() && !path.contains("://") && !target.exists() {
                dead.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn every_link_to_a_section_leads_to_one() {
    let mut dead = Vec::new();
    for page in pages() {
        let folder = Path::new(&page).parent().unwrap();
        for link in links(&read(&page)) {
            let Some((path, section)) = link.split_once('#') else {
                continue;
            };
            if path.contains("://") {
                continue;
            }
            let target = match path {
                "" => page.clone(),
                path => folder.join(path).to_str().unwrap().to_owned(),
            };
            if !sections(&read(&target)).contains(&section.to_owned()) {
                dead.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn the_readme_leads_to_every_page() {
    let readme = read("README.md");
    for page in pages().iter().filter(|page| *page != "README.md") {
        assert!(readme.contains(&format!("({page})")), "{page}");
    }
}

// The first thing that people read must not be the last that is brought up to date.
#[test]
fn every_figure_of_the_readme_is_one_that_was_measured() {
    let readme = read("README.md");
    let (_, table) = readme.split_once("| measured side by side |").unwrap();
    let rows = table.split("\n\n").next().unwrap().lines().skip(2);
    let results = read("docs/results.md");
    let measured: Vec<_> = results
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|line| line.split('|').map(str::trim))
        .collect();
    let mut count = 0;
    for row in rows {
        for figure in row.trim_matches('|').split('|').map(str::trim).skip(1) {
            assert!(
                measured.contains(&figure),
                "docs/results.md has no {figure}: {row}"
            );
            count += 1;
        }
    }
    assert!(count > 10, "{count}");
}

#[test]
fn every_plot_is_drawn_from_the_data_beside_it_and_described_where_it_is_shown() {
    let plots = read_plots().unwrap();
    assert!(plots.len() >= 6, "{}", plots.len());
    let results = read("docs/results.md");
    for (name, plot) in plots {
        let drawn = read(&format!("docs/plots/{name}.svg"));
        assert!(
            drawn == plot.svg(),
            "docs/plots/{name}.svg is not its data: cargo run -p benches --bin plots"
        );
        let shown = format!("![{}](plots/{name}.svg)", plot.description());
        assert!(
            results.contains(&shown),
            "docs/results.md does not show: {shown}"
        );
    }
}

/// Where the links of a page lead. What is quoted as code is no link.
fn links(text: &str) -> Vec<String> {
    let links = text.split("](").skip(1);
    links
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

/// The names of a page's sections, as links spell them.
fn sections(text: &str) -> Vec<String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    titles
        .map(|title| {
            let title = title.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}
