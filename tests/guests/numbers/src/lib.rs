//! Test guest: functions of numbers without any interface, as a compiler leaves them in a core module.
//!
//! Built for WASI preview 1, whose clock one of them reads.
#![allow(unsafe_code, reason = "an export by its own name is what this guest is for")]

/// The greatest common divisor.
#[unsafe(no_mangle)]
pub extern "C" fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Seconds since 1970.
#[unsafe(no_mangle)]
pub extern "C" fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}
