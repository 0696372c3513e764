//! Carries the documentation along, and sizes the memory.

fn main() -> anyhow::Result<()> {
    // Room for the file and the pixels of a picture of a few megapixels.
    task_build_support::initial_memory(16 << 20);
    task_build_support::embed_docs(&["../../wit", "wit"], "thumbnail")
}
