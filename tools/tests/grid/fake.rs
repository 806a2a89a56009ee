//! A grid inside the test: servers, honest or not, each behind TLS and the real protocol.
//!
//! Connections are pipes in memory and the clock is paused: it jumps to the next deadline when
//! nobody has anything left to do, so that no test depends on how busy the machine is.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use lafs::nurl::{KeyHash, Nurl};
use lafs::{ConvergenceSecret, ShareNumber, StorageIndex, Swissnum};
use protocol::server::{Connection, Event, Outcome};
use protocol::{Farewell, HeldShare, ReadRequest, Reason, Refusal, RequestNumber, Welcome};
use rustls::pki_types::PrivateKeyDer;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;
use tools::grid::{Dial, Dialed, Dialing, Grid, Patience};
use tools::home::Encoding;
use tools::ledger::Ledger;
use tools::upload::{Observer, Options, Unobserved, Uploader};

type Shares = BTreeMap<(StorageIndex, ShareNumber), Bytes>;

/// A server of the test's own.
pub(crate) struct FakeServer {
    pub(crate) nurl: Nurl,
    state: Rc<State>,
    wire: Wire,
}

/// Takes the server's end of a new connection.
type Wire = mpsc::UnboundedSender<DuplexStream>;

/// The way to servers, by port.
pub(crate) struct Wires(BTreeMap<u16, (Wire, Rc<State>)>);

impl Wires {
    pub(crate) fn to(servers: &[FakeServer]) -> Rc<Self> {
        let wires = servers.iter().map(|server| {
            (
                server.nurl.port(),
                (server.wire.clone(), server.state.clone()),
            )
        });
        Rc::new(Self(wires.collect()))
    }
}

impl Dial for Wires {
    fn dial(&self, nurl: &Nurl) -> Dialing {
        let server = self.0.get(&nurl.port()).cloned();
        Box::pin(async move {
            let Some((wire, state)) = server else {
                return Err(std::io::ErrorKind::ConnectionRefused.into());
            };
            let (mut client, server) = tokio::io::duplex(SOCKET_LEN);
            match state.manner.get() {
                Manner::Blackholed => std::future::pending().await,
                Manner::Distant(time) => {
                    tokio::time::sleep(time).await;
                    client = stretch(client, time / 2);
                }
                _ => {}
            }
            wire.send(server)
                .expect("the server runs as long as the test");
            Ok(Dialed::over(Box::new(client)))
        })
    }
}

/// Lengthens a connection: what goes in at one end comes out at the other so much later.
fn stretch(far: DuplexStream, time: Duration) -> DuplexStream {
    let (near, middle) = tokio::io::duplex(SOCKET_LEN);
    let (far_reader, far_writer) = tokio::io::split(far);
    let (middle_reader, middle_writer) = tokio::io::split(middle);
    tokio::task::spawn_local(carry(far_reader, middle_writer, time));
    tokio::task::spawn_local(carry(middle_reader, far_writer, time));
    near
}

async fn carry(
    mut reader: impl AsyncReadExt + Unpin + 'static,
    mut writer: impl AsyncWriteExt + Unpin,
    time: Duration,
) {
    let (sender, mut travelling) = mpsc::unbounded_channel();
    tokio::task::spawn_local(async move {
        let mut buffer = vec![0; SOCKET_LEN];
        while let Ok(len @ 1..) = reader.read(&mut buffer).await {
            let arrival = Instant::now() + time;
            if sender.send((arrival, buffer[..len].to_vec())).is_err() {
                break;
            }
        }
    });
    while let Some((arrival, bytes)) = travelling.recv().await {
        sleep_until(arrival).await;
        if writer.write_all(&bytes).await.is_err() {
            break;
        }
    }
    // Whoever reads there learns that this is the end, if it still listens.
    let _ = writer.shutdown().await;
}

/// What a connection takes before its reader has read any.
const SOCKET_LEN: usize = 64 << 10;

struct State {
    manner: Cell<Manner>,
    shares: RefCell<Shares>,
    /// Uploads that were begun and not closed.
    incoming: RefCell<BTreeMap<(StorageIndex, ShareNumber), Vec<u8>>>,
    share_bytes_received: Cell<usize>,
    /// Received or sent.
    share_bytes_moved: Cell<usize>,
    leases: Cell<usize>,
    connections: Cell<usize>,
    share_count_max: Cell<usize>,
    thawed: Notify,
}

impl State {
    fn moved(&self, len: usize) {
        self.share_bytes_moved
            .set(self.share_bytes_moved.get() + len);
    }

    /// Waits as long as the server is frozen.
    async fn freeze(&self) {
        let is_frozen = || match self.manner.get() {
            Manner::Frozen => true,
            Manner::Freezing(limit) => self.share_bytes_moved.get() >= limit,
            _ => false,
        };
        while is_frozen() {
            self.thawed.notified().await;
        }
    }
}

/// How a server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    /// Refuses every share, for lack of room.
    Full,
    /// Refuses every share, as a matter of principle.
    ReadOnly,
    /// Cannot even be connected to.
    Blackholed,
    /// Its process is stopped: its kernel takes connections, and nobody reads them.
    Frozen,
    /// The same, once it has received or sent so many share bytes.
    Freezing(usize),
    /// A round trip to it takes so long.
    Distant(Duration),
    /// Accepts connections and requests, and never says anything.
    Silent,
    /// Sends a byte now and then.
    Trickling,
    /// Answers with bytes that are no frames.
    Babbling,
    /// Closes each connection when it has received so many share bytes; 0 at once.
    Hanging(usize),
    /// The same, but the first connection only.
    HangingOnce(usize),
    /// Flips this bit of every share it sends.
    Flipping(usize),
    /// Sends all shares without their last byte, and says that they are so long.
    Cutting,
    /// Sends the share of another file in place of each.
    Swapping,
    /// Takes and sends no more than 16 KiB in 0.3 s.
    Sluggish,
    /// Is no TLS server at all.
    Cleartext,
    /// Says that the swissnum is wrong.
    Rejecting,
    /// Says that it is stopping as soon as something is asked of it.
    Stopping,
}

impl FakeServer {
    pub(crate) async fn start(manner: Manner) -> Self {
        let port = new_port();
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["tahoed".to_owned()]).unwrap();
        let key_hash = spki_hash(cert.der());
        let swissnum = Swissnum::new("swissnum").unwrap();
        let host = "127.0.0.1".parse().unwrap();
        let nurl = Nurl::new(KeyHash::new(key_hash), host, port, swissnum.clone()).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![protocol::ALPN.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let state = Rc::new(State {
            manner: Cell::new(manner),
            shares: RefCell::default(),
            incoming: RefCell::default(),
            share_bytes_received: Cell::new(0),
            share_bytes_moved: Cell::new(0),
            leases: Cell::new(0),
            connections: Cell::new(0),
            share_count_max: Cell::new(usize::MAX),
            thawed: Notify::new(),
        });
        let for_connections = state.clone();
        let (wire, mut connections) = mpsc::unbounded_channel::<DuplexStream>();
        tokio::task::spawn_local(async move {
            while let Some(stream) = connections.recv().await {
                let (acceptor, state) = (acceptor.clone(), for_connections.clone());
                let swissnum = swissnum.clone();
                tokio::task::spawn_local(async move {
                    state.connections.set(state.connections.get() + 1);
                    state.freeze().await;
                    if state.manner.get() == Manner::Cleartext {
                        let mut stream = stream;
                        // Whether the client still listens is its business.
                        let _ = stream.write_all(b"220 mail ready\r\n").await;
                        return;
                    }
                    if let Ok(stream) = acceptor.accept(stream).await {
                        // The end of a connection is the client's business.
                        let _ = Session::new(state, swissnum).run(stream).await;
                    }
                });
            }
        });
        Self { nurl, state, wire }
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.state.manner.set(manner);
    }

    /// Freezes once so many more share bytes have moved.
    pub(crate) fn freeze_after(&self, len: usize) {
        let moved = self.state.share_bytes_moved.get();
        self.behave(Manner::Freezing(moved + len));
    }

    /// Lets a frozen server go on.
    pub(crate) fn thaw(&self, manner: Manner) {
        self.behave(manner);
        self.state.thawed.notify_waiters();
    }

    /// Refuses further shares when it holds so many of one file.
    pub(crate) fn take_at_most(&self, count: usize) {
        self.state.share_count_max.set(count);
    }

    pub(crate) fn share_count(&self) -> usize {
        self.state.shares.borrow().len()
    }

    /// The numbers of the shares it holds, of whichever file.
    pub(crate) fn share_numbers(&self) -> Vec<ShareNumber> {
        let shares = self.state.shares.borrow();
        shares.keys().map(|(_, number)| *number).collect()
    }

    /// Holds a share from now on, as if it had been stored long ago.
    pub(crate) fn store(&self, index: StorageIndex, number: ShareNumber, share: Vec<u8>) {
        let mut shares = self.state.shares.borrow_mut();
        shares.insert((index, number), share.into());
    }

    pub(crate) fn forget_shares(&self) {
        self.state.shares.borrow_mut().clear();
    }

    /// Share bytes that arrived, in PUT and DATA.
    pub(crate) fn share_bytes_received(&self) -> usize {
        self.state.share_bytes_received.get()
    }

    pub(crate) fn leases(&self) -> usize {
        self.state.leases.get()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.get()
    }
}

struct Session {
    state: Rc<State>,
    connection: Connection,
    uploads: BTreeMap<RequestNumber, (StorageIndex, ShareNumber)>,
    is_first: bool,
}

impl Session {
    fn new(state: Rc<State>, swissnum: Swissnum) -> Self {
        let is_first = state.connections.get() == 1;
        Self {
            state,
            connection: Connection::new(swissnum),
            uploads: BTreeMap::new(),
            is_first,
        }
    }

    async fn run(
        mut self,
        mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            match self.state.manner.get() {
                Manner::Silent => std::future::pending().await,
                Manner::Trickling => loop {
                    // The header of a WELCOME, and no end of it.
                    stream.write_all(&[0x81]).await?;
                    stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    stream.write_all(&[1]).await?;
                    std::future::pending::<()>().await;
                },
                Manner::Babbling => {
                    stream.write_all(&[0xee; 4096]).await?;
                    stream.flush().await?;
                    std::future::pending::<()>().await;
                }
                Manner::Hanging(0) => return Ok(()),
                Manner::Sluggish => tokio::time::sleep(Duration::from_millis(300)).await,
                _ => {}
            }
            self.state.freeze().await;
            let len = stream.read(&mut buffer).await?;
            if len == 0 {
                return Ok(());
            }
            let mut input = &buffer[..len];
            loop {
                while let Some(event) = self.connection.read(&mut input).unwrap() {
                    if self.handle(event).is_none() {
                        return Ok(());
                    }
                }
                let output = self.connection.output();
                while output.has_remaining() {
                    self.state.freeze().await;
                    if self.state.manner.get() == Manner::Sluggish {
                        tokio::time::sleep(Duration::from_millis(300)).await;
                    }
                    let chunk = output.chunk();
                    let len = stream.write(&chunk[..chunk.len().min(16 << 10)]).await?;
                    output.advance(len);
                }
                stream.flush().await?;
                // What is left waited until the answers before it had gone.
                if input.is_empty() {
                    break;
                }
                if !self.connection.wants_input() {
                    return Ok(());
                }
            }
        }
    }

    /// Performs what is asked; `None` to close the connection.
    fn handle(&mut self, event: Event) -> Option<()> {
        let manner = self.state.manner.get();
        match event {
            Event::Admitted { .. } if manner == Manner::Rejecting => {
                self.connection.refuse(Farewell::WrongSwissnum, "");
            }
            Event::Admitted { .. } => self.connection.welcome(Welcome {
                relaxed: false,
                read_only: false,
                space_free: 1 << 40,
                share_size_max: 1 << 40,
                uploads_max: 64,
                requests_max: 1024,
            }),
            _ if manner == Manner::Stopping => {
                self.connection.refuse(Farewell::Stopping, "for a test");
            }
            Event::Put {
                request,
                storage_index,
                share_number,
                share,
            } => {
                self.receive(share.len())?;
                let outcome = self.store(storage_index, share_number, share);
                self.connection.answer(request, outcome);
            }
            Event::Open {
                request,
                storage_index,
                share_number,
                resume,
                ..
            } => {
                let key = (storage_index, share_number);
                if let Some(refusal) = self.refusal(storage_index) {
                    self.connection.answer(request, Outcome::Refused(refusal));
                } else if self.state.shares.borrow().contains_key(&key) {
                    self.connection.answer(request, Outcome::AlreadyHere);
                } else {
                    let mut incoming = self.state.incoming.borrow_mut();
                    if !resume {
                        incoming.remove(&key);
                    }
                    let offset = incoming.entry(key).or_default().len();
                    self.uploads.insert(request, key);
                    if resume {
                        let offset = u64::try_from(offset).unwrap();
                        self.connection.resume_at(request, offset);
                    }
                }
            }
            Event::Data {
                upload,
                offset,
                bytes,
            } => {
                self.receive(bytes.len())?;
                if let Some(key) = self.uploads.get(&upload) {
                    let mut incoming = self.state.incoming.borrow_mut();
                    let share = incoming.get_mut(key).unwrap();
                    assert_eq!(u64::try_from(share.len()).unwrap(), offset);
                    share.extend_from_slice(&bytes);
                }
            }
            Event::Close { upload, size } => {
                let key = self.uploads.remove(&upload).unwrap();
                let share = self.state.incoming.borrow_mut().remove(&key).unwrap();
                assert_eq!(u64::try_from(share.len()).unwrap(), size);
                let outcome = self.store(key.0, key.1, share.into());
                self.connection.answer(upload, outcome);
            }
            Event::Abort { upload } => {
                if let Some(key) = self.uploads.remove(&upload) {
                    self.state.incoming.borrow_mut().remove(&key);
                }
                let refusal = Outcome::Refused(Reason::Aborted.into());
                self.connection.answer(upload, refusal);
            }
            Event::Read { request, read } => self.read(request, &read),
            Event::Lease {
                request,
                storage_index,
            } => {
                self.state.leases.set(self.state.leases.get() + 1);
                let held = self.held(|index, _| index == storage_index);
                self.connection.held(request, None, held);
            }
        }
        Some(())
    }

    fn receive(&mut self, len: usize) -> Option<()> {
        self.connection.release(len);
        let received = self.state.share_bytes_received.get() + len;
        self.state.share_bytes_received.set(received);
        self.state.moved(len);
        match self.state.manner.get() {
            Manner::Hanging(limit) if received > limit => None,
            Manner::HangingOnce(limit) if self.is_first && received > limit => None,
            _ => Some(()),
        }
    }

    /// Why a share is not taken, if it is not.
    fn refusal(&self, storage_index: StorageIndex) -> Option<Refusal> {
        let (shares, incoming) = (self.state.shares.borrow(), self.state.incoming.borrow());
        let all = shares.keys().chain(incoming.keys());
        let count = all.filter(|(index, _)| *index == storage_index).count();
        let is_full = count >= self.state.share_count_max.get();
        match self.state.manner.get() {
            Manner::ReadOnly => Some(Reason::ReadOnly.into()),
            manner if is_full || manner == Manner::Full => {
                Some(Refusal::with_text(Reason::Full, "no room in the test"))
            }
            _ => None,
        }
    }

    fn store(&mut self, index: StorageIndex, number: ShareNumber, share: Bytes) -> Outcome {
        if let Some(refusal) = self.refusal(index) {
            return Outcome::Refused(refusal);
        }
        match self
            .state
            .shares
            .borrow_mut()
            .insert((index, number), share)
        {
            None => Outcome::Stored,
            Some(_) => Outcome::AlreadyHere,
        }
    }

    fn held(&self, wanted: impl Fn(StorageIndex, ShareNumber) -> bool) -> Vec<HeldShare> {
        let shares = self.state.shares.borrow();
        shares
            .iter()
            .filter(|((index, number), _)| wanted(*index, *number))
            .map(|((_, number), share)| HeldShare {
                share_number: *number,
                size: u64::try_from(self.disguise(share).len()).ok(),
            })
            .collect()
    }

    fn read(&mut self, request: RequestNumber, read: &ReadRequest) {
        let held = self.held(|index, number| index == read.storage_index() && read.wants(number));
        for share in held.iter().take(read.limit().into()) {
            let key = (read.storage_index(), share.share_number);
            let bytes = self.state.shares.borrow()[&key].clone();
            let bytes = self.disguise(&bytes);
            for range in read.ranges() {
                let end = usize::try_from(range.end()).unwrap().min(bytes.len());
                let start = usize::try_from(range.offset()).unwrap().min(end);
                for (index, chunk) in bytes[start..end].chunks(65_536).enumerate() {
                    let offset = u64::try_from(start + index * 65_536).unwrap();
                    let chunk = Bytes::copy_from_slice(chunk);
                    self.state.moved(chunk.len());
                    self.connection
                        .share(request, share.share_number, offset, chunk);
                }
            }
        }
        self.connection.held(request, None, held);
    }

    /// The share as this server shows it.
    fn disguise(&self, share: &Bytes) -> Bytes {
        let mut bytes = share.to_vec();
        match self.state.manner.get() {
            Manner::Flipping(bit) => {
                let bit = bit % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            Manner::Cutting => drop(bytes.pop()),
            Manner::Swapping => {
                let shares = self.state.shares.borrow();
                let other = shares.values().find(|other| *other != share);
                bytes = other.expect("two files were uploaded").to_vec();
            }
            _ => {}
        }
        bytes.into()
    }
}

fn spki_hash(certificate: &rustls::pki_types::CertificateDer<'_>) -> [u8; 32] {
    let certificate = webpki::EndEntityCert::try_from(certificate).unwrap();
    Sha256::digest(certificate.subject_public_key_info()).into()
}

/// Servers of one manner.
pub(crate) async fn servers(count: usize, manner: Manner) -> Vec<FakeServer> {
    let mut servers = Vec::new();
    for _ in 0..count {
        servers.push(FakeServer::start(manner).await);
    }
    servers
}

/// A client of these servers.
pub(crate) fn grid(servers: &[FakeServer]) -> Grid {
    let nurls: Vec<_> = servers.iter().map(|server| server.nurl.clone()).collect();
    grid_of(&nurls, servers)
}

/// A client that knows these NURLs, and reaches these servers.
pub(crate) fn grid_of(nurls: &[Nurl], servers: &[FakeServer]) -> Grid {
    Grid::over(Wires::to(servers), nurls, &[7; 32], Patience::default())
}

/// A port that no other server of the test has.
pub(crate) fn new_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn uploader(grid: &Grid, encoding: Encoding, ledger: Option<Ledger>) -> Uploader {
    observed_uploader(grid, encoding, ledger, Arc::new(Unobserved))
}

pub(crate) fn observed_uploader(
    grid: &Grid,
    encoding: Encoding,
    ledger: Option<Ledger>,
    observer: Arc<dyn Observer>,
) -> Uploader {
    let options = Options {
        encoding,
        random_key: false,
    };
    let convergence = ConvergenceSecret::new(CONVERGENCE);
    Uploader::new(grid.clone(), convergence, options, ledger, observer)
}

/// What makes equal files have equal keys.
pub(crate) const CONVERGENCE: [u8; 32] = [9; 32];

/// Bytes that do not repeat soon.
pub(crate) fn plaintext(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&len.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// Runs a test on one thread, as the client runs.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    let result = local.block_on(&runtime, async {
        // Of the paused clock.
        tokio::time::timeout(Duration::from_secs(600), test)
            .await
            .expect("nothing hangs")
    });
    runtime.shutdown_background();
    result
}

/// Runs a test for each of many cases, side by side: they mostly wait.
pub(crate) fn run_each<C: 'static, F: Future<Output = ()> + 'static>(
    cases: impl IntoIterator<Item = C>,
    test: impl Fn(C) -> F,
) {
    run(async {
        let mut tests = tokio::task::JoinSet::new();
        let permits = Rc::new(tokio::sync::Semaphore::new(8));
        for case in cases {
            let (test, permits) = (test(case), permits.clone());
            tests.spawn_local(async move {
                let _permit = permits.acquire().await;
                test.await;
            });
        }
        while let Some(result) = tests.join_next().await {
            if let Err(error) = result {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    });
}
