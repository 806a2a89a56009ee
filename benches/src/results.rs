//! Measured figures in `docs/results.md`: each program owns one section there and replaces it whole.
//!
//! A section says how it was made: the command, the day, and the machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root: where `docs/` is.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("benches/ is in the repository")
        .to_owned()
}

/// Replaces a section of `docs/results.md`, and says so on standard output.
///
/// # Errors
///
/// When the file has no such section or can not be written.
pub fn write_section(name: &str, command: &str, body: &str) -> io::Result<()> {
    let path = repository().join("docs/results.md");
    let page = fs::read_to_string(&path)?;
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

/// Writes a plot beside the results and returns the Markdown that shows it.
///
/// # Errors
///
/// When it can not be written.
pub fn write_plot(name: &str, title: &str, svg: &str) -> io::Result<String> {
    let folder = repository().join("docs/plots");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{name}.svg")), svg)?;
    Ok(format!("![{title}](plots/{name}.svg)"))
}

/// When and where: a figure without it means nothing.
fn origin() -> String {
    let date = output("date", &["-u", "+%Y-%m-%d"]);
    let commit = output("git", &["describe", "--always", "--dirty", "--exclude=*"]);
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

    /// Each is written by the program of this name, or by a part of `compare`.
    const SECTIONS: [&str; 9] = [
        "roundtrips",
        "compare small",
        "compare large",
        "compare delay",
        "compare idle",
        "compare gbs",
        "store",
        "encode",
        "memory",
    ];
}
