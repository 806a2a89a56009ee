//! What a store of many buckets costs: making, looking up, listing, starting, room on the disk.

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bucketfs::disk::EngineChoice;
use bucketfs::{Config, Extent, Layout, Read, StoreHandle, StoreId, Wanted};
use bytes::Bytes;
use clap::Parser;
use lafs::StorageIndex;

use benches::disk_limits::ratio;
use benches::fit::quantile;
use benches::image::{Image, Used};
use benches::process;
use benches::results;
use benches::store_load::{self, Load, names};

/// Measure a store as it fills with buckets of one small share
///
/// Each layout gets a file system of its own, in an image that is mounted by way of a loop device: this needs
/// root, and about 16 KiB of disk space for each bucket. It fills to each of the sizes in turn. Cold is just
/// after mounting.
#[derive(Parser)]
struct Arguments {
    /// Directory for the images
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// What the images are: `mkfs.KIND` makes them
    #[arg(long, value_name = "KIND", default_value = "ext4")]
    file_system: String,
    /// Buckets, one or several numbers in ascending order
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000")]
    buckets: Vec<usize>,
    /// Layouts, one or several of two-level, one-level, flat
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "two-level,one-level,flat"
    )]
    layouts: Vec<String>,
    /// Bytes of a share
    #[arg(long, default_value_t = 500)]
    size: usize,
    /// Lookups of each kind
    #[arg(long, default_value_t = 1000)]
    lookups: usize,
    /// Replace the section of docs/results.md
    #[arg(long)]
    write: bool,
}

/// What was measured at one size.
struct Row {
    layout: Layout,
    buckets: usize,
    /// Of the last that were made.
    load: Load,
    start: Duration,
    start_warm: Duration,
    cold_absent: Lookups,
    cold_present: Lookups,
    warm_absent: Lookups,
    warm_present: Lookups,
    list: Lookups,
    resident: u64,
    used: Used,
}

/// Times of some lookups, and how often the disk was read.
struct Lookups {
    seconds: Vec<f64>,
    reads: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measure(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    results::expect_writable(arguments.write)?;
    if !arguments.buckets.is_sorted() || arguments.buckets.first().is_none_or(|first| *first == 0) {
        return Err("--buckets takes numbers above 0, the smallest first".into());
    }
    let mut rows = Vec::new();
    for name in &arguments.layouts {
        let layout = Layout::ALL.into_iter().find(|layout| layout.name() == name);
        let layout = layout.ok_or_else(|| format!("{name} is no layout"))?;
        rows.extend(fill(arguments, layout)?);
    }
    let table = table(&rows, arguments);
    println!("{table}");
    if arguments.write {
        results::write_section(&format!("scale {}", arguments.file_system), &table)?;
    }
    Ok(())
}

/// Fills a store of one layout, and measures at each size.
fn fill(arguments: &Arguments, layout: Layout) -> Result<Vec<Row>, Box<dyn Error>> {
    let directory = tempfile::Builder::new()
        .prefix("scale-")
        .tempdir_in(&arguments.dir)?;
    let most = lafs::num::size(*arguments.buckets.last().expect("there are some"));
    let image = Image::make(
        directory.path(),
        &arguments.file_system,
        most * BYTES_A_BUCKET + ROOM_BESIDE,
        most * FILES_A_BUCKET + FILES_BESIDE,
    )?;
    let store = image.path().join("store");
    std::fs::create_dir(&store)?;
    let mut config = Config::new([5; 32]);
    config.layout = layout;
    bucketfs::create(&store, &config, StoreId::new([5; 16]))?;
    let empty = image.used()?;
    let bytes = Bytes::from(vec![0x5a; arguments.size]);

    let mut rows = Vec::new();
    let mut have = 0;
    for &buckets in &arguments.buckets {
        let timed = buckets.min(TIMED).min(buckets - have);
        let load = store_load::in_store(&store, ENGINE, &config, async |handle| {
            let shares = |numbers| {
                let bytes = bytes.clone();
                names(numbers).map(move |name| (name, bytes.clone()))
            };
            if have < buckets - timed {
                store_load::put_all(handle, shares(have..buckets - timed), ASKERS).await;
            }
            store_load::put_all(handle, shares(buckets - timed..buckets), ASKERS).await
        })?;
        have = buckets;
        eprintln!("{layout}, {buckets} buckets: {:.0} a second", load.rate);
        rows.push(look(
            arguments,
            &image,
            &config,
            (layout, buckets),
            load,
            empty,
        )?);
    }
    Ok(rows)
}

fn look(
    arguments: &Arguments,
    image: &Image,
    config: &Config,
    (layout, buckets): (Layout, usize),
    load: Load,
    empty: Used,
) -> Result<Row, Box<dyn Error>> {
    let store = image.path().join("store");
    let used = image.used()?;
    let absent = || names(ABSENT..ABSENT + arguments.lookups);
    let step = (buckets / arguments.lookups).max(1);
    let present = || names(0..buckets).step_by(step).take(arguments.lookups);

    // Absent ones first: whatever is read for one lookup is there for the next.
    image.cool()?;
    let began = Instant::now();
    let (start, cold_absent) = store_load::in_store(&store, ENGINE, config, async |handle| {
        let start = began.elapsed();
        (start, lookups(image, handle, absent(), true).await)
    })?;
    image.cool()?;
    let cold_present = store_load::in_store(&store, ENGINE, config, async |handle| {
        lookups(image, handle, present(), true).await
    })?;
    let began = Instant::now();
    let row = store_load::in_store(&store, ENGINE, config, async |handle| {
        let start_warm = began.elapsed();
        // The second time, all that they need is there.
        lookups(image, handle, present(), true).await;
        let warm_present = lookups(image, handle, present(), true).await;
        lookups(image, handle, absent(), true).await;
        let warm_absent = lookups(image, handle, absent(), true).await;
        let list = lookups(image, handle, present(), false).await;
        let resident = process::memory(std::process::id()).map_or(0, |memory| memory.resident);
        Row {
            layout,
            buckets,
            load,
            start,
            start_warm,
            cold_absent,
            cold_present,
            warm_absent,
            warm_present,
            list,
            resident,
            used: Used {
                bytes: used.bytes.saturating_sub(empty.bytes),
                files: used.files.saturating_sub(empty.files),
            },
        }
    })?;
    Ok(row)
}

/// Looks buckets up one after the other; with `bytes`, reads the share.
async fn lookups(
    image: &Image,
    store: &StoreHandle,
    names: impl Iterator<Item = StorageIndex>,
    bytes: bool,
) -> Lookups {
    let before = image.reads().unwrap_or(0);
    let mut seconds = Vec::new();
    for storage_index in names {
        let whole = Extent {
            offset: 0,
            size: u64::MAX,
        };
        let read = Read {
            storage_index,
            wanted: Wanted::Any(usize::from(bytes)),
            extents: if bytes { vec![whole] } else { Vec::new() },
        };
        let began = Instant::now();
        let found = store.read(read).await.expect("the store can be read");
        seconds.push(began.elapsed().as_secs_f64());
        assert!(found.unreadable.is_empty(), "{storage_index}");
    }
    let reads = image.reads().unwrap_or(0) - before;
    Lookups {
        reads: ratio(reads, seconds.len()),
        seconds,
    }
}

fn table(rows: &[Row], arguments: &Arguments) -> String {
    let mut table = format!(
        "Buckets of one share of {} bytes, on {}. Times are p50 / p99 in microseconds.\n\n\
         | layout | buckets | made a second | ack, ms | absent, cold | reads | present, cold | reads | \
         absent, warm | present, warm | list, warm | start cold / warm, ms | resident, MiB | \
         bytes a bucket | files a bucket |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        arguments.size, arguments.file_system,
    );
    for row in rows {
        let times = |lookups: &Lookups| {
            let [p50, p99] = [0.5, 0.99].map(|share| quantile(&lookups.seconds, share) * 1e6);
            format!("{p50:.0} / {p99:.0}")
        };
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        writeln!(
            table,
            "| {} | {} | {:.0} | {:.1} / {:.1} | {} | {:.1} | {} | {:.1} | {} | {} | {} | {:.0} / {:.0} | {:.1} | {:.0} | {:.2} |",
            row.layout,
            row.buckets,
            row.load.rate,
            ms(row.load.ack_p50),
            ms(row.load.ack_p99),
            times(&row.cold_absent),
            row.cold_absent.reads,
            times(&row.cold_present),
            row.cold_present.reads,
            times(&row.warm_absent),
            times(&row.warm_present),
            times(&row.list),
            ms(row.start),
            ms(row.start_warm),
            ratio(row.resident, 1 << 20),
            ratio(row.used.bytes / 16, row.buckets) * 16.0,
            ratio(row.used.files, row.buckets),
        )
        .expect("a string takes everything");
    }
    write!(
        table,
        "\nMade {ASKERS} at a time, the last {TIMED} of them timed. {} lookups of each kind, one after the other; \
         reads: of the device, for each. Resident: this program, the store's journal and table of requests in it.\n",
        arguments.lookups,
    )
    .expect("a string takes everything");
    table
}

/// What a daemon takes where the kernel has it.
const ENGINE: EngineChoice = EngineChoice::Auto;

/// Shares made at a time.
const ASKERS: usize = 256;

/// How many of the last shares are timed.
const TIMED: usize = 10_000;

/// Numbers from here on are of no bucket.
const ABSENT: usize = 1 << 30;

/// A block each of a file and three directories, and some of an inode's table.
const BYTES_A_BUCKET: u64 = 4 * 4096 + 4 * 256;

/// The journal, and what the file system takes for itself.
const ROOM_BESIDE: u64 = 1 << 30;

/// A file and three directories.
const FILES_A_BUCKET: u64 = 4;

/// Prefixes and the store's own.
const FILES_BESIDE: u64 = 1 << 16;
