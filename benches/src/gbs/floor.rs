//! What the answers of GBS cost at least: TLS, and the bare system calls that the work takes.
//!
//! A server for the requests of [`super::Clients`] and for nobody else. It looks at the path of a
//! request and at nothing else of it, asks the kernel for just what the answer takes, and sends bytes
//! that were put together beforehand. What is made durable is appended by one direct write for all
//! requests that are there, and then made in the tree.
//!
//! It runs as a process of its own, so that its processor time can be told from the client's.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;

use daemon::Identity;
use lafs::nurl::Nurl;
use rustix::fs::{Mode, OFlags, RawDir, ResolveFlags, fstat, mkdirat, open, openat, openat2};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwrite, pwritev2, write};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio_rustls::TlsAcceptor;

use crate::process;

/// The server's process. Dropping it ends it.
pub struct Floor {
    process: Child,
    nurl: Nurl,
}

impl Floor {
    /// Starts one in an empty directory: `command` is a program that calls [`serve`].
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().expect("it was asked for");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let nurl = line.trim().parse().map_err(io::Error::other)?;
        Ok(Self { process, nurl })
    }

    /// What lets a client in.
    #[must_use]
    pub fn nurl(&self) -> &Nurl {
        &self.nurl
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        if let Err(error) = process::stop(&mut self.process) {
            eprintln!("floor: {error}");
        }
    }
}

/// Serves until the process is ended; prints its NURL first.
///
/// # Errors
///
/// When the directory or the socket is refused.
pub fn serve(directory: &Path) -> io::Result<()> {
    crate::session::run(async {
        let pem = Identity::generate().map_err(io::Error::other)?;
        let identity = Identity::from_pem(pem.as_bytes()).map_err(io::Error::other)?;
        let acceptor = TlsAcceptor::from(Arc::new(tls(pem.as_bytes())?));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (key, address) = (identity.key_hash(), listener.local_addr()?);
        println!("pb://{key}@{address}/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa#v=1");
        io::stdout().flush()?;
        let store = Rc::new(Store::make(directory)?);
        tokio::task::spawn_local(Store::append_all(store.clone()));
        loop {
            let (socket, _) = listener.accept().await?;
            let (acceptor, store) = (acceptor.clone(), store.clone());
            tokio::task::spawn_local(async move {
                if let Err(error) = converse(acceptor, socket, &store).await {
                    eprintln!("floor: {error}");
                }
            });
        }
    })
}

fn tls(pem: &[u8]) -> io::Result<ServerConfig> {
    let certificate = CertificateDer::from_pem_slice(pem).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(vec![certificate], key)
        })
        .map_err(io::Error::other)?;
    config.send_tls13_tickets = 0;
    Ok(config)
}

async fn converse(acceptor: TlsAcceptor, socket: TcpStream, store: &Store) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut stream = acceptor.accept(socket).await?;
    // A request is one record of TLS, as its client sends it.
    let mut request = vec![0; 1 << 14];
    let mut answer = Vec::new();
    loop {
        let len = match stream.read(&mut request).await {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            // Hung up without TLS's close.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        answer.clear();
        store.answer(&request[..len], &mut answer).await?;
        stream.write_all(&answer).await?;
        stream.flush().await?;
    }
}

/// Files as the store has them, and a journal.
struct Store {
    directory: OwnedFd,
    journal: File,
    /// Where the next append goes.
    end: Cell<u64>,
    /// What is appended; the aligned part of it.
    batch: Vec<u8>,
    waiting: RefCell<Vec<(usize, oneshot::Sender<()>)>>,
    more: Notify,
    heads: Heads,
}

/// The heads of answers, which always are the same.
struct Heads {
    version: Vec<u8>,
    list: Vec<u8>,
    allocated: Vec<u8>,
    written: Vec<u8>,
    changed: Vec<u8>,
}

impl Store {
    fn make(directory: &Path) -> io::Result<Self> {
        let path = directory.join("journal");
        std::fs::write(&path, vec![0; JOURNAL_LEN])?;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        // Where a file system has no direct writes, plain ones.
        let journal = open(&path, flags | OFlags::DIRECT, Mode::empty())
            .or_else(|_| open(&path, flags, Mode::empty()))?;
        let journal = File::from(journal);
        journal.sync_all()?;
        std::fs::create_dir(directory.join("shares"))?;
        Ok(Self {
            directory: open(
                directory,
                OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )?,
            journal,
            end: Cell::new(0),
            batch: vec![0xa5; BATCH_LEN_MAX + BLOCK],
            waiting: RefCell::default(),
            more: Notify::new(),
            heads: Heads {
                version: whole("200 OK", CBOR, &[0xa1; VERSION_LEN]),
                list: whole("200 OK", CBOR, &[0xd9, 1, 2, 0x81, 0]),
                allocated: whole("200 OK", CBOR, &[0xa2; ALLOCATED_LEN]),
                written: whole("201 Created", CBOR, &[0xa1; WRITTEN_LEN]),
                changed: whole("200 OK", CBOR, &[0xa2; CHANGED_LEN]),
            },
        })
    }

    async fn answer(&self, request: &[u8], answer: &mut Vec<u8>) -> io::Result<()> {
        let path = request.split(|byte| *byte == b' ').nth(1).unwrap_or(&[]);
        let path = std::str::from_utf8(path).map_err(io::Error::other)?;
        let path = path.strip_prefix("/storage/v1/").unwrap_or(path);
        let mut names = path.split('/').skip(1);
        let Some(name) = names.next() else {
            answer.extend_from_slice(&self.heads.version);
            return Ok(());
        };
        let bucket = format!("shares/{}/{}/{name}", &name[..2], &name[2..4]);
        match (request[1], names.next()) {
            // GET
            (b'E', Some("shares")) => {
                self.list(&bucket)?;
                answer.extend_from_slice(&self.heads.list);
            }
            (b'E', _) => {
                let share = self.read(&bucket, 12)?;
                let range = format!("content-range: bytes 0-{}/*\r\n", share.len() - 1);
                head(answer, "206 Partial Content", BYTES, &range, share.len());
                answer.extend_from_slice(&share);
            }
            // PATCH
            (b'A', _) => {
                let share = body(request);
                self.durable(share.len() + 108).await?;
                self.create(&bucket, share)?;
                answer.extend_from_slice(&self.heads.written);
            }
            // POST
            (_, Some(_)) => {
                self.change(&bucket, body(request)).await?;
                answer.extend_from_slice(&self.heads.changed);
            }
            (_, None) => {
                match self.open(&bucket, OFlags::DIRECTORY) {
                    Err(Errno::NOENT) => {}
                    found => drop(found?),
                }
                answer.extend_from_slice(&self.heads.allocated);
            }
        }
        Ok(())
    }

    fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = flags | OFlags::CLOEXEC;
        openat2(&self.directory, path, flags, Mode::empty(), resolve)
    }

    fn read(&self, bucket: &str, offset: u64) -> io::Result<Vec<u8>> {
        let file = self.open(&format!("{bucket}/0"), OFlags::RDONLY)?;
        let size = fstat(&file)?.st_size;
        let mut share = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        let room = &mut [IoSliceMut::new(&mut share)];
        let read = preadv2(&file, room, offset, ReadWriteFlags::NOWAIT)?;
        share.truncate(read);
        Ok(share)
    }

    fn list(&self, bucket: &str) -> io::Result<()> {
        let directory = self.open(bucket, OFlags::DIRECTORY)?;
        let mut buffer = [MaybeUninit::uninit(); 2048];
        let mut names = RawDir::new(&directory, &mut buffer);
        while let Some(name) = names.next() {
            name?;
        }
        // What kind of a share it is shows in its file.
        let file = openat(
            &directory,
            "0",
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        fstat(&file)?;
        let mut front = [0; 32];
        preadv2(
            &file,
            &mut [IoSliceMut::new(&mut front)],
            0,
            ReadWriteFlags::NOWAIT,
        )?;
        Ok(())
    }

    fn create(&self, bucket: &str, share: &[u8]) -> io::Result<()> {
        let at = |end| &bucket[..end];
        for end in [9, 12, bucket.len()] {
            match mkdirat(&self.directory, at(end), Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        let path = format!("{bucket}/0");
        let file = openat(&self.directory, path, flags, Mode::RUSR | Mode::WUSR)?;
        let container = [&[0; 12], share, &[0; 72]].concat();
        write(&file, &container)?;
        Ok(())
    }

    async fn change(&self, slot: &str, message: &[u8]) -> io::Result<()> {
        match self.list(slot) {
            Ok(()) => {
                self.read(slot, 0)?;
                self.durable(message.len() + 32).await?;
                let file = self.open(&format!("{slot}/0"), OFlags::WRONLY)?;
                pwrite(file.as_fd(), message, 0)?;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(slot, message),
            Err(error) => Err(error),
        }
    }

    /// Waits until a record of this length is durable.
    async fn durable(&self, len: usize) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push((len, sender));
        self.more.notify_one();
        receiver.await.map_err(io::Error::other)
    }

    /// Appends for all that wait, over and over.
    async fn append_all(store: Rc<Self>) -> io::Result<()> {
        loop {
            store.more.notified().await;
            let waiting = store.waiting.take();
            let len: usize = waiting.iter().map(|(len, _)| len).sum();
            let len = len.next_multiple_of(BLOCK).min(BATCH_LEN_MAX);
            let start = store.batch.as_ptr().align_offset(BLOCK);
            let slice = [IoSlice::new(&store.batch[start..start + len])];
            let end = store.end.get();
            pwritev2(&store.journal, &slice, end, ReadWriteFlags::DSYNC)?;
            let next = end + lafs::num::size(len);
            let is_full = next + lafs::num::size(BATCH_LEN_MAX) > lafs::num::size(JOURNAL_LEN);
            store.end.set(if is_full { 0 } else { next });
            for (_, sender) in waiting {
                // Whoever waited may be gone.
                let _ = sender.send(());
            }
        }
    }
}

fn body(request: &[u8]) -> &[u8] {
    let end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    end.map_or(&[], |end| &request[end + 4..])
}

fn whole(status: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    head(&mut answer, status, kind, "", body.len());
    answer.extend_from_slice(body);
    answer
}

fn head(answer: &mut Vec<u8>, status: &str, kind: &str, more: &str, len: usize) {
    let mut text = String::new();
    write!(
        text,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{more}content-length: {len}\r\n\
         date: Sat, 28 Nov 2026 00:00:00 GMT\r\n\r\n"
    )
    .expect("a string takes everything");
    answer.extend_from_slice(text.as_bytes());
}

const CBOR: &str = "application/cbor";
const BYTES: &str = "application/octet-stream";

/// Lengths of messages as tahoed sends them.
const VERSION_LEN: usize = 290;
const ALLOCATED_LEN: usize = 40;
const WRITTEN_LEN: usize = 11;
const CHANGED_LEN: usize = 64;

/// What direct writes are aligned to.
const BLOCK: usize = 4096;

const BATCH_LEN_MAX: usize = 1 << 18;

const JOURNAL_LEN: usize = 16 << 20;
