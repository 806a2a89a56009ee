//! A place in which the commands of a page are run: programs, files, addresses of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A temporary directory in which commands are run, with a file to store.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a script that must succeed, and returns what it prints.
    pub(crate) fn run(&self, script: &str) -> String {
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

    pub(crate) fn expect_the_same(&self, one: &str, other: &str) {
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

/// A script with values for the placeholders of the pages. A server listens on a loopback address that no
/// other test and no other server has.
pub(crate) fn with_values(script: &str, index: u8) -> String {
    let address = address(index);
    script
        .replace(
            "--location storage.example.org",
            &format!("--location {address} --listen {address}:3457"),
        )
        .replace("/srv/", "$PWD/srv/")
        .replace("/tmp/grid", "$PWD/grid")
        .replace("NURL...", "$(cat nurls)")
        .replace("FILE", "photo.jpg")
        .replace("CAPABILITY", "$(cat cap)")
        .replace("COPY", "copy.jpg")
}

pub(crate) fn address(index: u8) -> String {
    let [high, low] = std::process::id().to_be_bytes()[2..] else {
        unreachable!("a number of four bytes")
    };
    format!("127.{}.{low}.{}", 64 + high % 64, index + 1)
}

/// A program of this project, built for this test's profile.
///
/// `cargo test` on the whole workspace has built all of them from what is there now. `cargo test -p`
/// may have built none, and leaves older ones as they are.
pub(crate) fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join(name);
    assert!(
        path.exists(),
        "{path:?} is not built: cargo build --bin {name}, or cargo test without -p"
    );
    path
}
