//! The allocator: one arena, because one thread does most of the work, and pages that go back soon.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What jemalloc reads before `main`. Buffers of an upload are allocated and freed a thousand times a
/// second, so pages are kept for a moment and no longer.
#[expect(
    unsafe_code,
    reason = "jemalloc takes its settings from a symbol of this name, a pointer to a C string"
)]
// SAFETY: nothing else has this name, and it points to a string that ends with a zero.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub(crate) static CONFIGURATION: &[u8; 62] =
    b"narenas:1,dirty_decay_ms:100,muzzy_decay_ms:0,tcache_max:4096\0";
