//! The size of the machine a figure was measured on.

/// Prints cores and memory, once for each benchmark program.
pub(crate) fn print_size() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).map_or("unknown", str::trim);
    println!("machine: {cores} cores, memory {total}");
}
