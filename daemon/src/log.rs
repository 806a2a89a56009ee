//! The log: standard error, quiet by default, without secrets.
//!
//! Nothing that is logged anywhere in the daemon holds a swissnum, a secret or share bytes; the
//! types that hold them print as `(..)`.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, registry, reload};

use crate::config::{Log, LogFormat, LogLevel};

/// Sets how important a line must be to be logged.
#[derive(Debug)]
pub struct Level(reload::Handle<Targets, Registry>);

impl Level {
    /// Sets it anew.
    pub(crate) fn set(&self, level: LogLevel) {
        // Fails only when the log itself is gone.
        let _ = self.0.reload(targets(level));
    }
}

/// Starts logging. A process logs once; a second start is ignored, for tests and tools.
pub fn start(log: Log) -> Level {
    let (targets, level) = reload::Layer::new(targets(log.level));
    let plain = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false);
    let layer = match log.format {
        LogFormat::Text => plain.boxed(),
        LogFormat::Json => plain.json().flatten_event(true).boxed(),
    };
    let _ = registry().with(layer.with_filter(targets)).try_init();
    Level(level)
}

/// Only what we say ourselves; libraries speak of bytes and states.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target("daemon", level)
        .with_target("bucketfs", level)
        .with_target("tahoed", level)
}
