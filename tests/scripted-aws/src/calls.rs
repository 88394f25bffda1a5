//! The log of incoming calls.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::fault::Kind;

/// One call, as it came and as it was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// In order of arrival, from 0.
    pub number: u64,
    /// `GetMetricData`, `PutObject`, ...
    pub operation: String,
    /// `bucket/key` of S3, the namespace of CloudWatch, the bus of EventBridge, the ARN of a topic.
    pub resource: String,
    /// The virtual time.
    pub now: i64,
    /// Queries of a GetMetricData call.
    pub queries: usize,
    /// Start and end of a GetMetricData call.
    pub range: Option<(i64, i64)>,
    /// Whether it asks for a page after the first.
    pub next_page: bool,
    /// Datapoints in the answer.
    pub datapoints: usize,
    /// Datums in the call.
    pub datums: usize,
    /// Entries of a PutEvents or PublishBatch call.
    pub entries: usize,
    /// The condition of a call to S3: `If-Match: "..."`.
    pub condition: Option<String>,
    /// Bytes of the body as it came.
    pub bytes_in: usize,
    /// Bytes of the answer's body.
    pub bytes_out: usize,
    /// The HTTP status; `None` when the caller got no answer.
    pub status: Option<u16>,
    /// The code of the error that it was answered.
    pub error: Option<String>,
    /// Whether it was carried out, even if the caller was told otherwise.
    pub carried_out: bool,
    /// The faults that hit it.
    pub faults: Vec<Kind>,
    /// When it came, on the real clock, since the start.
    pub came: Duration,
    /// How long the answer took, on the real clock.
    pub took: Duration,
}

impl Call {
    /// Whether the whole answer was sent to the caller, so that it knows what became of the call.
    pub fn is_answered(&self) -> bool {
        self.status.is_some() && !self.faults.contains(&Kind::Truncate)
    }
}

#[derive(Debug)]
pub(crate) struct Log {
    since: Instant,
    calls: Mutex<(u64, Vec<Call>)>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), calls: Mutex::default() }
    }

    /// A call that has just come.
    pub(crate) fn entry(self: &Arc<Self>, operation: &str, now: i64) -> Entry {
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.0 += 1;
            calls.0 - 1
        };
        let call = Call {
            number,
            operation: operation.into(),
            resource: String::new(),
            now,
            queries: 0,
            range: None,
            next_page: false,
            datapoints: 0,
            datums: 0,
            entries: 0,
            condition: None,
            bytes_in: 0,
            bytes_out: 0,
            status: None,
            error: None,
            carried_out: false,
            faults: Vec::new(),
            came: self.since.elapsed(),
            took: Duration::ZERO,
        };
        Entry { call, log: Arc::clone(self) }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        let mut calls = self.calls.lock().unwrap().1.clone();
        calls.sort_by_key(|call| call.number);
        calls
    }

    pub(crate) fn take(&self) -> Vec<Call> {
        let mut calls = std::mem::take(&mut self.calls.lock().unwrap().1);
        calls.sort_by_key(|call| call.number);
        calls
    }
}

/// A call under way. It is logged when it is dropped, so that a call is logged even if its caller
/// went away.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) call: Call,
    log: Arc<Log>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.call.took = self.log.since.elapsed().saturating_sub(self.call.came);
        self.log.calls.lock().unwrap().1.push(self.call.clone());
    }
}
