//! File descriptors are a budget, shared out at start: to the store first, then to connections.
//!
//! Whoever gives connections more than is left takes it from the store, whose requests then fail
//! with "too many open files" for everybody.

use bucketfs::limits as store_limits;
use protocol::limits::TURNED_AWAY_MAX;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::config::{LISTEN_MAX, Limits};
use crate::error::RunError;

/// What connections get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Connections that are served at once.
    pub(crate) connections: usize,
    /// Connections at once that are only told that there are too many.
    pub(crate) turned_away: usize,
}

/// Raises the limit as far as it is wanted and the system lets it, and shares it out.
///
/// # Errors
///
/// [`RunError::FewDescriptors`] if there are too few to serve anybody.
pub(crate) fn share_out(limits: &Limits) -> Result<Share, RunError> {
    let wanted = Needs::of(limits).all();
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted))),
            ..limit
        };
        let _ = setrlimit(Resource::Nofile, raised);
    }
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let share = Needs::of(limits).share(current)?;
    if share.connections < limits.connections {
        warn!(
            limit = current,
            wanted,
            connections = share.connections,
            "fewer connections at once than configured: the process may open few files; raise the \
             limit (ulimit -n, LimitNOFILE=)"
        );
    }
    Ok(share)
}

/// Who wants how many.
#[derive(Clone, Copy, Debug)]
struct Needs {
    own: u64,
    store: u64,
    connections: u64,
    turned_away: u64,
}

impl Needs {
    fn of(limits: &Limits) -> Self {
        let threads = lafs::num::size(limits.threads);
        Self {
            own: OWN + threads * EACH_THREAD,
            store: lafs::num::size(STORE),
            connections: lafs::num::size(limits.connections),
            turned_away: lafs::num::size(TURNED_AWAY_MAX),
        }
    }

    fn all(self) -> u64 {
        self.own + self.store + self.connections + self.turned_away
    }

    /// Shares `limit` out.
    fn share(self, limit: u64) -> Result<Share, RunError> {
        let least = self.own + LEAST;
        let fault = RunError::FewDescriptors { limit, least };
        let left = limit.checked_sub(self.own).filter(|left| *left >= LEAST);
        let left = left.ok_or(fault)?;
        // A store that gets less than all that it could use refuses uploads when it has run out.
        let store = self.store.min(left - left / 4);
        let left = left - store;
        let turned_away = self.turned_away.min(left / 8);
        let connections = self.connections.min(left - turned_away);
        let len = |number| lafs::num::len(number).unwrap_or(usize::MAX);
        Ok(Share {
            connections: len(connections),
            turned_away: len(turned_away),
        })
    }
}

/// Standard streams, sockets that listen, and what the store has open all the time.
const OWN: u64 = 16 + LISTEN_MAX as u64;

/// The event queue of a thread.
const EACH_THREAD: u64 = 4;

/// Files that the store has open while requests are under way: one each of uploads, spools and
/// containers being written anew, and as many more for those that come and go.
const STORE: usize = store_limits::UPLOADS + store_limits::SPOOLS + store_limits::REWRITES + 64;

/// With fewer for store and connections together a client hardly gets anything done.
const LEAST: u64 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(connections: u64) -> Needs {
        Needs {
            own: 36,
            store: 360,
            connections,
            turned_away: 32,
        }
    }

    #[test]
    fn with_enough_everybody_gets_what_is_wanted() {
        let share = needs(1024).share(needs(1024).all()).unwrap();
        let expected = Share {
            connections: 1024,
            turned_away: 32,
        };
        assert_eq!(share, expected);
        assert_eq!(needs(1024).share(u64::MAX).unwrap(), expected);
    }

    // Once 200 idle connections took the store's descriptors, and every request got a 500.
    #[test]
    fn the_stores_part_is_set_aside_before_connections_get_theirs() {
        for limit in 60..5000 {
            let share = needs(1024).share(limit).unwrap();
            let connections = u64::try_from(share.connections + share.turned_away).unwrap();
            let store = limit - 36 - connections;
            assert!(share.connections > 0, "{limit}");
            assert!(
                store >= 360 || store >= 3 * connections,
                "{limit}: {share:?}"
            );
        }
        assert_eq!(
            needs(1024).share(1024).unwrap().connections,
            1024 - 36 - 360 - 32
        );
        assert_eq!(needs(5).share(1024).unwrap().connections, 5);
    }

    #[test]
    fn a_limit_that_serves_nobody_is_refused_with_what_would_do() {
        let error = needs(1024).share(59).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("ulimit -n 60"), "{said}");
        assert!(needs(1024).share(60).is_ok());
    }
}
