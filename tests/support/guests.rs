//! Guests that tests write down: WIT types with core WebAssembly text behind them.
//!
//! [`typed`] leaves the component types in a core module, as `wit-bindgen` does; the gateway makes
//! the component itself. [`Gate`] is a host function that holds a guest until the test lets it go,
//! so that "a call is in flight" is a fact and not a matter of time.

use super::repository;
use std::sync::Arc;
use tokio::sync::Semaphore;
use gateway::runtime::ExtraImports;
use wit_component::StringEncoding;

/// Memory and an allocator that only goes forward, as the canonical ABI asks for. 0 to 1023 is the
/// guest's own.
pub const MEMORY: &str = r#"
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 1024))
  (func $realloc (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32)
    (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $next (i32.add (local.get $at) (local.get $new)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
      (br_if $fits (i32.ne (i32.const -1) (memory.grow (i32.add (i32.const 1) (i32.shr_u
        (i32.sub (global.get $next) (i32.mul (memory.size) (i32.const 65536))) (i32.const 16))))))
      unreachable)
    (memory.copy (local.get $at) (local.get $old) (local.get $size))
    (local.get $at))"#;

/// A core module that carries the types of the world `w`; `wit` is a whole WIT file, and may use
/// the package `unblock:task`.
pub fn typed(wit: &str, core: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    resolve.push_path(repository().join("wit")).unwrap();
    let package = resolve.push_str("test.wit", wit).unwrap_or_else(|error| panic!("{error:?}"));
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    let mut module = wat::parse_str(core).unwrap_or_else(|error| panic!("{error}"));
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// A task whose `greet` gives `Hello, <name>`.
pub fn greeter() -> Vec<u8> {
    let core = format!(
        r#"(module {MEMORY}
  (data (i32.const 16) "Hello, ")
  (func (export "greet") (param $name i32) (param $length i32) (result i32) (local $text i32)
    (local.set $text (call $realloc (i32.const 0) (i32.const 0) (i32.const 1)
      (i32.add (local.get $length) (i32.const 7))))
    (memory.copy (local.get $text) (i32.const 16) (i32.const 7))
    (memory.copy (i32.add (local.get $text) (i32.const 7)) (local.get $name) (local.get $length))
    (i32.store (i32.const 0) (local.get $text))
    (i32.store (i32.const 4) (i32.add (local.get $length) (i32.const 7)))
    (i32.const 0)))"#
    );
    typed("package t:t; world w { export greet: func(name: string) -> string; }", &core)
}

/// Holds guests that call the import `test.wait` until the test opens it.
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A closed gate, and the host function in front of it.
    pub fn new() -> (Self, ExtraImports) {
        let gate = Arc::new(Semaphore::new(0));
        let waiting = Arc::clone(&gate);
        let extra: ExtraImports = Box::new(move |linker| {
            linker.func_wrap_async("test", "wait", move |_, (): ()| {
                let gate = Arc::clone(&waiting);
                Box::new(async move {
                    gate.acquire().await.unwrap().forget();
                })
            })?;
            Ok(())
        });
        (Self(gate), extra)
    }

    /// Lets so many guests go on.
    pub fn open(&self, guests: usize) {
        self.0.add_permits(guests);
    }
}

/// A core module with `version`, which answers at once, and `slow`, which waits at the gate first.
pub fn gated(version: u32) -> String {
    format!(
        r#"(module (import "test" "wait" (func $wait))
  (func (export "version") (result i32) i32.const {version})
  (func (export "slow") (result i32) call $wait i32.const {version}))"#
    )
}
