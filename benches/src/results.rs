//! Measured figures in `docs/results.md`: each program owns one section there and replaces it whole.
//!
//! A section says how it was made: the command, the day, and the machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::plot::Plot;

/// The repository's root: where `docs/` is.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("benches/ is in the repository")
        .to_owned()
}

/// Refuses to go on where figures could not be written: before the hour of measuring, not after it.
///
/// # Errors
///
/// When `write` is asked for and files are changed that are in no commit. What these programs write
/// themselves does not count.
pub fn expect_writable(write: bool) -> io::Result<()> {
    let changed = match write {
        true => changed(&repository())?,
        false => Vec::new(),
    };
    if changed.is_empty() {
        return Ok(());
    }
    let changed = changed.join(", ");
    Err(io::Error::other(format!(
        "figures are written from a commit only, so that they can be had again; commit first: {changed}"
    )))
}

/// Replaces a section of `docs/results.md` with what this process has measured, and says so on standard output.
///
/// # Errors
///
/// When files are changed that are in no commit, or the page has no such section or can not be written.
pub fn write_section(name: &str, body: &str) -> io::Result<()> {
    expect_writable(true)?;
    let path = repository().join("docs/results.md");
    let page = fs::read_to_string(&path)?;
    let command = command(std::env::args());
    let text = format!("{}\n\n```sh\n{command}\n```\n\n{}\n", origin(), body.trim());
    let Some(page) = with_section(&page, name, &text) else {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!(
                "{}: no section `<!-- {name} -->` ... `<!-- end {name} -->`",
                path.display()
            ),
        ));
    };
    fs::write(&path, page)?;
    println!("wrote section '{name}' of {}", path.display());
    Ok(())
}

/// Writes a plot and its data beside the results, and returns the Markdown that shows it.
///
/// # Errors
///
/// When it can not be written.
pub fn write_plot(name: &str, plot: &Plot) -> io::Result<String> {
    let folder = plots();
    fs::create_dir_all(&folder)?;
    let data = serde_json::to_string_pretty(plot)?;
    fs::write(folder.join(format!("{name}.json")), data + "\n")?;
    fs::write(folder.join(format!("{name}.svg")), plot.svg())?;
    Ok(format!("![{}](plots/{name}.svg)", plot.description()))
}

/// All plots that are kept, with their names.
///
/// # Errors
///
/// When one can not be read.
pub fn read_plots() -> io::Result<Vec<(String, Plot)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(plots())? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let name = path.file_stem().unwrap_or_default();
            let plot = serde_json::from_str(&fs::read_to_string(&path)?)?;
            found.push((name.to_string_lossy().into_owned(), plot));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

fn plots() -> PathBuf {
    repository().join("docs/plots")
}

/// How to run this process again.
fn command(mut arguments: impl Iterator<Item = String>) -> String {
    let program = arguments.next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    let arguments: Vec<_> = arguments.collect();
    format!(
        "cargo run --release -p benches --bin {name} -- {}",
        arguments.join(" ")
    )
}

/// Files that differ from the last commit, but for the results themselves.
fn changed(repository: &Path) -> io::Result<Vec<String>> {
    let output = Command::new("git")
        .args(["status", "--porcelain", "--untracked-files=no", "--", "."])
        .args([":(exclude)docs/results.md", ":(exclude)docs/plots"])
        .current_dir(repository)
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("git status: {}", said.trim())));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let lines = said.lines().filter_map(|line| line.get(3..));
    Ok(lines.map(str::to_owned).collect())
}

/// When and where: a figure without it means nothing.
fn origin() -> String {
    let date = output("date", &["-u", "+%Y-%m-%d"]);
    let commit = output("git", &["rev-parse", "--short", "HEAD"]);
    let kernel = output("uname", &["-rm"]);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let model = model.unwrap_or_else(|| "an unnamed CPU".to_owned());
    format!(
        "Measured {date} at commit {commit}: {cores} cores of {model}, Linux {kernel}; a shared, noisy machine."
    )
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(repository())
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

fn with_section(page: &str, name: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(&format!("<!-- {name} -->\n"))?;
    let (_, after) = rest.split_once(&format!("<!-- end {name} -->"))?;
    Some(format!(
        "{before}<!-- {name} -->\n\n{text}\n<!-- end {name} -->{after}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "# Results\n\n<!-- a -->\nold\n<!-- end a -->\n\n<!-- b -->\nkept\n<!-- end b -->\n";

    #[test]
    fn a_section_is_replaced_and_the_others_are_kept() {
        let page = with_section(PAGE, "a", "new\n").expect("it has that section");
        assert_eq!(
            page,
            "# Results\n\n<!-- a -->\n\nnew\n\n<!-- end a -->\n\n<!-- b -->\nkept\n<!-- end b -->\n"
        );
        assert_eq!(with_section(&page, "a", "new\n"), Some(page));
    }

    #[test]
    fn a_page_without_the_section_is_left_alone() {
        assert_eq!(with_section(PAGE, "c", "new"), None);
    }

    #[test]
    fn the_results_page_has_a_section_for_each_program() {
        let page = fs::read_to_string(repository().join("docs/results.md")).expect("the page");
        for name in SECTIONS {
            assert!(with_section(&page, name, "").is_some(), "{name}");
        }
    }

    // Figures from a changed work tree could never be had again.
    #[test]
    fn only_the_results_themselves_may_differ_from_the_commit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let git = |arguments: &[&str]| {
            let settings = [
                "-c",
                "user.name=n",
                "-c",
                "user.email=e",
                "-c",
                "commit.gpgsign=false",
            ];
            let mut git = Command::new("git");
            let output = git
                .args(settings)
                .args(arguments)
                .current_dir(path)
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
        };
        fs::create_dir_all(path.join("docs/plots")).unwrap();
        for name in ["code.rs", "docs/results.md", "docs/plots/small.svg"] {
            fs::write(path.join(name), "old").unwrap();
        }
        git(&["init", "--quiet"]);
        git(&["add", "."]);
        git(&["commit", "--quiet", "--message", "m"]);
        assert!(changed(path).unwrap().is_empty());
        fs::write(path.join("docs/results.md"), "new").unwrap();
        fs::write(path.join("docs/plots/small.svg"), "new").unwrap();
        assert!(changed(path).unwrap().is_empty());
        fs::write(path.join("code.rs"), "new").unwrap();
        assert_eq!(changed(path).unwrap(), ["code.rs"]);
    }

    // The page once named commands without the options that its figures were made with.
    #[test]
    fn the_command_is_the_one_that_was_given() {
        let arguments = ["target/release/compare", "large", "--huge", "--write"];
        assert_eq!(
            command(arguments.map(str::to_owned).into_iter()),
            "cargo run --release -p benches --bin compare -- large --huge --write"
        );
    }

    /// Each is written by the program of this name, or by a part of `compare`.
    const SECTIONS: [&str; 10] = [
        "roundtrips",
        "compare small",
        "compare large",
        "compare delay",
        "compare idle",
        "compare gbs",
        "compare process",
        "store",
        "encode",
        "memory",
    ];
}
