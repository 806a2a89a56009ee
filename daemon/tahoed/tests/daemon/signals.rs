//! Every signal has an answer.

use protocol::server::Outcome;
use rustix::process::Signal;

use crate::client::{Client, bucket};
use crate::node::Node;

// Once each of them killed the server without a line.
#[tokio::test]
async fn signals_that_ask_for_something_are_answered_and_the_server_serves_on() {
    let node = Node::new("");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    for (number, (signal, words)) in [
        (Signal::HUP, "read the configuration: nothing has changed"),
        (Signal::USR1, "status connections=1"),
        (Signal::USR2, "signal=\"USR2\""),
        (Signal::ALARM, "signal=\"ALRM\""),
        (Signal::VTALARM, "signal=\"VTALRM\""),
        (Signal::PROF, "signal=\"PROF\""),
        (Signal::IO, "signal=\"IO\""),
        (Signal::XFSZ, "signal=\"XFSZ\""),
    ]
    .into_iter()
    .enumerate()
    {
        running.signal(signal);
        running.logged(words);
        let number = u32::try_from(number).unwrap();
        assert_eq!(
            client.put(bucket(number), 0, b"share").await,
            Outcome::Stored
        );
    }
    running.signal(Signal::PIPE);
    assert_eq!(client.put(bucket(99), 0, b"share").await, Outcome::Stored);
    running.terminate();
    assert!(running.wait().success());
}

#[test]
fn signals_that_stop_stop_in_order() {
    let node = Node::new("");
    for (signal, name) in [
        (Signal::TERM, "TERM"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::POWER, "PWR"),
        (Signal::XCPU, "XCPU"),
    ] {
        let running = node.start();
        running.signal(signal);
        running.logged(&format!("told to stop signal=\"{name}\""));
        assert!(running.wait().success(), "{name}");
    }
}

#[tokio::test]
async fn the_log_level_is_reloaded_and_other_changes_are_named() {
    let node = Node::new("");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.put(bucket(1), 0, b"share").await, Outcome::Stored);
    running.logged("connected");
    let config = std::fs::read_to_string(node.directory().config_path()).unwrap();
    let changed = config.replace("'debug'", "'info'") + "limits.connections = 7\n";
    std::fs::write(node.directory().config_path(), changed).unwrap();
    running.signal(Signal::HUP);
    running.logged("a new log.level level=\"info\"");
    running.logged("take effect at the next start changed=\"limits\"");
    // A line of a level that is not logged any more, then one that is.
    let before = running.logged("").matches("connected").count();
    let mut other = Client::connect(&running.nurl, 2).await.unwrap();
    assert_eq!(other.put(bucket(2), 0, b"share").await, Outcome::Stored);
    running.signal(Signal::USR1);
    let log = running.logged("status connections=2");
    assert_eq!(log.matches("connected").count(), before);
}

#[test]
fn a_configuration_that_makes_no_sense_is_told_and_the_old_one_stays() {
    let node = Node::new("");
    let running = node.start();
    node.configure("limits.connection = 7");
    running.signal(Signal::HUP);
    let log = running.logged("the configuration was not read again; the old one is in use");
    assert!(log.contains("did you mean `limits.connections`?"), "{log}");
    running.terminate();
    assert!(running.wait().success());
}
