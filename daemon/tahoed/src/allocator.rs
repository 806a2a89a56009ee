//! The allocator: one arena, since there is one busy thread, and pages that go back at once.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc's settings, which it reads through this symbol before anything runs.
///
/// One arena and no thread of jemalloc's own. Pages go back at once, but for the few buffers that a
/// busy connection needs again and again: without them (up to 4 of 128 KiB, `lg_tcache_max`), every
/// chunk is taken from the kernel anew, which doubles the processor time of an upload.
#[expect(unsafe_code, reason = "the symbol is how jemalloc is configured")]
// SAFETY: jemalloc declares it as `const char *`, and reads up to the zero byte.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub(crate) static MALLOC_CONF: &[u8; 120] =
    b"narenas:1,dirty_decay_ms:0,muzzy_decay_ms:0,thp:never,\
lg_tcache_max:17,tcache_nslots_large:4,tcache_nslots_small_max:20\0";
