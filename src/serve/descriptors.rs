//! How many file descriptors the process may have, and what fits them.
//!
//! Each connection takes one, and each request in flight another for Devin. Where the configuration promises more
//! than the process can have, less is taken on: clients that are turned away are better than a listener, an operator's
//! port or a log file without a descriptor.

use crate::capacity::Options;

/// What else takes descriptors: listeners, the ledger, log files, connections of operators.
const OTHERS: usize = 100;
/// What is taken on however few descriptors there are; then the listeners pause when they run out.
const LEAST: usize = 64;

/// The most descriptors that the process may have, where the system says so.
pub fn most() -> Option<usize> {
    soft_limit(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

/// `Max open files   1024   524288   files`; none if there is no limit.
fn soft_limit(text: &str) -> Option<usize> {
    let line = text
        .lines()
        .find_map(|it| it.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What of `options` fits so many descriptors. Says so where that is less.
pub fn fitting(options: Options, most: Option<usize>) -> Options {
    let needed = options
        .connections
        .saturating_add(options.requests)
        .saturating_add(OTHERS);
    let Some(most) = most.filter(|most| *most < needed) else {
        return options;
    };
    let half = (most.saturating_sub(OTHERS) / 2).max(LEAST);
    let fits = Options {
        connections: options.connections.min(half),
        requests: options.requests.min(half),
        ..options
    };
    tracing::warn!(
        descriptors = most,
        needed,
        connections = fits.connections,
        requests = fits.requests,
        "the process has fewer file descriptors than `limits` need, and takes on less (`ulimit -n`, LimitNOFILE)"
    );
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_read_as_linux_writes_it() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             127000               127000               processes \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(text), Some(1_024));
        assert_eq!(soft_limit("Max open files            unlimited"), None);
        assert_eq!(soft_limit(""), None);
    }

    #[test]
    fn r5_no_more_is_taken_on_than_there_are_descriptors_for() {
        let fit = |most| {
            let fits = fitting(Options::default(), most);
            (fits.connections, fits.requests)
        };
        assert_eq!(fit(None), (10_000, 1_024));
        assert_eq!(fit(Some(11_124)), (10_000, 1_024));
        assert_eq!(fit(Some(11_123)), (5_511, 1_024));
        assert_eq!(fit(Some(1_024)), (462, 462));
        assert_eq!(fit(Some(10)), (64, 64));
    }
}
