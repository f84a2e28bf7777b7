//! What the system says of this process, under the names that everybody uses.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::table::number;

/// Has it told. What the system does not say is left out.
pub fn register(registry: &mut Registry) {
    let stat = std::fs::read_to_string("/proc/self/stat").ok().and_then(|line| Stat::read(&line));
    if let Some(stat) = stat {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let seconds: Counter<f64, AtomicU64> = Counter::default();
        seconds.inc_by(stat.cpu_ticks as f64 / ticks);
        registry.register("process_cpu_seconds", "Seconds of processor time, of the process and for it", seconds);
        let page_bytes = rustix::param::page_size() as u64;
        number(registry, "process_resident_memory_bytes", "Memory that is resident", stat.resident_pages * page_bytes);
        number(registry, "process_threads", "Threads", stat.threads);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        number(registry, "process_open_fds", "Open file descriptors", open.count() as u64);
    }
}

/// Three of the fields of `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    resident_pages: u64,
}

impl Stat {
    /// The name of the program stands in parentheses and may hold anything, so that fields are counted behind the last one.
    fn read(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number)?.parse::<u64>().ok();
        Some(Self { cpu_ticks: field(11)? + field(12)?, threads: field(17)?, resident_pages: field(21)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_programs_name() {
        let line =
            "42 (a) b) S 1 42 42 0 -1 4194560 900 0 0 0 150 25 0 0 20 0 7 0 1000 1073741824 2500 18446744073709551615";
        assert_eq!(Stat::read(line), Some(Stat { cpu_ticks: 175, threads: 7, resident_pages: 2500 }));
        assert_eq!(Stat::read("42 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_threads_and_memory() {
        let mut registry = Registry::default();
        register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for name in
            ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_threads", "process_open_fds"]
        {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() >= 0.0, "{line}");
        }
    }
}
