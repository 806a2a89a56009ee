//! What the walks over a store have left, for who looks at it while no daemon runs.

use std::path::Path;

use protocol::control::{Expiry, Leases, Pass, Scrub};

use super::notebook::Notebook;
use super::workshop::Page;
use super::{count, expire, scrub};
use crate::config::Config;

/// What is remembered of a store.
pub(crate) struct Remembered {
    pub(crate) scrub: Scrub,
    pub(crate) expiry: Expiry,
    pub(crate) leases: Option<Leases>,
}

/// Reads it; what the configuration says is known only where there is one.
pub(crate) fn remembered(store: &Path, config: Option<&Config>) -> Remembered {
    let notebook = Notebook::open(store).ok();
    let mut scrub_page: scrub::Page = read(notebook.as_ref());
    let mut expire_page: expire::Page = read(notebook.as_ref());
    let mut count_page: count::Page = read(notebook.as_ref());
    let mut scrub = scrub_page.status();
    let mut expiry = expire_page.status();
    if let Some(config) = config {
        scrub.every = config.scrub.every.map(|every| every.as_secs());
        describe(&mut expiry, &config.expire);
    }
    let lasts = [
        scrub_page.notes().last,
        expire_page.notes().last,
        count_page.notes().last,
    ];
    Remembered {
        scrub,
        expiry,
        leases: latest_leases(lasts),
    }
}

/// Says of expiry what its configuration says.
pub(super) fn describe(expiry: &mut Expiry, configured: &crate::config::Expire) {
    expiry.enabled = configured.enabled;
    expiry.dry_run = configured.dry_run;
    expiry.rule = configured.enabled.then(|| configured.to_string());
    expiry.every = configured.enabled.then_some(configured.every.as_secs());
}

/// What the last whole pass of any walk saw of leases.
pub(super) fn latest_leases(lasts: [Option<Pass>; 3]) -> Option<Leases> {
    let leases = lasts.into_iter().flatten().map(|pass| pass.leases);
    leases.max_by_key(|leases| leases.seen)
}

/// A page, or an empty one.
pub(super) fn read<P: Page>(notebook: Option<&Notebook>) -> P {
    notebook
        .and_then(|notebook| notebook.read(P::NAME))
        .unwrap_or_default()
}
