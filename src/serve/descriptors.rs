//! How many file descriptors the process may have, and what fits them.
//!
//! Each connection takes one, and each request in flight another for Devin. Where the configuration promises more
//! than the process can have, less is taken on: clients that are turned away are better than a listener, an operator's
//! port or a log file without a descriptor.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::capacity::Options;

/// What else takes descriptors: listeners, the ledger, log files, connections of operators.
const OTHERS: usize = 100;
/// What is taken on however few descriptors there are; then the listeners pause when they run out.
const LEAST: usize = 64;

/// Takes as many as the system allows (its soft limit is for programs that use `select(2)`); none where there is no limit.
pub fn most() -> Option<usize> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let most = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit of descriptors stays as it is");
            limit.current
        }
    };
    most.and_then(|it| usize::try_from(it).ok())
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
    fn r5_the_process_takes_all_that_it_may() {
        let most = most();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(most, limit.maximum.and_then(|it| usize::try_from(it).ok()));
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
