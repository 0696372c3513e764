//! The smallest typed Rust component: adds two numbers, with the whole standard library around it.
//!
//! It is linked like every task (`.cargo/config.toml`), and its overflow check can panic, so that
//! panic messages and with them the WASI imports of std are part of it, as in any real task.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, where the documentation is")]
    wit_bindgen::generate!({ world: "guest" });
}

struct Guest;

impl bindings::exports::api::Guest for Guest {
    fn add(a: u32, b: u32) -> u32 {
        assert!(b <= u32::MAX - a, "{a} + {b} is more than {}", u32::MAX);
        a + b
    }

    fn heap(kib: u32) -> u32 {
        let bytes = vec![1_u8; kib as usize * 1024];
        std::hint::black_box(&bytes).iter().step_by(4096).map(|byte| u32::from(*byte)).sum()
    }
}

bindings::export!(Guest with_types_in bindings);
