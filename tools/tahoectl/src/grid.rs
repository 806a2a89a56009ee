//! `tahoectl grid`.

use std::collections::BTreeSet;
use std::path::Path;

use lafs::nurl::Nurl;
use tools::home::Home;
use tools::wording::{counted, quoted_path};
use tools::{Error, Exit, local};

use crate::arguments::Grid;
use crate::given::Given;
use crate::object::Object;
use crate::report::Report;
use crate::spread::Spread;

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
    let choice = home.settings()?.encoding;
    let mut servers = home.servers()?;
    let known = servers.len();
    for text in given(texts, report)? {
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
    let spread = Spread::new(choice, servers.len())?;
    home.set_servers(&servers)?;
    spread.tell(home, report);
    let object = Object::new("grid_add").with("added", servers.len() - known);
    report.result("", &spread.describe(object))?;
    Ok(Exit::Done)
}

/// The NURLs on the command line, or on standard input in place of `-`.
fn given(texts: &[String], report: &Report) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for text in texts {
        if text == "-" {
            let input = Given::Input("The NURLs, in one line, then Enter:");
            input.prompt(report);
            all.extend(input.read()?.split_whitespace().map(str::to_owned));
        } else {
            all.push(text.clone());
        }
    }
    Ok(all)
}

fn list(home: &Home, nurls: bool, report: &Report) -> Result<Exit, Error> {
    for server in home.servers()? {
        let address = address(&server);
        let key = server.key_hash().to_string();
        let mut object = Object::new("server")
            .with("server", &*address)
            .with("key", &*key);
        let nurl = server.to_string();
        if nurls {
            object = object.with("nurl", &*nurl);
            report.result(&nurl, &object)?;
        } else {
            report.result(format!("{address}  {key}"), &object)?;
        }
    }
    Ok(Exit::Done)
}

fn remove(home: &Home, names: &[String], report: &Report) -> Result<Exit, Error> {
    let choice = home.settings()?.encoding;
    let mut servers = home.servers()?;
    let mut unknown: BTreeSet<_> = names.iter().collect();
    let before = servers.len();
    servers.retain(|server| {
        let spellings = [
            address(server),
            server.to_string(),
            server.key_hash().to_string(),
        ];
        unknown.retain(|name| !spellings.contains(name));
        !names.iter().any(|name| spellings.contains(name))
    });
    let spread = Spread::new(choice, servers.len())?;
    if servers.len() < before {
        home.set_servers(&servers)?;
        spread.tell(home, report);
    }
    let is_done = unknown.is_empty();
    for name in &unknown {
        report.note(&format!(
            "tahoectl: no server is called {name}; `tahoectl grid list` shows their names"
        ));
    }
    let unknown: Vec<_> = unknown.into_iter().cloned().collect();
    let object = Object::new("grid_remove")
        .with("removed", before - servers.len())
        .with("unknown", unknown);
    report.result("", &spread.describe(object))?;
    Ok(if is_done { Exit::Done } else { Exit::No })
}

async fn up(directory: &Path, count: Option<u16>, report: &Report) -> Result<Exit, Error> {
    let up = local::up(directory, count).await?;
    let home = Home::at(&up.client);
    let spread = Spread::new(home.settings()?.encoding, up.servers)?;
    let servers = counted(up.servers, "server");
    report.note(&match up.started {
        started if started == up.servers => format!("{servers} started"),
        0 => format!("{servers} running already"),
        started => format!("{servers} running, {started} of them started now"),
    });
    spread.tell(&home, report);
    report.note("To use the grid:");
    let object = Object::new("grid_up")
        .with("made", up.made)
        .with("started", up.started)
        .path("client", &up.client);
    let export = format!("export TAHOECTL_DIR={}", quoted_path(&up.client));
    report.result(export, &spread.describe(object))?;
    report.note(&format!(
        "tahoectl upload FILE\nTo stop it: tahoectl grid down {}",
        quoted_path(directory)
    ));
    Ok(Exit::Done)
}

async fn down(directory: &Path, report: &Report) -> Result<Exit, Error> {
    let stopped = local::down(directory).await?;
    report.note(&format!("{} stopped", counted(stopped, "server")));
    report.result("", &Object::new("grid_down").with("stopped", stopped))?;
    Ok(Exit::Done)
}

fn address(server: &Nurl) -> String {
    tools::grid::name_of(server).to_string()
}
