//! The line simulator on a real kernel. These need root, /dev/net/tun and iproute2, which `ci/test` sees
//! to; without them they fail and say what is missing.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use benches::line::{Line, LineError, Settings, Side, server_address};

const MS: Duration = Duration::from_millis(1);

fn line(settings: Settings) -> Line {
    Line::up(settings, 2).unwrap_or_else(|error: LineError| panic!("{error}"))
}

/// A socket that sends back what comes, in the background, until a packet of one byte comes.
fn echo(line: &Line, address: Ipv4Addr) -> (SocketAddr, thread::JoinHandle<()>) {
    let socket = line
        .within(Side::Server, || UdpSocket::bind((address, 0)))
        .and_then(|bound| bound)
        .expect("a socket in the server");
    let at = socket.local_addr().expect("it is bound");
    let answering = thread::spawn(move || {
        let mut packet = [0; 2000];
        loop {
            let (len, from) = socket.recv_from(&mut packet).expect("a packet");
            if len == 1 {
                return;
            }
            socket.send_to(&packet[..len], from).expect("a way back");
        }
    });
    (at, answering)
}

// A round trip may take longer on a busy machine, never shorter than the line: the upper side is for
// the benchmarks to judge, with `late_us_max`.
#[test]
fn no_answer_comes_before_a_round_trip_and_the_counters_tell_what_passed() {
    let line = line(Settings {
        rtt: 30 * MS,
        ..Settings::default()
    });
    for address in [Side::Server.address(), server_address(0), server_address(1)] {
        line.reset_statistics();
        let (at, answering) = echo(&line, address);
        let elapsed = line
            .within(Side::Client, || {
                let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket in the client");
                let began = Instant::now();
                socket.send_to(&[7; 100], at).expect("a way");
                let mut answer = [0; 200];
                let (len, _) = socket.recv_from(&mut answer).expect("the answer");
                assert_eq!(answer[..len], [7; 100]);
                let elapsed = began.elapsed();
                socket.send_to(&[0], at).expect("a way");
                elapsed
            })
            .expect("the client's namespace");
        assert!(elapsed >= 30 * MS, "{elapsed:?}");
        answering.join().expect("the echo ended");

        // 20 bytes of IP header and 8 of UDP's.
        let statistics = line.statistics();
        assert_eq!((statistics.up.packets, statistics.up.bytes), (2, 128 + 29));
        assert_eq!((statistics.down.packets, statistics.down.bytes), (1, 128));
        assert_eq!(statistics.up.packets_delivered, 2);
        assert_eq!(statistics.up.dropped + statistics.down.dropped, 0);
    }
}

#[test]
fn a_stream_over_a_slow_line_takes_its_bytes_divided_by_the_rate() {
    let line = line(Settings {
        rtt: 4 * MS,
        up_rate: 500_000,
        ..Settings::default()
    });
    let listener = line
        .within(Side::Server, || {
            TcpListener::bind((Side::Server.address(), 0))
        })
        .and_then(|bound| bound)
        .expect("a listener in the server");
    let at = listener.local_addr().expect("it is bound");
    let receiving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the client");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("the stream");
        received.len()
    });
    let began = Instant::now();
    line.within(Side::Client, || {
        let mut stream = TcpStream::connect(at).expect("the server");
        stream.write_all(&vec![0; 200_000]).expect("a way");
    })
    .expect("the client's namespace");
    assert_eq!(receiving.join().expect("all of it"), 200_000);
    assert!(began.elapsed() >= 400 * MS, "{:?}", began.elapsed());
    assert!(line.statistics().up.bytes_delivered >= 200_000);
}

#[test]
fn a_line_can_be_changed_while_connections_are_open() {
    let line = line(Settings::default());
    let (at, answering) = echo(&line, Side::Server.address());
    line.within(Side::Client, || {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket in the client");
        let round_trip = || {
            let began = Instant::now();
            socket.send_to(&[0; 10], at).expect("a way");
            socket.recv_from(&mut [0; 10]).expect("the answer");
            began.elapsed()
        };
        round_trip();
        line.set(Settings {
            rtt: 60 * MS,
            ..Settings::default()
        });
        assert!(round_trip() >= 60 * MS);
        socket.send_to(&[0], at).expect("a way");
    })
    .expect("the client's namespace");
    answering.join().expect("the echo ended");
}

#[test]
fn the_hosts_have_no_way_to_anywhere_else() {
    let line = line(Settings::default());
    let outside = TcpListener::bind("127.0.0.1:0").expect("a listener outside");
    let at = outside.local_addr().expect("it is bound");
    for side in [Side::Client, Side::Server] {
        let refused = line
            .within(side, || {
                TcpStream::connect_timeout(&at, 1000 * MS).map_err(|error| error.kind())
            })
            .expect("the namespace");
        assert_eq!(
            refused.expect_err("our own loopback"),
            ErrorKind::ConnectionRefused
        );
        let unreachable = line
            .within(side, || {
                UdpSocket::bind("0.0.0.0:0")?.send_to(&[0], "192.0.2.1:9")
            })
            .expect("the namespace");
        assert_eq!(
            unreachable.expect_err("no route").kind(),
            ErrorKind::NetworkUnreachable
        );
    }
}

#[test]
fn what_runs_in_the_hosts_ends_with_the_line() {
    let line = line(Settings::default());
    let mut sleeping = Command::new("sleep");
    sleeping.arg("1000").stdin(Stdio::null());
    let mut children = [Side::Client, Side::Server]
        .map(|side| line.spawn(side, &mut sleeping).expect("sleep runs"));
    drop(line);
    for child in &mut children {
        assert!(!child.wait().expect("it is our child").success());
    }
}

/// Names differ by test process, so that two runs at a time do not meet.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_line"));
    command
        .args(["--name", &format!("test-{}", std::process::id())])
        .args(arguments);
    command
}

#[test]
fn the_command_keeps_a_line_until_it_is_taken_down() {
    let succeeds = |arguments: &[&str]| {
        let output = command(arguments).output().expect("the command runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(
        !command(&["stat"])
            .output()
            .expect("the command runs")
            .status
            .success()
    );
    let addresses = succeeds(&[
        "up",
        "--rtt-ms",
        "5",
        "--server-addresses",
        "1",
        "--ttl",
        "60",
    ]);
    assert_eq!(addresses, "client 10.77.0.1 server 10.77.0.2 10.77.1.1\n");
    let again = command(&["up"]).output().expect("the command runs");
    assert_eq!(again.status.code(), Some(3));

    assert!(succeeds(&["exec", "server", "ip", "addr"]).contains("10.77.1.1"));
    succeeds(&["set", "--rtt-ms", "6.5", "--up-rate", "1000"]);
    assert!(succeeds(&["stat", "--reset"]).contains("\"packets\":0"));

    let mut sleeping = command(&["exec", "client", "sleep", "1000"])
        .stdin(Stdio::null())
        .spawn()
        .expect("sleep");
    // `exec` replaces itself: wait until it is inside, as `down` only ends what is.
    while std::fs::read_to_string(format!("/proc/{}/comm", sleeping.id())).expect("it runs")
        != "sleep\n"
    {
        thread::sleep(MS);
    }
    succeeds(&["down"]);
    assert!(!sleeping.wait().expect("it is our child").success());
    assert!(
        !command(&["stat"])
            .output()
            .expect("the command runs")
            .status
            .success()
    );
}

#[test]
fn a_line_ends_by_itself_when_its_time_is_over() {
    let name = format!("ttl-{}", std::process::id());
    let line = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_line"))
            .args(["--name", &name])
            .args(arguments)
            .output()
            .expect("the command runs")
    };
    assert!(line(&["up", "--ttl", "1"]).status.success());
    let began = Instant::now();
    while line(&["stat"]).status.success() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "the line is still up"
        );
        thread::sleep(50 * MS);
    }
}
