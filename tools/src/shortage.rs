//! Too few servers for an upload, too few shares for a download: why, and what to do about it.
//!
//! The cause is deduced from what all servers answered, and is data. The sentences are made here
//! and nowhere else: a message names each server once, and the hint fits the cause.

use crate::failure::{Failure, Trouble};

mod blame;

use blame::Blame;

/// An upload for which too few servers store a share, or too few different shares are stored.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.message())]
pub struct Unhappy {
    /// Servers of happiness reached.
    pub happiness: usize,
    /// Servers of happiness asked for.
    pub happy: usize,
    /// Different shares stored.
    pub stored: usize,
    /// Different shares that bring the file back.
    pub needed: usize,
    /// Servers in the configuration.
    pub servers: usize,
    /// What went wrong at servers that do not hold what they were to store.
    pub failures: Vec<Failure>,
}

/// What an upload has too few of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Servers that hold a share of their own.
    Servers,
    /// Different shares. There are servers enough, and the file cannot be read.
    Shares,
}

/// Why an upload has too few of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadCause {
    /// There are not so many servers. Nothing was asked of them.
    GridTooSmall,
    /// All servers that failed did so for this one reason.
    Every(Trouble),
    /// There are several reasons.
    Several,
}

/// A download that found too few good shares.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.message())]
pub struct NotEnoughShares {
    /// Distinct good shares found.
    pub found: usize,
    /// Shares that bring the file back.
    pub needed: usize,
    /// Servers asked.
    pub servers: usize,
    /// What went wrong, by server.
    pub failures: Vec<Failure>,
}

/// Why too few good shares were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownloadCause {
    /// Every server was asked and has no share: it is the capability, or the grid.
    NoServerHasIt,
    /// Shares came, and none of them fits: it is the capability, unless all shares are damaged.
    NoShareFits,
    /// All servers that failed did so for this one reason, which does not pass by itself.
    Every(Trouble),
    /// Servers that may have shares could not be asked.
    ServersAway,
    /// Every server has answered: there are no more good shares in this grid.
    SharesLost,
}

impl UploadCause {
    /// The name of it for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GridTooSmall => "grid_too_small",
            Self::Every(trouble) => trouble.name(),
            Self::Several => "several",
        }
    }
}

impl DownloadCause {
    /// The name of it for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoServerHasIt => "no_server_has_it",
            Self::NoShareFits => "no_share_fits",
            Self::Every(trouble) => trouble.name(),
            Self::ServersAway => "servers_away",
            Self::SharesLost => "shares_lost",
        }
    }
}

impl Unhappy {
    /// What there is too little of; servers, if it is both.
    #[must_use]
    pub fn lack(&self) -> Lack {
        match self.happiness < self.happy {
            true => Lack::Servers,
            false => Lack::Shares,
        }
    }

    /// Why.
    #[must_use]
    pub fn cause(&self) -> UploadCause {
        if self.servers < self.happy {
            return UploadCause::GridTooSmall;
        }
        match Blame::new(&self.failures).only_trouble() {
            Some(trouble) => UploadCause::Every(trouble),
            None => UploadCause::Several,
        }
    }

    /// What to try.
    #[must_use]
    pub fn hint(&self) -> String {
        // Nobody is to be content with a file that cannot be read.
        let is_readable = self.stored >= self.needed;
        let fewer = match self.happiness {
            0 => String::new(),
            _ if !is_readable => String::new(),
            reached => format!(
                "; or accept {reached} with --happy {reached}, \
                 so that the file survives the loss of fewer servers"
            ),
        };
        match self.cause() {
            UploadCause::GridTooSmall => format!(
                "add {} with `tahoectl grid add NURL`, or accept {} with --happy {}",
                count(self.happy - self.servers, "more server"),
                count(self.servers, "server"),
                self.servers
            ),
            UploadCause::Every(Trouble::Away) => {
                format!("start these servers, or check the way to them, and try again{fewer}")
            }
            UploadCause::Every(Trouble::Busy) => format!("try again in a while{fewer}"),
            UploadCause::Every(Trouble::Full) => {
                format!("make room on these servers, or {ADD_OTHERS}")
            }
            UploadCause::Every(Trouble::ReadOnly) => {
                format!("let these servers take shares again, or {ADD_OTHERS}")
            }
            UploadCause::Every(Trouble::TooLarge) => {
                "make shares smaller with a larger -k, or let these servers take larger ones"
                    .to_owned()
            }
            UploadCause::Every(trouble) => lasting(trouble).to_owned(),
            UploadCause::Several => format!("mend these servers, or {ADD_OTHERS}{fewer}"),
        }
    }

    fn message(&self) -> String {
        let Self {
            happiness,
            happy,
            stored,
            needed,
            servers,
            failures,
        } = self;
        let grid = count(*servers, "server");
        let blame = Blame::new(failures);
        match (self.cause(), self.lack()) {
            (UploadCause::GridTooSmall, _) => format!(
                "this grid has {grid}, and {happy} must store a share of each file; \
                 nothing was sent"
            ),
            (_, Lack::Servers) => format!(
                "{happiness} of the {happy} servers that must store a share have done so, \
                 in a grid of {grid}{blame}"
            ),
            (_, Lack::Shares) => {
                let shares = match stored {
                    1 => "1 share is".to_owned(),
                    _ => format!("{stored} different shares are"),
                };
                format!(
                    "{shares} stored in a grid of {grid}, and {needed} are needed to read the \
                     file{blame}"
                )
            }
        }
    }
}

impl NotEnoughShares {
    /// Why.
    #[must_use]
    pub fn cause(&self) -> DownloadCause {
        let blame = Blame::new(&self.failures);
        if self.found == 0 && blame.has(Trouble::BadShare) {
            return DownloadCause::NoShareFits;
        }
        match blame.only_trouble() {
            Some(Trouble::NoShare) if self.found == 0 => return DownloadCause::NoServerHasIt,
            _ => {}
        }
        match blame.only_trouble_besides(Trouble::NoShare) {
            Some(
                trouble @ (Trouble::WrongSwissnum
                | Trouble::WrongKey
                | Trouble::Foreign
                | Trouble::Broken),
            ) => DownloadCause::Every(trouble),
            None if blame.is_only(&[Trouble::NoShare, Trouble::BadShare]) => {
                DownloadCause::SharesLost
            }
            Some(Trouble::BadShare) => DownloadCause::SharesLost,
            _ => DownloadCause::ServersAway,
        }
    }

    /// What to try.
    #[must_use]
    pub fn hint(&self) -> String {
        let hint = match self.cause() {
            DownloadCause::NoServerHasIt => {
                "check the capability, character by character. If it is right, the file is on \
                 another grid, or its leases have run out"
            }
            DownloadCause::NoShareFits => {
                "check the capability, character by character. If it is right, these shares are \
                 damaged"
            }
            DownloadCause::Every(trouble) => lasting(trouble),
            DownloadCause::ServersAway => "try again when these servers are up",
            DownloadCause::SharesLost => {
                "every server was asked. More shares can only be on servers that are not in this \
                 grid: add them with `tahoectl grid add NURL`"
            }
        };
        hint.to_owned()
    }

    fn message(&self) -> String {
        let Self {
            found,
            needed,
            servers,
            ..
        } = self;
        let asked = count(*servers, "server");
        let blame = Blame::new(&self.failures);
        match self.cause() {
            DownloadCause::NoServerHasIt => {
                format!("no server of this grid has a share of this file ({asked} asked)")
            }
            DownloadCause::NoShareFits => {
                format!("no share that came is one of this file ({asked} asked){blame}")
            }
            _ => format!("{found} of the {needed} shares needed were found ({asked} asked){blame}"),
        }
    }
}

/// What to do about a trouble that does not pass by itself, upload or download.
fn lasting(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::WrongSwissnum => {
            "the swissnum in a NURL is what lets a client in, and these servers have another now. \
             Remove them with `tahoectl grid remove` and add their new NURLs with `tahoectl grid \
             add`; `tahoed nurl DIR` prints a server's"
        }
        Trouble::WrongKey => {
            "other servers answer at these addresses, or their keys were replaced. If that is \
             meant, remove them with `tahoectl grid remove` and add their new NURLs with \
             `tahoectl grid add`; `tahoed nurl DIR` prints a server's"
        }
        Trouble::Foreign => {
            "check that a tahoed of this version answers at these addresses, and nothing else"
        }
        _ => "the logs of these servers say more",
    }
}

const ADD_OTHERS: &str = "add others with `tahoectl grid add NURL`";

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::time::Duration;

    use encoder::native::Damage;
    use protocol::{Farewell, Reason, Refusal};

    use super::*;
    use crate::failure::{Doing, ServerError};

    fn away() -> ServerError {
        ServerError::Unreachable(io::ErrorKind::ConnectionRefused.into())
    }

    fn silent() -> ServerError {
        ServerError::TooSlow {
            doing: Doing::Answering,
            limit: Duration::from_secs(10),
        }
    }

    fn refused(reason: Reason) -> ServerError {
        ServerError::Refused(Refusal::new(reason))
    }

    fn farewell(farewell: Farewell) -> ServerError {
        ServerError::Farewell(farewell, String::new())
    }

    fn other_file() -> ServerError {
        ServerError::BadShare(Damage::OtherFile)
    }

    fn failures(errors: Vec<(&str, ServerError)>) -> Vec<Failure> {
        let failure = |(server, error): (&str, ServerError)| Failure {
            server: server.into(),
            share: None,
            error: Arc::new(error),
        };
        errors.into_iter().map(failure).collect()
    }

    /// An upload to four servers of which `happiness` took a share and three must.
    fn upload(happiness: usize, errors: Vec<(&str, ServerError)>) -> (UploadCause, String) {
        let unhappy = Unhappy {
            happiness,
            happy: 3,
            stored: happiness,
            needed: 1,
            servers: 4,
            failures: failures(errors),
        };
        (
            unhappy.cause(),
            format!("{unhappy}\nhint: {}", unhappy.hint()),
        )
    }

    /// An upload to two servers of which one is enough, with so many of three shares stored.
    fn unreadable(stored: usize, errors: Vec<(&str, ServerError)>) -> String {
        let unhappy = Unhappy {
            happiness: 1,
            happy: 1,
            stored,
            needed: 3,
            servers: 2,
            failures: failures(errors),
        };
        assert_eq!(unhappy.lack(), Lack::Shares);
        format!("{unhappy}\nhint: {}", unhappy.hint())
    }

    /// A download from four servers that found so many of two shares.
    fn download(found: usize, errors: Vec<(&str, ServerError)>) -> (DownloadCause, String) {
        let shortage = NotEnoughShares {
            found,
            needed: 2,
            servers: 4,
            failures: failures(errors),
        };
        let text = format!("{shortage}\nhint: {}", shortage.hint());
        (shortage.cause(), text)
    }

    #[test]
    fn a_grid_that_is_too_small_is_told_what_it_has_and_what_to_do() {
        let unhappy = Unhappy {
            happiness: 0,
            happy: 7,
            stored: 0,
            needed: 3,
            servers: 1,
            failures: Vec::new(),
        };
        assert_eq!(unhappy.cause(), UploadCause::GridTooSmall);
        assert_eq!(
            unhappy.to_string(),
            "this grid has 1 server, and 7 must store a share of each file; nothing was sent"
        );
        assert_eq!(
            unhappy.hint(),
            "add 6 more servers with `tahoectl grid add NURL`, or accept 1 server with --happy 1"
        );
    }

    #[test]
    fn an_upload_that_servers_are_away_from_may_be_tried_again_or_be_content_with_less() {
        let (cause, text) = upload(2, vec![("a:1", away()), ("b:2", silent()), ("a:1", away())]);
        assert_eq!(cause, UploadCause::Every(Trouble::Away));
        assert_eq!(
            text,
            "2 of the 3 servers that must store a share have done so, in a grid of 4 servers\n\
             \x20 a:1: cannot be reached: connection refused\n\
             \x20 b:2: an answer took longer than 10.0 s\n\
             hint: start these servers, or check the way to them, and try again; or accept 2 with \
             --happy 2, so that the file survives the loss of fewer servers"
        );
    }

    // Fewer than none cannot be accepted.
    #[test]
    fn an_upload_that_nobody_took_is_not_told_to_be_content_with_less() {
        let (_, text) = upload(0, vec![("a:1", away()), ("b:2", away())]);
        assert_eq!(
            text,
            "0 of the 3 servers that must store a share have done so, in a grid of 4 servers\n\
             \x20 a:1, b:2: cannot be reached: connection refused\n\
             hint: start these servers, or check the way to them, and try again"
        );
    }

    #[test]
    fn the_hint_of_an_upload_fits_the_one_trouble_of_all_servers() {
        let headline = "2 of the 3 servers that must store a share have done so, \
                        in a grid of 4 servers";
        let cases = [
            (
                refused(Reason::Full),
                Trouble::Full,
                "refused: the server is full",
                "make room on these servers, or add others with `tahoectl grid add NURL`",
            ),
            (
                refused(Reason::ReadOnly),
                Trouble::ReadOnly,
                "refused: the server takes no new shares",
                "let these servers take shares again, or add others with `tahoectl grid add NURL`",
            ),
            (
                refused(Reason::TooLarge),
                Trouble::TooLarge,
                "refused: the share is larger than the server takes",
                "make shares smaller with a larger -k, or let these servers take larger ones",
            ),
            (
                refused(Reason::TooManyUploads),
                Trouble::Busy,
                "refused: too many uploads are open",
                "try again in a while; or accept 2 with --happy 2, so that the file survives the \
                 loss of fewer servers",
            ),
            (
                refused(Reason::Disk),
                Trouble::Broken,
                "refused: the server's disk failed",
                "the logs of these servers say more",
            ),
            (
                farewell(Farewell::WrongSwissnum),
                Trouble::WrongSwissnum,
                "closed the connection: the swissnum is wrong",
                lasting(Trouble::WrongSwissnum),
            ),
            (
                ServerError::WrongKey,
                Trouble::WrongKey,
                "another key than the NURL names",
                lasting(Trouble::WrongKey),
            ),
            (
                ServerError::OtherProtocol,
                Trouble::Foreign,
                "TLS, but not tahoe-pipeline/1",
                "check that a tahoed of this version answers at these addresses, and nothing else",
            ),
        ];
        for (error, trouble, reason, hint) in cases {
            let (cause, text) = upload(2, vec![("a:1", error)]);
            assert_eq!(cause, UploadCause::Every(trouble));
            assert_eq!(text, format!("{headline}\n  a:1: {reason}\nhint: {hint}"));
        }
    }

    #[test]
    fn an_upload_with_several_troubles_names_each_server_once() {
        let (cause, text) = upload(
            1,
            vec![
                ("a:1", away()),
                ("b:2", refused(Reason::Full)),
                ("a:1", silent()),
                ("c:3", refused(Reason::Full)),
            ],
        );
        assert_eq!(cause, UploadCause::Several);
        assert_eq!(
            text,
            "1 of the 3 servers that must store a share have done so, in a grid of 4 servers\n\
             \x20 b:2, c:3: refused: the server is full\n\
             \x20 a:1: an answer took longer than 10.0 s\n\
             hint: mend these servers, or add others with `tahoectl grid add NURL`; or accept 1 \
             with --happy 1, so that the file survives the loss of fewer servers"
        );
    }

    // One server was enough, so this was a success, and the file was lost.
    #[test]
    fn an_upload_that_could_not_be_read_says_how_many_shares_it_wants() {
        assert_eq!(
            unreadable(
                2,
                vec![
                    ("a:1", refused(Reason::Full)),
                    ("b:2", refused(Reason::Full))
                ]
            ),
            "2 different shares are stored in a grid of 2 servers, and 3 are needed to read the \
             file\n\
             \x20 a:1, b:2: refused: the server is full\n\
             hint: make room on these servers, or add others with `tahoectl grid add NURL`"
        );
        assert_eq!(
            unreadable(1, vec![("a:1", away())]),
            "1 share is stored in a grid of 2 servers, and 3 are needed to read the file\n\
             \x20 a:1: cannot be reached: connection refused\n\
             hint: start these servers, or check the way to them, and try again"
        );
        assert_eq!(
            unreadable(2, vec![("a:1", refused(Reason::TooManyUploads))]),
            "2 different shares are stored in a grid of 2 servers, and 3 are needed to read the \
             file\n\
             \x20 a:1: refused: too many uploads are open\n\
             hint: try again in a while"
        );
        assert_eq!(
            unreadable(2, vec![("a:1", away()), ("b:2", refused(Reason::Full))]),
            "2 different shares are stored in a grid of 2 servers, and 3 are needed to read the \
             file\n\
             \x20 b:2: refused: the server is full\n\
             \x20 a:1: cannot be reached: connection refused\n\
             hint: mend these servers, or add others with `tahoectl grid add NURL`"
        );
    }

    // `--happy 1` would not have helped: one share of three is no file.
    #[test]
    fn an_upload_that_could_not_be_read_is_not_told_to_be_content_with_fewer_servers() {
        let unhappy = Unhappy {
            happiness: 1,
            happy: 2,
            stored: 1,
            needed: 3,
            servers: 2,
            failures: failures(vec![("a:1", away())]),
        };
        assert_eq!(unhappy.lack(), Lack::Servers);
        assert_eq!(
            format!("{unhappy}\nhint: {}", unhappy.hint()),
            "1 of the 2 servers that must store a share have done so, in a grid of 2 servers\n\
             \x20 a:1: cannot be reached: connection refused\n\
             hint: start these servers, or check the way to them, and try again"
        );
    }

    // A mistyped capability: no server is to blame, so none is named.
    #[test]
    fn a_file_that_nobody_knows_is_the_capabilitys_fault_or_the_grids() {
        let none = ["a:1", "b:2", "c:3", "d:4"].map(|server| (server, ServerError::NoShare));
        let (cause, text) = download(0, none.into());
        assert_eq!(cause, DownloadCause::NoServerHasIt);
        assert_eq!(
            text,
            "no server of this grid has a share of this file (4 servers asked)\n\
             hint: check the capability, character by character. If it is right, the file is on \
             another grid, or its leases have run out"
        );
    }

    // Mistyped elsewhere: the storage index is right, the hash is not.
    #[test]
    fn shares_of_which_none_fits_are_the_capabilitys_fault_first() {
        let (cause, text) = download(
            0,
            vec![
                ("a:1", other_file()),
                ("b:2", other_file()),
                ("c:3", ServerError::NoShare),
                ("b:2", other_file()),
                ("d:4", away()),
            ],
        );
        assert_eq!(cause, DownloadCause::NoShareFits);
        assert_eq!(
            text,
            "no share that came is one of this file (4 servers asked)\n\
             \x20 a:1, b:2: sent a bad share: belongs to another file, or its end is corrupted\n\
             \x20 d:4: cannot be reached: connection refused\n\
             \x20 c:3: no share of this file\n\
             hint: check the capability, character by character. If it is right, these shares are \
             damaged"
        );
    }

    #[test]
    fn a_download_waits_for_servers_only_if_they_may_come_back() {
        let (cause, text) = download(
            1,
            vec![
                ("b:2", away()),
                ("c:3", ServerError::NoShare),
                ("d:4", farewell(Farewell::Stopping)),
            ],
        );
        assert_eq!(cause, DownloadCause::ServersAway);
        assert_eq!(
            text,
            "1 of the 2 shares needed were found (4 servers asked)\n\
             \x20 d:4: closed the connection: the server is stopping\n\
             \x20 b:2: cannot be reached: connection refused\n\
             \x20 c:3: no share of this file\n\
             hint: try again when these servers are up"
        );
    }

    #[test]
    fn a_download_that_no_server_lets_in_says_so() {
        let wrong = ["a:1", "b:2"].map(|server| (server, farewell(Farewell::WrongSwissnum)));
        let (cause, text) = download(0, wrong.into());
        assert_eq!(cause, DownloadCause::Every(Trouble::WrongSwissnum));
        assert_eq!(
            text,
            "0 of the 2 shares needed were found (4 servers asked)\n\
             \x20 a:1, b:2: closed the connection: the swissnum is wrong\n\
             hint: the swissnum in a NURL is what lets a client in, and these servers have another \
             now. Remove them with `tahoectl grid remove` and add their new NURLs with `tahoectl \
             grid add`; `tahoed nurl DIR` prints a server's"
        );
        let others = ["a:1", "b:2"].map(|server| (server, ServerError::WrongKey));
        let (cause, _) = download(0, others.into());
        assert_eq!(cause, DownloadCause::Every(Trouble::WrongKey));
    }

    #[test]
    fn a_file_whose_shares_are_gone_is_not_waited_for() {
        let none = || ServerError::NoShare;
        let hint = "hint: every server was asked. More shares can only be on servers that are not \
                    in this grid: add them with `tahoectl grid add NURL`";
        let (cause, text) = download(1, vec![("a:1", none()), ("b:2", none()), ("c:3", none())]);
        assert_eq!(cause, DownloadCause::SharesLost);
        assert_eq!(
            text,
            format!(
                "1 of the 2 shares needed were found (4 servers asked)\n  \
                 a:1, b:2, c:3: no share of this file\n{hint}"
            )
        );
        let (cause, _) = download(1, vec![("a:1", none()), ("b:2", other_file())]);
        assert_eq!(cause, DownloadCause::SharesLost);
    }
}
