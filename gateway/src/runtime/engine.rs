//! Every knob of the wasmtime engine, each with its reason, and the number of slots.
//!
//! One engine serves all tasks. What the engine is told here holds for the process's life; limits
//! of a single run are set on its store (the crate `unblock_host`). This file reads the machine's
//! limits but knows no task.

use anyhow::Context as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
};

/// What the engine takes from the command line.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Runs in flight at most: the number of slots the allocator reserves.
    pub runs: Runs,
    /// Bytes of wasm stack a guest may use.
    pub stack_bytes: usize,
    /// Where compiled code is kept; `None` compiles at each start.
    pub cache: Option<PathBuf>,
    /// Bytes of compiled code that are kept there.
    pub cache_bytes_max: u64,
    /// Threads that compile, beside the one that asks.
    pub compile_threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            runs: Runs::for_this_machine(0),
            stack_bytes: STACK_BYTES_DEFAULT,
            cache: None,
            cache_bytes_max: CACHE_BYTES_DEFAULT,
            compile_threads: 1,
        }
    }
}

/// Bytes of compiled code that are kept: some thousand components.
pub const CACHE_BYTES_DEFAULT: u64 = 4 << 30;

/// Wasm stack of a run, in bytes. Twice wasmtime's default: parsers and interpreters recurse.
pub const STACK_BYTES_DEFAULT: usize = 1 << 20;

/// Bytes of a fiber's stack beyond the wasm stack: host functions and wasmtime itself run there.
const STACK_HOST_BYTES: usize = 512 << 10;

/// Memory maps that a parked run of a Rust component needs: its fiber's stack, its memory and its
/// three tables, each split off its neighbours by protection. Measured: 60,300 maps for 10,000.
const MAPS_PER_RUN: usize = 6;

/// Memory maps of a loaded module: its code, and what it only reads. Measured: 20,003 for 10,000.
const MAPS_PER_MODULE: usize = 2;

/// Memory maps kept for everything that is neither run nor module: threads, the allocator, libraries.
const MAPS_OTHERS: usize = 1_000;

/// Memory maps kept free beside the runs and the modules that lie in the folder at the start: for
/// everything else, and for 1,500 modules to come.
const MAPS_RESERVED: usize = 4_000;

/// Bytes of host and guest memory that a parked run of a small Rust component costs, rounded up.
const BYTES_PER_RUN: u64 = 160 << 10;

/// No machine gets more slots than this, whatever its limits: each reserves 4 GiB of address
/// space, and a process has 128 TiB.
const RUNS_MAX: usize = 20_000;

/// Fewest slots: below it the gateway is of no use and a start should fail instead.
pub const RUNS_MIN: usize = 16;

/// Core instances in a component made by `wit-component`: the guest, the adapter and two shims.
const CORE_INSTANCES_PER_RUN: u32 = 4;

/// Tables in such a component.
const TABLES_PER_RUN: u32 = 3;

/// Core instances of one component; componentize-py's interpreters have about twenty.
const CORE_INSTANCES_MAX: u32 = 64;

/// Memories of one component; one is usual.
const MEMORIES_MAX: u32 = 8;

/// Tables of one component.
const TABLES_MAX: u32 = 64;

/// Entries of one table slot; 20,000 is wasmtime's default, interpreters and Go need more.
const TABLE_ELEMENTS: usize = 100_000;

/// Bytes of metadata of one instance slot: a component of a large interpreter needs hundreds of
/// kilobytes. It is allocated on use, so a high limit costs nothing.
const INSTANCE_BYTES: usize = 4 << 20;

/// Bytes at a memory's start that are cleared by writing instead of by giving the pages back; with
/// `pagemap_scan` only pages that were touched are cleared.
const MEMORY_KEEP_RESIDENT_BYTES: usize = 256 << 10;

/// The same for a table.
const TABLE_KEEP_RESIDENT_BYTES: usize = 64 << 10;

/// The same for a stack, at its top. A small Rust task touches 8 KiB. Without any, each call takes page faults
/// that cost it 1.5 times the CPU; this much costs it 0 to 3 %.
const STACK_KEEP_RESIDENT_BYTES: usize = 16 << 10;

/// Unused slots that keep a module's pages mapped for its next run.
const WARM_SLOTS: u32 = 1_000;

/// Guest frames in a backtrace, the innermost ones: profiles show that many, problems fewer.
pub(super) const BACKTRACE_FRAMES_MAX: usize = 100;

/// How many runs may be in flight, and what decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runs {
    /// The number.
    pub count: usize,
    /// `vm.max_map_count` when it was read.
    pub max_map_count: usize,
    /// The machine's memory in bytes when it was read, or that of the process's control group.
    pub memory_bytes: u64,
    /// Modules that are to be loaded beside them.
    pub modules: usize,
}

impl Runs {
    /// As many as `vm.max_map_count` and half of the machine's memory allow beside so many modules.
    #[must_use]
    pub fn for_this_machine(modules: usize) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let max_map_count = read("/proc/sys/vm/max_map_count").trim().parse().unwrap_or(65_530);
        let memory_bytes = read("/proc/meminfo")
            .lines()
            .find_map(|line| {
                line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
            })
            .unwrap_or(1 << 20)
            .saturating_mul(1024);
        let groups = read("/proc/self/cgroup");
        let memory_bytes = memory_bytes.min(group_memory_bytes(&groups, read).unwrap_or(u64::MAX));
        Self::from_limits(max_map_count, memory_bytes, modules)
    }

    fn from_limits(max_map_count: usize, memory_bytes: u64, modules: usize) -> Self {
        let reserved = MAPS_RESERVED.saturating_add(modules.saturating_mul(MAPS_PER_MODULE));
        let by_maps = max_map_count.saturating_sub(reserved) / MAPS_PER_RUN;
        let by_memory = usize::try_from(memory_bytes / 2 / BYTES_PER_RUN).unwrap_or(usize::MAX);
        let count = by_maps.min(by_memory).clamp(RUNS_MIN, RUNS_MAX);
        Self { count, max_map_count, memory_bytes, modules }
    }

    /// How many modules there are maps for beside these runs.
    #[must_use]
    pub fn modules_max(&self) -> usize {
        let others = MAPS_OTHERS.saturating_add(self.count.saturating_mul(MAPS_PER_RUN));
        self.max_map_count.saturating_sub(others) / MAPS_PER_MODULE
    }

    /// These limits with a number chosen by the operator.
    ///
    /// # Errors
    /// A text that names the limit in the way and the sysctl that raises it.
    pub fn with_count(self, count: usize) -> Result<Self, String> {
        let for_modules = self.modules.saturating_mul(MAPS_PER_MODULE).saturating_add(MAPS_RESERVED);
        let maps = count.saturating_mul(MAPS_PER_RUN).saturating_add(for_modules);
        if count < RUNS_MIN {
            return Err(format!("found {count}, expected at least {RUNS_MIN}"));
        }
        if count > RUNS_MAX {
            return Err(format!(
                "found {count}, expected at most {RUNS_MAX}: each run reserves 4 GiB of address space"
            ));
        }
        if maps > self.max_map_count {
            return Err(format!(
                "found {count}, which needs {maps} memory maps beside {} modules, but vm.max_map_count is {}; \
                 lower --max-runs or raise it: sysctl -w vm.max_map_count={maps}",
                self.modules, self.max_map_count
            ));
        }
        Ok(Self { count, ..self })
    }

    /// The sizing as a sentence, for the start's log line and the benchmark.
    #[must_use]
    pub fn formula(&self) -> String {
        format!(
            "{} runs at most: min((vm.max_map_count {} - {MAPS_RESERVED} - {MAPS_PER_MODULE} * {} modules) / {MAPS_PER_RUN}, memory {} MiB / 2 / {} KiB, {RUNS_MAX})",
            self.count,
            self.max_map_count,
            self.modules,
            self.memory_bytes >> 20,
            BYTES_PER_RUN >> 10,
        )
    }
}

/// The tightest memory limit of the control groups that the process is in (cgroup v2: `memory.max` of its
/// group and of all above it), in bytes.
fn group_memory_bytes(groups: &str, read: impl Fn(&str) -> String) -> Option<u64> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let limits = Path::new(own).ancestors().filter_map(|group| {
        let folder = group.to_str()?.trim_end_matches('/');
        read(&format!("/sys/fs/cgroup{folder}/memory.max")).trim().parse().ok()
    });
    limits.min()
}

/// Builds the engine.
///
/// # Errors
/// The slots cannot be reserved.
pub fn engine(settings: &Settings) -> anyhow::Result<Engine> {
    let mut config = Config::new();
    // Preemption, deadlines and cancelling all hang on it.
    config.epoch_interruption(true);
    // Traps name the guest's functions, from the name section. Files and lines would have the host parse
    // the guest's DWARF at every trap, recursively and on the guest's stack: a hostile module ends the process.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config.wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES_MAX));
    // Each run has one stack; shared memory would let guests wait on one another's threads.
    config.shared_memory(false);
    config.max_wasm_stack(settings.stack_bytes);
    config.async_stack_size(settings.stack_bytes + STACK_HOST_BYTES);
    // Otherwise a stack keeps every page that a run ever touched, and nothing of one run stays for the next.
    config.async_stack_zeroing(true);
    // A slot per run, prepared beforehand: no mmap on the way of a call.
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(settings.runs)));
    // Memories start as copy-on-write views of the module's image.
    config.memory_init_cow(true);
    // Compiling uses a rayon pool of our own, few threads at low priority (`Runtime::prepare`).
    config.parallel_compilation(settings.compile_threads > 1);
    Engine::new(&config).map_err(anyhow::Error::from).with_context(|| {
        format!(
            "the engine cannot reserve its slots ({}); lower --max-runs, or raise vm.max_map_count and ulimit -v",
            settings.runs.formula()
        )
    })
}

fn pooling(runs: Runs) -> PoolingAllocationConfig {
    let count = u32::try_from(runs.count).unwrap_or(u32::MAX);
    let mut pooling = PoolingAllocationConfig::new();
    pooling
        .total_stacks(count)
        .total_memories(count)
        .total_component_instances(count)
        .total_core_instances(count.saturating_mul(CORE_INSTANCES_PER_RUN))
        .total_tables(count.saturating_mul(TABLES_PER_RUN))
        // GC heaps live in memory slots; a run of a GC module takes one beside its memory.
        .total_gc_heaps(count.min(1_000))
        .table_elements(TABLE_ELEMENTS)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_component_instance_size(INSTANCE_BYTES)
        // So that no run takes the slots of many: what is over is refused at load.
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_tables_per_module(16)
        .max_memories_per_module(4)
        .max_unused_warm_slots(WARM_SLOTS)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES)
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES)
        .async_stack_keep_resident(STACK_KEEP_RESIDENT_BYTES)
        // Linux 6.7 and later: tells which pages a run touched, so that only those are cleared and
        // no page goes back to the kernel.
        .pagemap_scan(Enabled::Auto);
    pooling
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_the_tighter_limit() {
        assert_eq!(Runs::from_limits(65_530, 24 << 30, 0).count, 10_255);
        assert_eq!(Runs::from_limits(65_530, 1 << 30, 0).count, 3_276);
        assert_eq!(Runs::from_limits(1 << 20, 1 << 40, 0).count, RUNS_MAX);
        assert_eq!(Runs::from_limits(0, 0, 0).count, RUNS_MIN);
    }

    #[test]
    fn modules_in_the_folder_take_the_maps_of_runs_and_leave_room_for_more() {
        for modules in [0, 1_000, 10_000, 25_000] {
            let runs = Runs::from_limits(65_530, 24 << 30, modules);
            let room = runs.modules_max();
            assert!(room >= modules + 1_500, "{modules} modules, {runs:?}, room for {room}");
        }
        assert_eq!(Runs::from_limits(65_530, 24 << 30, 10_000).count, 6_921);
        assert_eq!(Runs::from_limits(65_530, 24 << 30, 100_000).count, RUNS_MIN);
        assert_eq!(Runs::from_limits(0, 0, usize::MAX).modules_max(), 0);
    }

    #[test]
    fn the_tightest_group_counts() {
        let read = |path: &str| match path {
            "/sys/fs/cgroup/a/b/memory.max" => "max\n".to_owned(),
            "/sys/fs/cgroup/a/memory.max" => "1048576\n".to_owned(),
            "/sys/fs/cgroup/memory.max" => "2097152\n".to_owned(),
            _ => String::new(),
        };
        assert_eq!(group_memory_bytes("1:cpu:/x\n0::/a/b\n", read), Some(1 << 20));
        assert_eq!(group_memory_bytes("0::/\n", read), Some(2 << 20));
        assert_eq!(group_memory_bytes("0::/c\n", |_| "max".to_owned()), None);
        assert_eq!(group_memory_bytes("1:cpu:/x\n", read), None);
    }

    #[test]
    fn too_many_runs_name_the_sysctl() {
        let message = Runs::from_limits(65_530, 24 << 30, 0).with_count(15_000).expect_err("too many");
        assert!(message.contains("sysctl -w vm.max_map_count=94000"), "{message}");
    }
}
