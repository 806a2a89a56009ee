//! What a small file costs on the line, as `compare small` counts it: all bytes of the IP packets to the
//! servers. A count, and not a time: but it needs root, /dev/net/tun and iproute2, as the line does.

use std::fs;
use std::rc::Rc;
use std::time::Duration;

use benches::hosts::Hosts;
use benches::line::{Line, Settings, Side};
use benches::ours::{Daemons, Programs};
use benches::session::{self, Session};
use tokio::task::JoinSet;

/// Files of one upload, so that what opens the connections is little of each.
const FILES: u32 = 200;

const SERVERS: u8 = 10;

/// So far away that every file has been encoded before the first byte of one can leave: what the client
/// has to send, and not how fast it makes it, decides how full its packets are.
const RTT: Duration = Duration::from_millis(500);

// Issue: it was 5 602.
#[test]
fn a_file_of_1_kb_sends_at_most_5000_bytes_to_ten_servers() {
    let settings = Settings {
        rtt: RTT,
        ..Settings::default()
    };
    let line = Line::up(settings, SERVERS).expect("a line");
    let hosts = Hosts::Line(line);
    let programs = Programs::beside_the_test().expect("the programs");
    let stores = tempfile::tempdir().expect("a directory");
    let daemons = Daemons::start(&hosts, &programs, stores.path(), SERVERS).expect("servers");
    let nurls = daemons.parsed_nurls();
    let Hosts::Line(line) = &hosts else {
        unreachable!("it was made above")
    };
    line.reset_statistics();
    let upload = || {
        session::run(async {
            let session = Rc::new(Session::new(&nurls, 3));
            let mut uploads = JoinSet::new();
            for number in 0..FILES {
                let path = stores.path().join(format!("file{number}"));
                let mut bytes = [0; 1000];
                let mut hasher = blake3::Hasher::new();
                hasher.update(&number.to_be_bytes());
                hasher.finalize_xof().fill(&mut bytes);
                fs::write(&path, bytes)?;
                let session = session.clone();
                uploads.spawn_local(async move { session.upload(&path).await });
            }
            while let Some(uploaded) = uploads.join_next().await {
                uploaded.expect("no upload panics")?;
            }
            session.close().await;
            Ok(())
        })
    };
    line.within(Side::Client, upload)
        .expect("the client's namespace")
        .expect("an upload");
    let up = line.statistics().up;
    let per_file = up.bytes_delivered / u64::from(FILES);
    println!("{per_file} bytes a file, {} packets", up.packets_delivered);
    assert!(per_file <= 5000, "{per_file} bytes a file: {up:?}");
    // And no less than the shares have: everything was counted.
    assert!(per_file >= 4650, "{per_file} bytes a file: {up:?}");
}
