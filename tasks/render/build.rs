//! Carries the documentation along.

fn main() -> anyhow::Result<()> {
    task_build_support::embed_docs(&["wit"], "render")
}
