//! A scripted, deterministic, local stand-in for CloudWatch, S3, EventBridge, SNS, the Tagging API
//! and the Lambda Runtime API, for tests.
//!
//! [`Aws::start`] runs it on loopback ports. It keeps to the limits of the real services, fails
//! when and how a script of [`Fault`]s says, and logs all calls.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use scripted_aws::{Aws, Fault, Generated, Kind, Options, Outcome, When};
//!
//! let now = 1_768_478_400;
//! let fleet =
//!     Generated::new(1000, 7).fault(3, now - 1800, now, 99.0).gap(4, now - 7200, now - 3600);
//! let aws = Aws::start(Arc::new(fleet), Options { now, ..Options::default() });
//! aws.put_object("models", "current", "...");
//! aws.script([
//!     Fault::new("GetMetricData", When::First(2), Kind::Throttle("Throttling")),
//!     Fault::new("PutObject", When::Nth(1), Kind::ResetAfter).only("models/state"),
//! ]);
//! // Start a process here, with AWS_ENDPOINT_URL and AWS_LAMBDA_RUNTIME_API set to these.
//! let (_services, _runtime_api) = (aws.endpoint(), aws.runtime().endpoint());
//! let event = serde_json::json!({ "time": now });
//! let outcome = aws.runtime().invoke(event, Duration::from_millis(50));
//! assert_eq!(outcome, Outcome::NoAnswer, "there is no such process");
//! assert!(aws.published().is_empty() && aws.take_calls().is_empty());
//! aws.set_now(now + 300);
//! ```
// It is for tests, which should stop there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod account;
mod answer;
mod calls;
mod cbor;
mod cloudwatch;
mod fault;
mod fleet;
mod get;
mod hash;
mod limits;
mod pages;
mod put;
mod runtime;
mod s3;
mod server;

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

pub use account::{Event, Message};
pub use calls::Call;
pub use fault::{Fault, Kind, When};
pub use fleet::{Fleet, GROUP, Generated, SLOT, Tags};
pub use limits::{Latency, Limits};
pub use put::{Published, Stamp};
pub use runtime::{Invocation, Outcome, RuntimeApi};
pub use s3::Object;

use account::Delivered;
use calls::Log;
use fault::Faults;
use limits::Rates;
use s3::Objects;
use server::Server;

/// Options of a stand-in.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The seed of everything random.
    pub seed: u64,
    /// The virtual clock at the start, in seconds since 1970.
    pub now: i64,
    /// How long answers take.
    pub latency: Latency,
    /// CloudWatch's limits.
    pub limits: Limits,
}

impl Default for Options {
    /// Seed 1, 15 January 2026 12:00 UTC, answers at once, the limits of the real service.
    fn default() -> Self {
        Self { seed: 1, now: 1_768_478_400, latency: Latency::default(), limits: Limits::default() }
    }
}

/// State that the servers and their owner share.
pub(crate) struct Shared {
    pub(crate) fleet: Arc<dyn Fleet>,
    pub(crate) seed: u64,
    pub(crate) limits: Limits,
    pub(crate) latency: Latency,
    now: AtomicI64,
    pub(crate) rates: Mutex<Rates>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) log: Arc<Log>,
    pub(crate) published: Mutex<Published>,
    pub(crate) delivered: Mutex<Delivered>,
    pub(crate) objects: Mutex<Objects>,
}

impl Shared {
    pub(crate) fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }
}

/// A running stand-in for AWS; stopped when it is dropped.
pub struct Aws {
    shared: Arc<Shared>,
    server: Server,
    runtime: RuntimeApi,
}

impl fmt::Debug for Aws {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Aws").field("endpoint", &self.endpoint()).finish_non_exhaustive()
    }
}

impl Aws {
    /// Starts the servers on free ports of 127.0.0.1, each on a thread of its own.
    pub fn start(fleet: Arc<dyn Fleet>, options: Options) -> Self {
        let Options { seed, now, latency, limits } = options;
        let shared = Arc::new(Shared {
            fleet,
            seed,
            latency,
            now: AtomicI64::new(now),
            rates: Mutex::new(Rates::new(&limits)),
            limits,
            faults: Mutex::new(Faults::new(seed)),
            log: Arc::new(Log::new()),
            published: Mutex::default(),
            delivered: Mutex::default(),
            objects: Mutex::default(),
        });
        Self {
            server: Server::start("scripted-aws", Arc::clone(&shared)),
            shared,
            runtime: RuntimeApi::start(),
        }
    }

    /// For `AWS_ENDPOINT_URL`: `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// The Lambda Runtime API.
    pub fn runtime(&self) -> &RuntimeApi {
        &self.runtime
    }

    /// The virtual clock, in seconds since 1970.
    pub fn now(&self) -> i64 {
        self.shared.now()
    }

    /// Sets the virtual clock, in seconds since 1970.
    pub fn set_now(&self, now: i64) {
        self.shared.now.store(now, Ordering::SeqCst);
    }

    /// Replaces the active faults.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut active = self.shared.faults.lock().unwrap();
        active.clear();
        faults.into_iter().for_each(|fault| active.add(fault));
    }

    /// Adds a fault to the active ones.
    pub fn add(&self, fault: Fault) {
        self.shared.faults.lock().unwrap().add(fault);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    /// The calls to all but the Lambda Runtime API since the last [`Aws::take_calls`], in order of
    /// arrival. Those that are still under way are not among them.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.log.calls()
    }

    /// The calls since the last time. Clears the log.
    pub fn take_calls(&self) -> Vec<Call> {
        self.shared.log.take()
    }

    /// Every value that PutMetricData took.
    pub fn published(&self) -> Published {
        self.shared.published.lock().unwrap().clone()
    }

    /// Every value that PutMetricData took since the last time. Clears the list.
    pub fn take_published(&self) -> Published {
        std::mem::take(&mut self.shared.published.lock().unwrap())
    }

    /// Every event that PutEvents took, in order of arrival, also where its caller got no answer.
    pub fn events(&self) -> Vec<Event> {
        self.shared.delivered.lock().unwrap().events.clone()
    }

    /// Every message that PublishBatch took, in order of arrival, also where its caller got no
    /// answer.
    pub fn messages(&self) -> Vec<Message> {
        self.shared.delivered.lock().unwrap().messages.clone()
    }

    /// The names of all objects, as bucket and key.
    pub fn objects(&self) -> Vec<(String, String)> {
        self.shared.objects.lock().unwrap().objects.keys().cloned().collect()
    }

    /// The stored object with this key, if there is one.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Object> {
        self.shared
            .objects
            .lock()
            .unwrap()
            .objects
            .get(&(bucket.to_owned(), key.to_owned()))
            .cloned()
    }

    /// Puts an object, whatever is there; gives its ETag.
    pub fn put_object(&self, bucket: &str, key: &str, bytes: impl Into<Vec<u8>>) -> String {
        self.shared.objects.lock().unwrap().put(bucket, key, bytes.into(), self.now())
    }

    /// Removes an object; tells whether there was one.
    pub fn remove_object(&self, bucket: &str, key: &str) -> bool {
        self.shared
            .objects
            .lock()
            .unwrap()
            .objects
            .remove(&(bucket.to_owned(), key.to_owned()))
            .is_some()
    }

    /// How many times an object was put under this key.
    pub fn versions(&self, bucket: &str, key: &str) -> u64 {
        self.shared.objects.lock().unwrap().versions(bucket, key)
    }
}
