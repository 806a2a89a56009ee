//! The allocator: one arena, since there is one busy thread, and pages that go back soon.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc's settings, which it reads through this symbol before anything runs.
///
/// One arena. Pages go back a fifth of a second after their last use, by jemalloc's own thread, which
/// sleeps while there are none: an idle server has nobody else to do it. Pages that went back at once
/// were taken from the kernel anew for every buffer, a seventh of the processor time of a large
/// upload. Up to 4 buffers of 128 KiB stay with the busy thread (`lg_tcache_max`).
#[expect(unsafe_code, reason = "the symbol is how jemalloc is configured")]
// SAFETY: jemalloc declares it as `const char *`, and reads up to the zero byte.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub(crate) static MALLOC_CONF: &[u8; 170] =
    b"narenas:1,background_thread:true,max_background_threads:1,\
dirty_decay_ms:200,muzzy_decay_ms:0,thp:never,\
lg_tcache_max:17,tcache_nslots_large:4,tcache_nslots_small_max:20\0";
