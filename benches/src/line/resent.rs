//! What a host's TCP had to send twice, by its own count.
//!
//! `/proc/net/snmp` has two lines for each protocol: names, and numbers in the same order.

use std::fs;
use std::io;

/// Segments that TCP has sent again in the calling thread's network namespace, since it is there.
pub(super) fn here() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/net/snmp")?;
    counter(&text, "RetransSegs").ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "no RetransSegs in /proc/net/snmp",
        )
    })
}

fn counter(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let mut pairs = names.split_whitespace().zip(numbers.split_whitespace());
    pairs.find(|(found, _)| *found == name)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_name() {
        let text = "Ip: Forwarding\nIp: 1\nTcp: MaxConn OutSegs RetransSegs\nTcp: -1 20 3\n";
        assert_eq!(counter(text, "RetransSegs"), Some(3));
        assert_eq!(counter(text, "MaxConn"), None);
        assert_eq!(counter(text, "Forwarding"), None);
        assert_eq!(counter("", "OutSegs"), None);
    }
}
