//! What passes through the gateway, counted: how many requests of which operation, what became of them, how long their
//! answers took to begin, and how many bytes came and went.
//!
//! Counting is approximate by nature: a client that goes away takes less than it was offered. What must be exact is in the
//! ledger of the log.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use std::time::Duration;

/// Up to how many seconds an answer may take to begin, by which answers are sorted.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What a request that was refused before it was understood is counted as.
const NOT_UNDERSTOOD: &str = "none";

/// What questions for the server's health are counted as.
pub const HEALTH: &str = "Health";

/// What browsers' questions are counted as whether they may ask.
pub const PREFLIGHT: &str = "Preflight";

/// What requests to the administration are counted as.
pub const ADMINISTRATION: &str = "Administration";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    operation: &'static str,
    status: u16,
}

/// The counts of one gateway. Cheap to clone; all clones count together.
#[derive(Debug, Clone)]
pub struct Traffic {
    requests: Family<Outcome, Counter>,
    seconds: Family<Operation, Histogram, fn() -> Histogram>,
    under_way: Gauge,
    received_bytes: Counter,
    sent_bytes: Counter,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            under_way: Gauge::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
        }
    }
}

/// One request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// What S3 calls the operation, or one of the names above; none where it was refused before that was known.
    pub operation: Option<&'static str>,
    /// The status of the answer.
    pub status: u16,
    /// How long it took until the answer began.
    pub took: Duration,
    /// The bytes of the request's body that were read.
    pub received_bytes: u64,
    /// The bytes of the answer's body, as it declares them.
    pub sent_bytes: u64,
}

/// A request that has not been answered yet.
#[derive(Debug)]
pub struct UnderWay(Gauge);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Traffic {
    /// Counts a request as being under way, for as long as what this returns lives.
    pub fn begin(&self) -> UnderWay {
        self.under_way.inc();
        UnderWay(self.under_way.clone())
    }

    /// Counts an answer.
    pub fn answered(&self, answered: Answered) {
        let operation = answered.operation.unwrap_or(NOT_UNDERSTOOD);
        self.requests.get_or_create(&Outcome { operation, status: answered.status }).inc();
        self.seconds.get_or_create(&Operation { operation }).observe(answered.took.as_secs_f64());
        self.received_bytes.inc_by(answered.received_bytes);
        self.sent_bytes.inc_by(answered.sent_bytes);
    }

    /// Has all of it told by a registry.
    pub fn register(&self, registry: &mut Registry) {
        let requests =
            "Requests that were answered, by operation and status; operation \"none\" was refused before it was known";
        registry.register("requests", requests, self.requests.clone());
        registry.register("request_seconds", "Seconds until an answer began, by operation", self.seconds.clone());
        registry.register("requests_under_way", "Requests whose answers have not begun", self.under_way.clone());
        let received = "Bytes of the bodies of requests that were read";
        registry.register("received_bytes", received, self.received_bytes.clone());
        let sent = "Bytes of the bodies of answers, as declared";
        registry.register("sent_bytes", sent, self.sent_bytes.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(traffic: &Traffic) -> String {
        let mut registry = Registry::with_prefix("cairn");
        traffic.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn requests_are_counted_by_operation_and_status() {
        let traffic = Traffic::default();
        let answered = Answered {
            operation: Some("PutObject"),
            status: 200,
            took: Duration::from_millis(3),
            received_bytes: 5,
            sent_bytes: 0,
        };
        traffic.answered(answered);
        traffic.answered(answered);
        traffic.answered(Answered { operation: None, status: 403, sent_bytes: 7, ..answered });
        let text = told(&traffic);
        for line in [
            "cairn_requests_total{operation=\"PutObject\",status=\"200\"} 2",
            "cairn_requests_total{operation=\"none\",status=\"403\"} 1",
            "cairn_request_seconds_bucket{le=\"0.005\",operation=\"PutObject\"} 2",
            "cairn_request_seconds_bucket{le=\"0.0025\",operation=\"PutObject\"} 0",
            "cairn_received_bytes_total 15",
            "cairn_sent_bytes_total 7",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn a_request_is_under_way_until_it_is_dropped() {
        let traffic = Traffic::default();
        let (one, other) = (traffic.begin(), traffic.clone().begin());
        assert!(told(&traffic).contains("cairn_requests_under_way 2"));
        drop((one, other));
        assert!(told(&traffic).contains("cairn_requests_under_way 0"));
    }
}
