//! `tahoectl init`.

use serde_json::json;
use tools::home::{Home, Settings};
use tools::{Error, Exit};

use crate::arguments::Init;
use crate::report::Report;

pub(crate) fn run(home: &Home, options: Init, report: &Report) -> Result<Exit, Error> {
    let settings = Settings {
        encoding: options.encoding.or(Settings::default().encoding)?,
    };
    home.create(&settings)?;
    let path = home.path().display().to_string();
    report.note(&format!(
        "made {path}; now add servers with `tahoectl grid add NURL`"
    ));
    report.result("", &json!({ "directory": path }))?;
    Ok(Exit::Done)
}
