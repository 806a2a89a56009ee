//! `tahoectl init`.

use tools::home::{Choice, Home, HomeError, Settings};
use tools::wording::quoted_path;
use tools::{Error, Exit};

use crate::arguments::Init;
use crate::object::Object;
use crate::report::Report;

pub(crate) fn run(home: &Home, options: Init, report: &Report) -> Result<Exit, Error> {
    let encoding = Choice::from(options.encoding);
    // What no grid can meet is refused before there is a configuration of it.
    encoding.for_grid(SERVERS_MANY)?;
    if home.is_configured() && !encoding.is_automatic() {
        let path = home.path().to_owned();
        return Err(HomeError::AlreadyThere { path }.into());
    }
    let made = home.create(&Settings { encoding })?;
    let path = quoted_path(home.path());
    report.note(&match made.len() == Home::FILES.len() {
        true => format!(
            "made {path}. Next, add the servers of your grid: `tahoectl grid add NURL...`, where \
             NURL is what `tahoed nurl DIR` prints on a server"
        ),
        false => format!("{path} lacked {}: made anew", made.join(", ")),
    });
    let object = Object::new("init")
        .path("directory", home.path())
        .with("made", made);
    report.result("", &object)?;
    Ok(Exit::Done)
}

/// More than any grid has.
const SERVERS_MANY: usize = 256;
