//! Carries the documentation along, and sizes the memory.

fn main() -> anyhow::Result<()> {
    // The default cost takes 19 MiB.
    task_build_support::initial_memory(24 << 20);
    task_build_support::embed_docs(&["wit"], "password")
}
