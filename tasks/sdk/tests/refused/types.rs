//! Types that no caller could pass.
use std::collections::HashMap;

#[unblock::task]
fn sizes(a: usize, b: u128, c: [u8; 4], d: HashMap<String, u8>) -> Vec<i128> {
    Vec::new()
}

#[unblock::task]
fn borrowed(a: &mut String, b: Vec<&str>, c: Box<[u8]>) -> Result<u8, Box<dyn std::error::Error>> {
    Ok(0)
}

#[unblock::task]
fn foreign(a: std::time::Duration, b: std::path::PathBuf, c: impl ToString, d: fn()) -> std::io::Result<()> {
    Ok(())
}

fn main() {}
