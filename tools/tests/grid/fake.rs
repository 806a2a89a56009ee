//! A grid inside the test: servers over loopback, honest or not, each behind the real protocol.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use lafs::nurl::{KeyHash, Nurl};
use lafs::{ConvergenceSecret, ShareNumber, StorageIndex, Swissnum};
use protocol::server::{Connection, Event, Outcome};
use protocol::{Farewell, HeldShare, ReadRequest, Reason, Refusal, RequestNumber, Welcome};
use rustls::pki_types::PrivateKeyDer;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tools::grid::{Grid, Patience};
use tools::home::Encoding;
use tools::ledger::Ledger;
use tools::upload::{Observer, Options, Unobserved, Uploader};

type Shares = BTreeMap<(StorageIndex, ShareNumber), Bytes>;

/// A server of the test's own.
pub(crate) struct FakeServer {
    pub(crate) nurl: Nurl,
    state: Rc<State>,
}

struct State {
    manner: Cell<Manner>,
    shares: RefCell<Shares>,
    /// Uploads that were begun and not closed.
    incoming: RefCell<Shares>,
    share_bytes_received: Cell<usize>,
    leases: Cell<usize>,
    connections: Cell<usize>,
}

/// How a server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    /// Refuses every share, for lack of room.
    Full,
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
    /// Takes no more than so many bytes a second.
    Sluggish,
    /// Says that the swissnum is wrong.
    Rejecting,
    /// Says that it is stopping as soon as something is asked of it.
    Stopping,
}

impl FakeServer {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
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
            leases: Cell::new(0),
            connections: Cell::new(0),
        });
        let for_connections = state.clone();
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, state) = (acceptor.clone(), for_connections.clone());
                let swissnum = swissnum.clone();
                tokio::task::spawn_local(async move {
                    state.connections.set(state.connections.get() + 1);
                    if let Ok(stream) = acceptor.accept(stream).await {
                        // The end of a connection is the client's business.
                        let _ = Session::new(state, swissnum).run(stream).await;
                    }
                });
            }
        });
        Self { nurl, state }
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.state.manner.set(manner);
    }

    pub(crate) fn share_count(&self) -> usize {
        self.state.shares.borrow().len()
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
                    let len = stream.write(output.chunk()).await?;
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
                if manner == Manner::Full {
                    let refusal = Outcome::Refused(Reason::Full.into());
                    self.connection.answer(request, refusal);
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
                    *share = [&share[..], &bytes].concat().into();
                }
            }
            Event::Close { upload, size } => {
                let key = self.uploads.remove(&upload).unwrap();
                let share = self.state.incoming.borrow_mut().remove(&key).unwrap();
                assert_eq!(u64::try_from(share.len()).unwrap(), size);
                let outcome = self.store(key.0, key.1, share);
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
        match self.state.manner.get() {
            Manner::Hanging(limit) if received > limit => None,
            Manner::HangingOnce(limit) if self.is_first && received > limit => None,
            _ => Some(()),
        }
    }

    fn store(&mut self, index: StorageIndex, number: ShareNumber, share: Bytes) -> Outcome {
        if self.state.manner.get() == Manner::Full {
            return Outcome::Refused(Refusal::with_text(Reason::Full, "no room in the test"));
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
    Grid::new(&nurls, &[7; 32], PATIENCE)
}

/// Long enough for an honest server on a busy machine, and not so long that a test gets boring.
pub(crate) const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(10),
    answer: Duration::from_secs(6),
    hedge: Duration::from_millis(1500),
    grace: Duration::from_secs(2),
    hold_back: Duration::from_secs(2),
};

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
    let convergence = ConvergenceSecret::new([9; 32]);
    Uploader::new(grid.clone(), convergence, options, ledger, observer)
}

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
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    let result = local.block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(120), test)
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
