//! Every hint is done as it says, in a shell, and helps.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::user::{NURL_OF_NOBODY, RunningGrid, User};

/// The hint of a command that fails so.
fn hint(user: &User, code: i32, line: &str) -> String {
    let output = user.shell(line);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{line}: {message}");
    let hint = message.lines().find_map(|line| line.strip_prefix("hint: "));
    hint.unwrap_or_else(|| panic!("{line}: {message}"))
        .to_owned()
}

/// What stands in backquotes in a hint.
fn commands(hint: &str) -> Vec<String> {
    hint.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn works(user: &User, line: &str) {
    let output = user.shell(line);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {message}");
}

/// Does everything that a hint says, in its order, and then what had failed.
fn helps(user: &User, code: i32, line: &str) -> String {
    let hint = hint(user, code, line);
    for command in commands(&hint) {
        works(user, &command);
    }
    works(user, line);
    hint
}

/// A configured user whose every upload is a literal, for which no server is asked.
fn configured() -> User {
    let user = User::new();
    user.write("file", b"hello");
    works(&user, "tahoectl init");
    works(&user, &format!("tahoectl grid add '{NURL_OF_NOBODY}'"));
    user
}

const UPLOAD: &str = "tahoectl upload file";

#[test]
fn what_is_missing_is_made_as_the_hint_says() {
    let user = User::new();
    user.write("file", b"hello");
    let said = hint(&user, 3, UPLOAD);
    assert_eq!(commands(&said), ["tahoectl init"]);
    works(&user, "tahoectl init");

    let said = hint(&user, 3, UPLOAD);
    let [add, nurl, up] = &commands(&said)[..] else {
        panic!("{said}");
    };
    assert_eq!(nurl, "tahoed nurl DIR");
    works(&user, &add.replace("NURL", &format!("'{NURL_OF_NOBODY}'")));
    works(&user, UPLOAD);
    works(&user, &up.replace("DIR", "grid"));
    works(&user, "tahoectl grid down grid");

    // A lost secret was answered with "run init", which then refused.
    for name in ["private/convergence", "private/master"] {
        fs::remove_file(user.home().join(name)).unwrap();
        assert_eq!(commands(&helps(&user, 3, UPLOAD)), ["tahoectl init"]);
    }
    fs::remove_file(user.home().join("servers")).unwrap();
    let said = hint(&user, 3, UPLOAD);
    assert!(said.contains("add the servers again"), "{said}");
    works(&user, &commands(&said)[0]);
    works(&user, &format!("tahoectl grid add '{NURL_OF_NOBODY}'"));
    works(&user, UPLOAD);
}

#[test]
fn what_is_wrong_in_the_directory_is_mended_as_the_hint_says() {
    let user = configured();
    for name in ["private/convergence", "private/master", "servers"] {
        let path = user.home().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        helps(&user, 3, UPLOAD);
    }
    for name in ["private/convergence", "private/master"] {
        fs::write(user.home().join(name), "nonsense").unwrap();
        helps(&user, 3, UPLOAD);
    }
    fs::write(user.home().join("config.toml"), "version = 1\nhapy = 3").unwrap();
    helps(&user, 3, UPLOAD);

    let servers = user.home().join("servers");
    let good = fs::read_to_string(&servers).unwrap();
    fs::write(&servers, format!("{good}nonsense\n")).unwrap();
    assert!(hint(&user, 3, UPLOAD).contains("delete it"));
    fs::write(&servers, good).unwrap();
    works(&user, UPLOAD);

    let said = helps(&user, 3, "tahoectl init");
    assert!(said.contains("secrets are never replaced"), "{said}");
}

// `--dir X` was left out, and the hint then was about another directory.
#[test]
fn hints_are_about_the_directory_that_was_given() {
    let user = User::new();
    user.write("file", b"hello");
    let upload = "tahoectl --dir 'my home' upload file";
    let said = hint(&user, 3, upload);
    assert_eq!(commands(&said), ["tahoectl --dir 'my home' init"]);
    works(&user, &commands(&said)[0]);
    let add = &commands(&hint(&user, 3, upload))[0];
    works(&user, &add.replace("NURL", &format!("'{NURL_OF_NOBODY}'")));
    works(&user, upload);
    assert!(Path::new(&user.path("my home/config.toml")).exists());
    assert!(!user.home().exists());
    let nowhere = "env -u TAHOECTL_DIR -u HOME tahoectl init";
    let said = hint(&user, 3, nowhere);
    let command = commands(&said)[0].replace("DIR", "here");
    works(&user, &format!("env -u TAHOECTL_DIR -u HOME {command}"));
}

#[test]
fn hints_about_files_help() {
    let user = configured();
    let cap = "URI:LIT:nbswy3dp";
    let download = format!("tahoectl download {cap} -o copy");
    works(&user, &download);
    assert_eq!(commands(&hint(&user, 3, &download)), ["--force"]);
    works(&user, &format!("{download} --force"));

    fs::create_dir(user.path("a directory")).unwrap();
    let into = format!("tahoectl download {cap} -o 'a directory'");
    let said = hint(&user, 3, &into);
    assert!(said.ends_with("-o 'a directory/NAME'"), "{said}");
    works(
        &user,
        &format!("tahoectl download {cap} -o 'a directory/NAME'"),
    );
    let said = hint(&user, 3, "tahoectl upload 'a directory'");
    let files = said.rsplit(": ").next().unwrap();
    works(&user, &format!("tahoectl upload {files}"));

    let said = hint(&user, 3, "tahoectl upload /dev/null");
    works(&user, &commands(&said)[0]);
    for (command, given) in [
        ("tahoectl upload -", "hello"),
        ("tahoectl download -", cap),
        ("tahoectl grid add -", NURL_OF_NOBODY),
    ] {
        user.write("FILE", given.as_bytes());
        let said = hint(&user, 3, &format!("{command} <&-"));
        works(&user, &format!("{command} {}", commands(&said)[0]));
    }
}

#[test]
fn hints_about_grids_on_this_machine_help() {
    let grid = RunningGrid::start(1);
    let user = &grid.user;
    works(user, "tahoectl grid down grid");
    helps(user, 3, "tahoectl grid down grid");

    let config = user.path("grid/servers/0/tahoed.toml");
    let good = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("nonsense = 1\n{good}")).unwrap();
    let said = hint(user, 3, "tahoectl grid up grid");
    works(user, &commands(&said)[0]);
    fs::write(&config, good).unwrap();
    works(user, "tahoectl grid up grid");
}

// What is printed as a next step is typed as it stands.
#[test]
fn the_next_steps_that_are_printed_work() {
    let user = User::new();
    user.write("FILE", b"hello");
    let output = user.shell("tahoectl grid up 'a grid' --servers 1");
    let said = String::from_utf8(output.stderr).unwrap();
    let export = String::from_utf8(output.stdout).unwrap();
    let steps = said.lines().filter_map(|line| {
        let start = line.find("tahoectl ")?;
        Some(&line[start..])
    });
    let steps: Vec<_> = steps.collect();
    assert_eq!(
        steps,
        ["tahoectl upload FILE", "tahoectl grid down 'a grid'"]
    );
    for step in steps {
        works(&user, &format!("{export}{step}"));
    }

    let user = configured();
    let output = user.shell("tahoectl grid remove nobody:1");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    works(&user, &commands(&said)[0]);
    let output = user.shell("tahoectl --json upload");
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    let commands = commands(error["hint"].as_str().unwrap());
    assert_eq!(commands, ["tahoectl help", "tahoectl COMMAND --help"]);
    works(&user, &commands[0]);
    works(&user, &commands[1].replace("COMMAND", "upload"));
}

#[test]
fn a_warning_that_no_upload_can_succeed_names_what_mends_it() {
    let grid = RunningGrid::start(1);
    let nurl = &grid.nurls()[0];
    let user = User::new();
    let file = user.write("file", &[1; 900]);
    works(&user, "tahoectl init -k 1 -n 10 --happy 7");
    let output = user.shell(&format!("tahoectl grid add '{nurl}'"));
    let said = String::from_utf8(output.stderr).unwrap();
    let warning = said
        .lines()
        .find(|line| line.starts_with("warning: "))
        .unwrap();
    let config = user.home().join("config.toml");
    assert!(warning.contains("fewer than 7 servers"), "{warning}");
    assert!(warning.ends_with(&format!("lower `happy` in {}", config.display())));
    user.failed(3, &["upload", &file]);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("happy = 7", "happy = 1")).unwrap();
    user.done(&["upload", &file]);
}
