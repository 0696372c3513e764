//! The memory of this process, as the kernel counts it.
//!
//! One line of a file of `/proc`, which is read in microseconds. Nothing is known here of what the memory
//! is for.

/// The line that has it, in KiB.
const LINE: &str = "VmRSS:";

/// Bytes of this process in memory; `None` where the kernel does not tell.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(LINE))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_some_memory() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20), "{:?}", resident_bytes());
    }
}
