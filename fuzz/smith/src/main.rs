//! `smith FOLDER COUNT SEED`: so many valid modules and components, each of them an input of the target `module`.
//!
//! Deterministic: the seed decides all. Knows nothing of who loads them.

use arbitrary::{Arbitrary as _, Unstructured};
use std::path::Path;

/// Random bytes behind a module; most modules become a few KiB.
const BYTES: usize = 3_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, count, seed] = words.as_slice() else { return Err("usage: smith FOLDER COUNT SEED".into()) };
    std::fs::create_dir_all(folder)?;
    let mut state = seed.parse::<u64>()?.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let mut made = 0_u64;
    for index in 0..count.parse::<u64>()? {
        let bytes: Vec<u8> = (0..BYTES).map(|_| random()).collect();
        let mut bytes = Unstructured::new(&bytes);
        // One in eight is a component: most that are made at random cannot be called.
        let module = if index % 8 == 0 {
            wasm_smith::Component::arbitrary(&mut bytes)?.to_bytes()
        } else {
            let config = wasm_smith::Config {
                max_imports: 0,
                min_exports: 1,
                export_everything: true,
                max_memory32_bytes: 4 << 20,
                max_memory64_bytes: 4 << 20,
                max_table_elements: 1_000,
                ..wasm_smith::Config::default()
            };
            wasm_smith::Module::new(config, &mut bytes)?.to_bytes()
        };
        std::fs::write(Path::new(folder).join(format!("smith-{seed}-{index}.wasm")), module)?;
        made += 1;
    }
    eprintln!("smith: {made} modules in {folder}");
    Ok(())
}
