//! Grids of every size work with nothing but `init` and `grid add`.

use std::fs;

use crate::user::{RunningGrid, User};

fn add(user: &User, nurls: &[String]) -> String {
    let mut arguments = vec!["grid", "add"];
    arguments.extend(nurls.iter().map(String::as_str));
    user.remarks(&arguments)
}

// An upload said "0 of the 7 servers asked for", though nobody had asked for seven.
#[test]
fn a_grid_of_any_size_works_with_what_init_and_grid_add_choose() {
    let grid = RunningGrid::start(10);
    let nurls = grid.nurls();
    for (servers, said) in [
        (1, "1 server: it alone brings a file back"),
        (
            2,
            "2 servers: any 1 brings a file back; an upload needs all 2",
        ),
        (
            3,
            "3 servers: any 2 bring a file back; an upload needs all 3",
        ),
        (
            5,
            "5 servers: any 2 bring a file back; an upload needs 4 of them",
        ),
        (
            10,
            "10 servers: any 3 bring a file back; an upload needs 7 of them",
        ),
    ] {
        let user = User::new();
        let file = user.write("file", &[8; 5000]);
        user.done(&["init"]);
        let remarks = add(&user, &nurls[..servers]);
        assert!(remarks.contains(said), "{remarks}");
        assert!(
            remarks.contains("chosen for the number of servers"),
            "{remarks}"
        );
        assert!(!remarks.contains("warning"), "{remarks}");
        let output = user.run(&["upload", &file]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{servers} servers: {message}");
        assert_eq!(message, "", "there is nothing to remark");
        let cap = String::from_utf8(output.stdout).unwrap();
        let copy = user.path("copy");
        user.done(&["download", cap.trim(), "-o", copy.to_str().unwrap()]);
        assert_eq!(fs::read(copy).unwrap(), [8; 5000]);
    }
}

#[test]
fn what_the_user_set_stays_and_what_was_chosen_follows_the_servers() {
    let grid = RunningGrid::start(4);
    let nurls = grid.nurls();
    let user = User::new();
    let file = user.write("file", &[8; 5000]);
    user.done(&["init"]);
    let config = fs::read(user.home().join("config.toml")).unwrap();
    add(&user, &nurls[..1]);
    let alone = user.done(&["upload", &file]);
    let remarks = add(&user, &nurls[1..]);
    assert!(
        remarks.contains("4 servers: any 2 bring a file back"),
        "{remarks}"
    );
    let spread = user.done(&["upload", &file]);
    assert!(
        alone.contains(":1:1:5000:") && spread.contains(":2:4:5000:"),
        "{alone}{spread}"
    );
    // What was stored before stays readable: the capability carries the numbers.
    for cap in [&alone, &spread] {
        assert_eq!(user.done(&["download", cap.trim()]).len(), 5000);
    }
    let server = user.done(&["grid", "list"]);
    let first = server.split_whitespace().next().unwrap();
    let remarks = user.remarks(&["grid", "remove", first]);
    assert!(
        remarks.contains("3 servers: any 2 bring a file back"),
        "{remarks}"
    );
    assert_eq!(user.done(&["download", spread.trim()]).len(), 5000);
    assert_eq!(fs::read(user.home().join("config.toml")).unwrap(), config);

    let stubborn = User::new();
    stubborn.done(&["init", "-k", "3", "-n", "10", "--happy", "2"]);
    let remarks = add(&stubborn, &nurls);
    assert!(remarks.contains("(as set in"), "{remarks}");
    let file = stubborn.write("file", &[8; 5000]);
    let output = stubborn.run(&["upload", &file]);
    let cap = String::from_utf8(output.stdout).unwrap();
    assert!(cap.contains(":3:10:5000:"), "{cap}");
    // Ten shares on four servers: losing one loses more than one share.
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("3 of 10 shares are on one server"),
        "{message}"
    );
}

// `--happy 1` on one server stored ten shares there without a remark.
#[test]
fn several_shares_on_one_server_are_remarked() {
    let grid = RunningGrid::start(1);
    let user = &grid.user;
    let (one, other) = (user.write("one", &[1; 900]), user.write("other", &[2; 900]));
    let spread = ["-k", "3", "-n", "10", "--happy", "1"];
    let arguments = [&["upload", &*one, &*other][..], &spread].concat();
    let message = user.remarks(&arguments);
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.starts_with(&format!(
        "warning: {one}: 10 of 10 shares are on one server"
    )));
    assert!(
        message.contains("if that server is lost, so is the file"),
        "{message}"
    );
    assert!(message.contains("likewise 1 more file"), "{message}");
    let text = user.done(&[&["--json"][..], &arguments].concat());
    for line in text.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        let warning = &object["warnings"][0];
        assert_eq!(warning["kind"], "several_shares_on_one_server");
        assert_eq!(
            (&warning["shares"], &warning["file_lost_with_server"]),
            (&10.into(), &true.into())
        );
    }
}
