//! The care of a store: checking it beside reading it, moving it beside bare renames.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use bucketfs::disk::EngineChoice;
use bucketfs::{Config, Layout, OpenUpload, ShareKey, StoreHandle, StoreId};
use bytes::Bytes;
use clap::Parser;
use encoder::Parameters;
use encoder::native::Encoder;
use lafs::cap::native::ReadKey;
use lafs::{CancelSecret, LeaseSecrets, RenewSecret, ShareNumber, StorageIndex, UploadSecret, num};

use benches::disk_limits::{rate, ratio};
use benches::image::Image;
use benches::ours::Programs;
use benches::process::{self, Cost};
use benches::results;
use benches::store_load;

/// Measure `tahoectl fsck` beside `find | xargs cat`, and `tahoectl migrate` beside bare renames
///
/// One store of many buckets with a small share each, and one of few large shares, on a file system of their own
/// in an image that is mounted by way of a loop device: this needs root. Cold is just after mounting.
#[derive(Parser)]
struct Arguments {
    /// Directory for the image
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// What the image is: `mkfs.KIND` makes it
    #[arg(long, value_name = "KIND", default_value = "ext4")]
    file_system: String,
    /// Buckets of the store of small shares
    #[arg(long, default_value_t = 100_000)]
    buckets: usize,
    /// Large shares, of 16 MB each
    #[arg(long, default_value_t = 32)]
    large: usize,
    /// Replace the section of docs/results.md
    #[arg(long)]
    write: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measure(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("care: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    results::expect_writable(arguments.write)?;
    let programs = Programs::build()?;
    let directory = tempfile::Builder::new()
        .prefix("care-")
        .tempdir_in(&arguments.dir)?;
    let (small, large) = (num::size(arguments.buckets), num::size(arguments.large));
    let image = Image::make(
        directory.path(),
        &arguments.file_system,
        small * 20_000 + large * 2 * LARGE_SIZE + (2 << 30),
        small * 4 + (1 << 16),
    )?;
    let [many, few] = ["many", "few"].map(|name| image.path().join(name));
    let config = Config::new([5; 32]);
    make(&many, &config)?;
    store_load::in_store(&many, ENGINE, &config, async |store| {
        let shares = (0..small).map(small_share);
        store_load::put_all(store, shares, ASKERS).await;
    })?;
    make(&few, &config)?;
    store_load::in_store(&few, ENGINE, &config, async |store| {
        for number in 0..large {
            put_large(store, number).await;
        }
    })?;

    let mut table = checks(&image, &programs, (&many, arguments.buckets), &few)?;
    table += "\n";
    table += &moves(&image, &programs, &many, arguments.buckets)?;
    println!("{table}");
    if arguments.write {
        results::write_section(&format!("care {}", arguments.file_system), &table)?;
    }
    Ok(())
}

/// Each way to read everything, in turn, cold and then warm.
fn checks(
    image: &Image,
    programs: &Programs,
    (many, buckets): (&Path, usize),
    few: &Path,
) -> Result<String, Box<dyn Error>> {
    let mut table = format!(
        "| {buckets} buckets of one small share | buckets a second, cold | warm | CPU us a bucket, warm | peak MiB |\n\
         |---|--:|--:|--:|--:|\n"
    );
    for way in [Way::Read, Way::Shallow, Way::Deep] {
        let (cold, warm) = way.measure(image, programs, many)?;
        let cpu = warm.cpu.as_secs_f64() * 1e6 * ratio(1, buckets);
        writeln!(
            table,
            "| {} | {:.0} | {:.0} | {cpu:.1} | {:.1} |",
            way.name(),
            rate(buckets, cold.time),
            rate(buckets, warm.time),
            ratio(warm.peak.max(cold.peak), 1 << 20),
        )?;
    }
    let bytes: u64 = sizes(&few.join("shares"))?;
    let shares = fs::read_dir(few.join("shares"))?.count();
    writeln!(
        table,
        "\n| {:.0} MB in shares of {} MB | MB/s, cold | warm | CPU s/GB, warm | peak MiB |\n|---|--:|--:|--:|--:|",
        megabytes(bytes),
        LARGE_SIZE / 1_000_000,
    )?;
    assert!(shares > 0, "the shares are there");
    for way in [Way::Read, Way::Deep] {
        let (cold, warm) = way.measure(image, programs, few)?;
        writeln!(
            table,
            "| {} | {:.0} | {:.0} | {:.2} | {:.1} |",
            way.name(),
            megabytes(bytes) / cold.time.as_secs_f64(),
            megabytes(bytes) / warm.time.as_secs_f64(),
            warm.cpu.as_secs_f64() * 1000.0 / megabytes(bytes),
            ratio(warm.peak.max(cold.peak), 1 << 20),
        )?;
    }
    Ok(table)
}

/// A way to read a whole store.
#[derive(Clone, Copy)]
enum Way {
    Read,
    Shallow,
    Deep,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "`find` and `xargs cat`",
            Self::Shallow => "`tahoectl fsck`",
            Self::Deep => "`tahoectl fsck --deep`",
        }
    }

    fn measure(self, image: &Image, programs: &Programs, store: &Path) -> io::Result<(Cost, Cost)> {
        image.cool()?;
        let cold = self.run(programs, store)?;
        Ok((cold, self.run(programs, store)?))
    }

    fn run(self, programs: &Programs, store: &Path) -> io::Result<Cost> {
        let mut command = match self {
            Self::Read => {
                let mut command = Command::new("sh");
                let script = "find \"$1\" -type f -print0 | xargs -0 cat > /dev/null";
                command.args(["-c", script, "sh"]).arg(store.join("shares"));
                command
            }
            Self::Shallow | Self::Deep => {
                let mut command = Command::new(programs.tahoectl());
                command.arg("fsck").arg(store);
                if matches!(self, Self::Deep) {
                    command.arg("--deep");
                }
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        process::run(&mut command, LONGEST, Command::spawn)
    }
}

/// Each direction by the tool and by bare renames, so that both begin with the same tree.
fn moves(
    image: &Image,
    programs: &Programs,
    store: &Path,
    buckets: usize,
) -> Result<String, Box<dyn Error>> {
    let mut table = String::from(
        "| from | to | `tahoectl migrate`, buckets a second | bare renames, synced at the end | of them |\n\
         |---|---|--:|--:|--:|\n",
    );
    for other in [Layout::OneLevel, Layout::Flat] {
        let ours_there = migrate(programs, store, other)?;
        let bare_back = rename_all(image, store, other, Layout::TwoLevel)?;
        let bare_there = rename_all(image, store, Layout::TwoLevel, other)?;
        let ours_back = migrate(programs, store, Layout::TwoLevel)?;
        for (from, to, ours, bare) in [
            (Layout::TwoLevel, other, ours_there, bare_there),
            (other, Layout::TwoLevel, ours_back, bare_back),
        ] {
            writeln!(
                table,
                "| {from} | {to} | {:.0} | {:.0} | {:.0} % |",
                rate(buckets, ours),
                rate(buckets, bare),
                100.0 * bare.as_secs_f64() / ours.as_secs_f64(),
            )?;
        }
    }
    Ok(table)
}

fn migrate(programs: &Programs, store: &Path, to: Layout) -> io::Result<Duration> {
    let mut command = Command::new(programs.tahoectl());
    command.arg("migrate").arg(store).args(["--to", to.name()]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    process::run(&mut command, LONGEST, Command::spawn).map(|cost| cost.time)
}

/// Moves every bucket with plain calls; the layout that the store believes in stays as it is.
fn rename_all(image: &Image, store: &Path, from: Layout, to: Layout) -> io::Result<Duration> {
    let began = Instant::now();
    let shares = store.join("shares");
    let mut prefixes = vec![shares.clone()];
    for _ in 0..levels(from) {
        prefixes = below(&prefixes, PREFIX_LEN)?;
    }
    for prefix in &prefixes {
        for bucket in below(std::slice::from_ref(prefix), StorageIndex::TEXT_LEN)? {
            let name = bucket.file_name().and_then(|name| name.to_str());
            let name = name.ok_or(io::ErrorKind::InvalidData)?;
            let mut target = shares.clone();
            for level in 0..levels(to) {
                target.push(&name[level * PREFIX_LEN..(level + 1) * PREFIX_LEN]);
            }
            let target = target.join(name);
            if fs::rename(&bucket, &target).is_err() {
                fs::create_dir_all(target.parent().expect("a bucket is below shares"))?;
                fs::rename(&bucket, &target)?;
            }
        }
        if *prefix != shares {
            fs::remove_dir(prefix)?;
        }
    }
    image.used()?;
    Ok(began.elapsed())
}

fn levels(layout: Layout) -> usize {
    match layout {
        Layout::Flat => 0,
        Layout::OneLevel => 1,
        Layout::TwoLevel => 2,
    }
}

/// The directories below some whose names have this length.
fn below(directories: &[PathBuf], len: usize) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for directory in directories {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_name().len() == len {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

fn sizes(directory: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        sum += match entry.file_type()?.is_dir() {
            true => sizes(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(sum)
}

fn make(store: &Path, config: &Config) -> Result<(), Box<dyn Error>> {
    fs::create_dir(store)?;
    bucketfs::create(store, config, StoreId::new([5; 16]))?;
    Ok(())
}

/// A real share, so that the deep check has all to do.
fn small_share(number: u64) -> (StorageIndex, Bytes) {
    let parameters = Parameters::default_for(3, 10).expect("3 of 10 is allowed");
    let mut encoder = Encoder::new(key(number, 1), parameters);
    let storage_index = encoder.storage_index();
    let mut share = Vec::new();
    for bytes in encoder.encode(&[0x5a; SMALL_SIZE]).share(SHARE) {
        share.extend_from_slice(bytes);
    }
    share.extend_from_slice(encoder.finish().share(SHARE));
    (storage_index, share.into())
}

async fn put_large(store: &StoreHandle, number: u64) {
    let parameters = Parameters::default_for(3, 10).expect("3 of 10 is allowed");
    let mut encoder = Encoder::new(key(number, 2), parameters);
    let open = OpenUpload {
        key: ShareKey {
            storage_index: encoder.storage_index(),
            share_number: SHARE,
        },
        secret: UploadSecret::of_bytes(b"a secret of more than a few bytes"),
        lease: LeaseSecrets {
            renew: RenewSecret::new([1; 32]),
            cancel: CancelSecret::new([2; 32]),
        },
        size: None,
        resume: false,
    };
    let (upload, opened) = store.upload(open).await;
    opened.await.expect("there is room for an upload");
    let segment_size = u64::from(parameters.segment_size());
    let plaintext = vec![0x5a; num::len(segment_size).expect("a segment is in memory")];
    let mut offset = 0;
    let mut send = async |bytes: &[u8]| {
        if bytes.is_empty() {
            return;
        }
        let written = upload.write(offset, Bytes::copy_from_slice(bytes)).await;
        written.await.expect("there is room for a share");
        offset += num::size(bytes.len());
    };
    for _ in 0..LARGE_SIZE * 3 / segment_size {
        let segment = encoder.encode(&plaintext);
        for bytes in segment.share(SHARE) {
            send(bytes).await;
        }
    }
    send(encoder.finish().share(SHARE)).await;
    upload
        .close(offset)
        .await
        .await
        .expect("the disk takes the share");
}

/// A key for one file and no other.
fn key(number: u64, kind: u8) -> ReadKey {
    let mut seed = [kind; 9];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    ReadKey::new(*blake3::hash(&seed).as_bytes())
}

fn megabytes(bytes: u64) -> f64 {
    ratio(bytes / 1000, 1000)
}

/// What a daemon takes where the kernel has it.
const ENGINE: EngineChoice = EngineChoice::Auto;

/// Shares made at a time.
const ASKERS: usize = 256;

const SHARE: ShareNumber = ShareNumber::new(0);

/// Of the files that the small shares are of.
const SMALL_SIZE: usize = 1000;

/// Of a large share, nearly.
const LARGE_SIZE: u64 = 16_000_000;

/// Characters of a level's name.
const PREFIX_LEN: usize = 2;

/// No step takes longer.
const LONGEST: Duration = Duration::from_secs(1800);
