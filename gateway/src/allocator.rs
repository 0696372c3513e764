//! The process's allocator, for the server, its tests and its benchmark alike.
//!
//! A call makes about a hundred small allocations, many of them freed on another thread than the one that
//! made them. jemalloc and mimalloc cost a call 7 to 17 % less CPU than glibc's. Of these two jemalloc
//! gives a burst's memory back: mimalloc keeps what a thread's heap once held until that thread allocates
//! again, and threads without work don't.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What jemalloc reads at its start (`TUNING` in its manual): a thread of its own hands pages back that
/// nobody used for a second. The default is ten seconds, and only while somebody allocates.
// SAFETY: jemalloc declares this symbol as `const char *`; a reference to an array is one, and the text ends with NUL.
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
static CONFIGURATION: &[u8; 60] = b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0";
