//! Whether the clock can be right, as far as a store can tell: leases are reckoned by it.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bucketfs::container::CLOCK_FLOOR;
use tracing::warn;

/// What there is to say of the clock when a daemon starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// It cannot be right.
    pub(crate) is_doubted: bool,
    /// When the store was in use last, in seconds since 1970.
    pub(crate) last_use: Option<u64>,
}

/// Warns if the clock is not to be believed; before the store is opened, which is a use of it.
pub(crate) fn warn_of(store: &Path) -> Clock {
    let (now, last_use) = (SystemTime::now(), bucketfs::last_use(store));
    let doubt = doubt(now, last_use);
    if let Some(Doubt { days, meaning }) = doubt {
        warn!(days, "{meaning}");
    }
    let since_1970 = |time: SystemTime| time.duration_since(UNIX_EPOCH).ok();
    Clock {
        is_doubted: doubt.is_some(),
        last_use: last_use.and_then(since_1970).map(|since| since.as_secs()),
    }
}

/// What is wrong with a clock, and by how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Doubt {
    days: u64,
    meaning: &'static str,
}

fn doubt(now: SystemTime, last_use: Option<SystemTime>) -> Option<Doubt> {
    let floor = UNIX_EPOCH + Duration::from_secs(CLOCK_FLOOR);
    let last_use = last_use.unwrap_or(now);
    let ahead = now.duration_since(last_use).unwrap_or_default();
    let behind = last_use.duration_since(now).unwrap_or_default();
    let (by, meaning) = if let Ok(by) = floor.duration_since(now) {
        (by, BEFORE_US)
    } else if behind > BEHIND_MAX {
        (behind, BEHIND)
    } else if ahead > AHEAD_MAX {
        (ahead, AHEAD)
    } else {
        return None;
    };
    let days = by.as_secs() / DAY;
    Some(Doubt { days, meaning })
}

const BEFORE_US: &str = "the clock is wrong: it is so many days before 2025, when this program was \
                         not written; leases that are made now end too early. Set the clock and \
                         start again";

const BEHIND: &str = "the clock is so many days behind the time at which the store was last used. If \
                      it is wrong now, leases that are made now end too early: set it and start \
                      again. If it was wrong then, leases that were made then last too long, until \
                      their clients renew them";

const AHEAD: &str = "the clock is so many days ahead of the time at which the store was last used. \
                     Unless that is true it is wrong, and leases that are made now last too long: \
                     set it and start again";

/// Clocks are put right by less than this all the time.
const BEHIND_MAX: Duration = Duration::from_secs(60 * 60);

/// A server is seldom turned on again after so long: ten years.
const AHEAD_MAX: Duration = Duration::from_secs(10 * 365 * DAY);

/// In seconds.
const DAY: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(CLOCK_FLOOR + seconds)
    }

    fn said(now: SystemTime, last_use: Option<SystemTime>) -> Option<(u64, &'static str)> {
        doubt(now, last_use).map(|doubt| (doubt.days, doubt.meaning))
    }

    #[test]
    fn a_clock_that_goes_on_is_believed() {
        let now = at(20 * 365 * DAY);
        for past in [0, 1, DAY, 365 * DAY, 9 * 365 * DAY] {
            let last_use = now - Duration::from_secs(past);
            assert_eq!(said(now, Some(last_use)), None, "{past}");
        }
        assert_eq!(said(now, None), None);
        assert_eq!(said(now, Some(now + BEHIND_MAX)), None);
    }

    #[test]
    fn a_clock_that_has_jumped_is_doubted_whichever_way() {
        let now = at(20 * 365 * DAY);
        let days = |days: u64| Duration::from_secs(days * DAY);
        assert_eq!(said(now, Some(now + days(28_925))), Some((28_925, BEHIND)));
        assert_eq!(said(now, Some(now + days(1))), Some((1, BEHIND)));
        assert_eq!(said(now, Some(now - days(4000))), Some((4000, AHEAD)));
        assert_eq!(said(UNIX_EPOCH, None), Some((20_089, BEFORE_US)));
        assert_eq!(said(UNIX_EPOCH, Some(now)), Some((20_089, BEFORE_US)));
    }
}
