//! How files are spread over the servers of a grid, in words.

use tools::home::{Choice, Encoding, Home, SettingsError};
use tools::wording::{counted, quoted_path};

use crate::object::Object;
use crate::report::Report;

/// The numbers that hold for a grid, and who chose them.
pub(crate) struct Spread {
    encoding: Encoding,
    servers: usize,
    is_automatic: bool,
}

impl Spread {
    /// What this choice comes to on a grid of `servers` servers.
    pub(crate) fn new(choice: Choice, servers: usize) -> Result<Self, SettingsError> {
        Ok(Self {
            encoding: choice.for_grid(servers)?,
            servers,
            is_automatic: choice.is_automatic(),
        })
    }

    /// Says it.
    pub(crate) fn tell(&self, home: &Home, report: &Report) {
        report.note(&self.sentence());
        let config = quoted_path(&home.settings_path());
        if self.servers > 0 {
            report.note(&match self.is_automatic {
                true => format!("(chosen for the number of servers; set it yourself in {config})"),
                false => format!("(as set in {config})"),
            });
        }
        if let Some(warning) = self.warning() {
            report.warn(&format!("{warning} in {config}"));
        }
    }

    /// Adds the numbers to an object.
    pub(crate) fn describe(&self, object: Object) -> Object {
        object
            .with("servers", self.servers)
            .with("needed", self.encoding.needed)
            .with("happy", self.encoding.happy)
            .with("total", self.encoding.total)
            .with("automatic", self.is_automatic)
    }

    fn sentence(&self) -> String {
        let Encoding {
            needed,
            happy,
            total,
        } = self.encoding;
        let count = counted(self.servers, "server");
        let total_len = usize::from(total);
        let shares = match needed {
            1 => "any 1 share brings".to_owned(),
            needed => format!("any {needed} shares bring"),
        };
        let upload = match usize::from(happy) {
            1 => "an upload needs 1 of them".to_owned(),
            happy if happy == self.servers => format!("an upload needs all {happy}"),
            happy if happy > self.servers => format!("an upload needs {happy}"),
            happy => format!("an upload needs {happy} of them"),
        };
        match self.servers {
            0 => "0 servers: nothing can be uploaded or downloaded".to_owned(),
            1 if total == 1 => "1 server: it alone brings a file back".to_owned(),
            servers if servers == total_len => {
                let verb = if needed == 1 { "brings" } else { "bring" };
                format!("{count}: any {needed} {verb} a file back; {upload}")
            }
            servers if servers > total_len => {
                format!("{count}: a file goes to {total} of them, {shares} it back; {upload}")
            }
            _ => format!(
                "{count}: a file becomes {total} shares, so a server holds several; {shares} it back; \
                 {upload}"
            ),
        }
    }

    /// What makes every upload fail, to be followed by where it is set.
    fn warning(&self) -> Option<String> {
        let happy = usize::from(self.encoding.happy);
        (self.servers > 0 && happy > self.servers).then(|| {
            format!(
                "an upload fails with fewer than {happy} servers: add servers, or lower `happy`"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(choice: Choice, servers: usize) -> String {
        Spread::new(choice, servers).unwrap().sentence()
    }

    fn choice(needed: u16, happy: u16, total: u16) -> Choice {
        Choice {
            needed: Some(needed),
            happy: Some(happy),
            total: Some(total),
        }
    }

    #[test]
    fn every_size_of_grid_has_its_sentence() {
        for (servers, expected) in [
            (0, "0 servers: nothing can be uploaded or downloaded"),
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
            (
                12,
                "12 servers: a file goes to 10 of them, any 3 shares bring it back; an upload needs \
                 7 of them",
            ),
        ] {
            assert_eq!(sentence(Choice::default(), servers), expected);
        }
        assert_eq!(
            sentence(choice(3, 7, 10), 1),
            "1 server: a file becomes 10 shares, so a server holds several; any 3 shares bring it \
             back; an upload needs 7"
        );
    }

    #[test]
    fn numbers_that_no_upload_can_meet_are_warned_of() {
        let warning = |choice, servers| Spread::new(choice, servers).unwrap().warning();
        assert!(
            warning(choice(3, 7, 10), 1)
                .unwrap()
                .contains("fewer than 7 servers")
        );
        assert_eq!(warning(choice(3, 7, 10), 7), None);
        for servers in 0..20 {
            assert_eq!(warning(Choice::default(), servers), None);
        }
    }
}
