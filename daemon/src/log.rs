//! The log: standard error, quiet by default, without secrets.
//!
//! Nothing that is logged anywhere in the daemon holds a swissnum, a secret or share bytes; the
//! types that hold them print as `(..)`.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{Log, LogFormat, LogLevel};

/// Starts logging. A process logs once; a second start is ignored, for tests and tools.
pub fn start(log: Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Only what we say ourselves; libraries speak of bytes and states.
    let ours = Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target("daemon", level)
        .with_target("bucketfs", level)
        .with_target("tahoed", level);
    let plain = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false);
    let layer = match log.format {
        LogFormat::Text => plain.boxed(),
        LogFormat::Json => plain.json().flatten_event(true).boxed(),
    };
    let _ = registry().with(layer.with_filter(ours)).try_init();
}
