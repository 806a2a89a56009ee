//! A new `tahoectl` for each file: what starting, connecting and storing cost, beside their floors.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lafs::nurl::Nurl;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use benches::fit::median;
use benches::hosts::Hosts;
use benches::ours::{Client, Daemons, Programs};
use benches::plot::number;
use benches::session::{self, Session};
use benches::{process, results};

use crate::Context;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often each is done
    #[arg(long, default_value_t = 100)]
    repeat: u32,
}

/// One thing done many times: time of each, and processor time of all.
struct Row {
    name: &'static str,
    times: Vec<Duration>,
    client: Duration,
    servers: Duration,
}

pub(crate) fn run(context: &Context, options: &Options) -> Result<(), Box<dyn Error>> {
    let hosts = Hosts::Loopback;
    let programs = Programs::build()?;
    let daemons = Daemons::start(&hosts, &programs, &context.directory("ours")?, SERVERS)?;
    let home = context.directory("client")?;
    let client = Client::new(&hosts, &programs, &home, &daemons)?;
    let files = context.random_files("files", options.repeat + 1, FILE_SIZE)?;
    let nurls = daemons.parsed_nurls();
    let encoding = ["--needed", "3", "--happy", "10", "--total", "10"];
    // What only the first has to do is not what is measured.
    client.upload(&files[..1], &encoding)?;

    let measure = |name, work: &mut dyn FnMut(usize) -> io::Result<()>| {
        Row::measure(name, &daemons, options.repeat, work)
    };
    let upload = measure("a new `tahoectl upload` of 1 kB", &mut |index| {
        client.upload(&files[index + 1..][..1], &encoding).map(drop)
    })?;
    let nothing = measure("a new process that does nothing: `true`", &mut |_| {
        ended(&mut Command::new("true"))
    })?;
    let version = measure("a new `tahoectl --version`", &mut |_| {
        ended(Command::new(programs.tahoectl()).arg("--version"))
    })?;
    let handshakes = measure(
        "ten TLS handshakes at once, in a process that runs",
        &mut |_| session::run(shake_hands(&nurls)),
    )?;
    let open = in_one_session(&daemons, &nurls, &files[1..])?;

    let mut table = String::from(
        "| 10 servers, 3 of 10 | ms | processor, client, ms | processor, servers, ms |\n\
         |---|--:|--:|--:|\n",
    );
    for row in [&upload, &nothing, &version, &handshakes, &open] {
        let [client, servers] = [row.client, row.servers].map(|all| row.mean_ms(all));
        let (name, ms) = (row.name, number(row.median_ms()));
        writeln!(table, "| {name} | {ms} | {client} | {servers} |")?;
    }
    let floor = [&version, &handshakes, &open].map(Row::median_ms);
    let floor: f64 = floor.iter().sum();
    writeln!(
        table,
        "\nMedians of the times, means of the processor times. The last three rows together are the floor of \
         the first: {} ms, of which it takes {} (goal: 12 ms).",
        number(floor),
        number(upload.median_ms() / floor),
    )?;
    println!("{table}");
    if context.write {
        results::write_section("compare process", &table)?;
    }
    Ok(())
}

impl Row {
    fn measure(
        name: &'static str,
        daemons: &Daemons,
        repeat: u32,
        work: &mut dyn FnMut(usize) -> io::Result<()>,
    ) -> io::Result<Self> {
        let pids = daemons.pids();
        let (own, servers) = (process::own_cpu()?, process::cpu_exactly(&pids)?);
        let mut times = Vec::new();
        for index in 0..repeat {
            let began = Instant::now();
            work(usize::try_from(index).map_err(io::Error::other)?)?;
            times.push(began.elapsed());
            // The next one finds servers that have nothing to do.
            std::thread::sleep(PAUSE);
        }
        Ok(Self {
            name,
            times,
            client: process::own_cpu()? - own,
            servers: process::cpu_exactly(&pids)? - servers,
        })
    }

    fn median_ms(&self) -> f64 {
        let times: Vec<_> = self.times.iter().map(Duration::as_secs_f64).collect();
        median(&times) * 1000.0
    }

    fn mean_ms(&self, all: Duration) -> String {
        let count = u32::try_from(self.times.len()).unwrap_or(u32::MAX);
        number((all / count).as_secs_f64() * 1000.0)
    }
}

/// Uploads on connections that are open, in this process.
fn in_one_session(
    daemons: &Daemons,
    nurls: &[Nurl],
    files: &[std::path::PathBuf],
) -> io::Result<Row> {
    session::run(async {
        let open = Session::new(nurls, NEEDED);
        open.upload(&files[0]).await?;
        let pids = daemons.pids();
        let (own, servers) = (process::own_cpu()?, process::cpu_exactly(&pids)?);
        let mut times = Vec::new();
        for file in files {
            times.push(open.upload(file).await?.1.time);
            tokio::time::sleep(PAUSE).await;
        }
        let client = process::own_cpu()? - own;
        let servers = process::cpu_exactly(&pids)? - servers;
        open.close().await;
        Ok(Row {
            name: "an upload of 1 kB on ten open connections",
            times,
            client,
            servers,
        })
    })
}

async fn shake_hands(nurls: &[Nurl]) -> io::Result<()> {
    let config = Arc::new(client_config()?);
    let mut all = JoinSet::new();
    for nurl in nurls {
        let (host, port) = (nurl.host().as_str().to_owned(), nurl.port());
        let connector = TlsConnector::from(config.clone());
        all.spawn(async move {
            let socket = TcpStream::connect((host.as_str(), port)).await?;
            socket.set_nodelay(true)?;
            let name = "tahoed.invalid".try_into().map_err(io::Error::other)?;
            connector.connect(name, socket).await.map(drop)
        });
    }
    while let Some(done) = all.join_next().await {
        done.map_err(io::Error::other)??;
    }
    Ok(())
}

/// TLS 1.3 as our client speaks it.
fn client_config() -> io::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyKey(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol::ALPN.to_vec()];
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Accepts any server that has the key which it shows.
#[derive(Debug)]
struct AnyKey(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyKey {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("only TLS 1.3 is offered")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Runs a program to its end.
fn ended(command: &mut Command) -> io::Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(status.to_string())),
    }
}

const SERVERS: u8 = 10;

const NEEDED: u16 = 3;

const FILE_SIZE: u64 = 1000;

/// Longer than anything that follows an answer.
const PAUSE: Duration = Duration::from_millis(20);
