//! `tahoectl grid`.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use lafs::nurl::Nurl;
use serde_json::{Value, json};
use tools::home::Home;
use tools::{Error, Exit, local};

use crate::arguments::Grid;
use crate::report::Report;

pub(crate) fn run(
    home: impl Fn() -> Result<Home, Error>,
    command: Grid,
    report: &Report,
) -> Result<Exit, Error> {
    match command {
        Grid::Add { nurls } => add(&home()?, &nurls, report),
        Grid::List { nurls } => list(&home()?, nurls, report),
        Grid::Remove { servers } => remove(&home()?, &servers, report),
        Grid::Up { directory, servers } => crate::client(up(&directory, servers, report)),
        Grid::Down { directory } => crate::client(down(&directory, report)),
    }
}

fn add(home: &Home, texts: &[String], report: &Report) -> Result<Exit, Error> {
    let mut servers = home.servers()?;
    let known = servers.len();
    for text in given(texts)? {
        let nurl: Nurl = text.parse()?;
        // A server that moved keeps its key.
        match servers
            .iter_mut()
            .find(|server| server.key_hash() == nurl.key_hash())
        {
            Some(server) => *server = nurl,
            None => servers.push(nurl),
        }
    }
    home.set_servers(&servers)?;
    report.note(&format!("{} servers", servers.len()));
    let object = json!({ "servers": servers.len(), "added": servers.len() - known });
    report.result("", &object)?;
    Ok(Exit::Done)
}

/// The NURLs on the command line, or on standard input in place of `-`.
fn given(texts: &[String]) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for text in texts {
        if text == "-" {
            let mut input = String::new();
            std::io::stdin()
                .take(INPUT_SIZE_MAX)
                .read_to_string(&mut input)
                .map_err(|source| Error::input("standard input", source))?;
            all.extend(input.split_whitespace().map(str::to_owned));
        } else {
            all.push(text.clone());
        }
    }
    Ok(all)
}

fn list(home: &Home, nurls: bool, report: &Report) -> Result<Exit, Error> {
    for server in home.servers()? {
        let address = address(&server);
        if nurls {
            report.result(&server.to_string(), &json!({ "nurl": server.to_string() }))?;
        } else {
            let key = server.key_hash().to_string();
            let object: Value = json!({ "server": address, "key": key });
            report.result(&format!("{address}  {key}"), &object)?;
        }
    }
    Ok(Exit::Done)
}

fn remove(home: &Home, names: &[String], report: &Report) -> Result<Exit, Error> {
    let mut servers = home.servers()?;
    let mut unknown: HashSet<_> = names.iter().collect();
    let before = servers.len();
    servers.retain(|server| {
        let spellings = [
            address(server),
            server.to_string(),
            server.key_hash().to_string(),
        ];
        let Some(name) = names.iter().find(|name| spellings.contains(name)) else {
            return true;
        };
        unknown.remove(name);
        false
    });
    for name in &unknown {
        report.note(&format!("tahoectl: no server is called {name}"));
    }
    home.set_servers(&servers)?;
    let object = json!({ "servers": servers.len(), "removed": before - servers.len() });
    report.result("", &object)?;
    Ok(if unknown.is_empty() {
        Exit::Done
    } else {
        Exit::No
    })
}

async fn up(directory: &Path, count: Option<u16>, report: &Report) -> Result<Exit, Error> {
    let up = local::up(directory, count).await?;
    let client = up.client.display().to_string();
    let running = match up.started {
        started if started == up.servers => "were started".to_owned(),
        0 => "are running already".to_owned(),
        started => format!("are running, {started} of them started now"),
    };
    report.note(&format!("{} servers {running}. To use them:", up.servers));
    let object = json!({
        "servers": up.servers,
        "made": up.made,
        "started": up.started,
        "client": client,
    });
    report.result(&format!("export TAHOECTL_DIR={}", quoted(&client)), &object)?;
    report.note(&format!(
        "tahoectl upload FILE\nTo stop them: tahoectl grid down {}",
        quoted(&directory.display().to_string())
    ));
    Ok(Exit::Done)
}

async fn down(directory: &Path, report: &Report) -> Result<Exit, Error> {
    let stopped = local::down(directory).await?;
    report.note(&format!("{stopped} servers were stopped"));
    report.result("", &json!({ "stopped": stopped }))?;
    Ok(Exit::Done)
}

fn address(server: &Nurl) -> String {
    tools::grid::name_of(server).to_string()
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@".contains(&byte);
    if text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// More NURLs than any grid has.
const INPUT_SIZE_MAX: u64 = 1 << 20;
