//! The Lambda Runtime API, which a function's process asks for its events.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::answer::Answer;
use crate::server::{Closed, Drip, Handler, Server};

const PATH: &str = "/2018-06-01/runtime/";
const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:scripted";

/// The outcome of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The function's answer.
    Answer(Value),
    /// The function's error, with `errorType` and `errorMessage`.
    Error(Value),
    /// The function's process could not start.
    InitError(Value),
    /// No process asked for the event, or no process answered in time.
    NoAnswer,
}

/// An emulator of the Lambda Runtime API. Processes may come, die and be replaced by others at any
/// time.
#[derive(Debug)]
pub struct RuntimeApi {
    events: Arc<Events>,
    server: Server,
}

impl RuntimeApi {
    /// Starts one by itself.
    pub fn start() -> Self {
        let events = Arc::new(Events::default());
        Self { server: Server::start("runtime-api", Arc::clone(&events)), events }
    }

    /// For `AWS_LAMBDA_RUNTIME_API`: `127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        self.server.address.to_string()
    }

    /// Invokes the function and waits for the outcome, for at most `timeout`. The timeout also sets
    /// the deadline.
    pub fn invoke(&self, event: Value, timeout: Duration) -> Outcome {
        self.invoke_async(event, timeout).wait(timeout)
    }

    /// Puts an event into the queue. The function gets `time_limit` from when a process takes the
    /// event.
    pub fn invoke_async(&self, event: Value, time_limit: Duration) -> Invocation {
        let mut state = self.events.state();
        state.invoked += 1;
        let id = format!("00000000-0000-4000-8000-{:012x}", state.invoked);
        state.outcomes.insert(id.clone(), None);
        match state.init_error.take() {
            Some(error) => _ = state.outcomes.insert(id.clone(), Some(Outcome::InitError(error))),
            None => state.queue.push_back(Pending { id: id.clone(), event, time_limit }),
        }
        drop(state);
        self.events.asked.notify_waiters();
        Invocation { id, events: Arc::clone(&self.events) }
    }

    /// Waits until a process asks for an event, and tells when it did: the first one since the last
    /// time that this was called.
    pub fn take_asked(&self, timeout: Duration) -> Option<Instant> {
        self.events.wait(timeout, |state| state.asked.is_some().then_some(()));
        self.events.state().asked.take()
    }

    /// How many processes are waiting for an event.
    pub fn waiting(&self) -> usize {
        self.events.state().waiting
    }
}

/// An invocation under way. Dropped, it is abandoned.
#[derive(Debug)]
pub struct Invocation {
    id: String,
    events: Arc<Events>,
}

impl Invocation {
    /// The request id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether a process has taken the event.
    pub fn is_taken(&self) -> bool {
        self.events.state().queue.iter().all(|pending| pending.id != self.id)
    }

    /// Waits until a process has taken the event; tells whether one has.
    pub fn wait_taken(&self, timeout: Duration) -> bool {
        self.events
            .wait(timeout, |state| {
                state.queue.iter().all(|pending| pending.id != self.id).then_some(())
            })
            .is_some()
    }

    /// Waits for the outcome. `NoAnswer` if it does not come in time; the caller may wait again.
    pub fn wait(&self, timeout: Duration) -> Outcome {
        let outcome =
            self.events.wait(timeout, |state| state.outcomes.get(&self.id).cloned().flatten());
        outcome.unwrap_or(Outcome::NoAnswer)
    }

    /// Abandons it: a later answer is refused like the answer to an unknown request.
    pub fn abandon(self) {}
}

impl Drop for Invocation {
    fn drop(&mut self) {
        let mut state = self.events.state();
        state.queue.retain(|pending| pending.id != self.id);
        state.outcomes.remove(&self.id);
    }
}

#[derive(Debug)]
struct Pending {
    id: String,
    event: Value,
    time_limit: Duration,
}

#[derive(Debug, Default)]
struct State {
    invoked: u64,
    waiting: usize,
    /// When a process asked for an event.
    asked: Option<Instant>,
    queue: VecDeque<Pending>,
    /// Of all invocations that are not abandoned.
    outcomes: HashMap<String, Option<Outcome>>,
    /// Of a process that failed before there was an event.
    init_error: Option<Value>,
}

#[derive(Debug, Default)]
struct Events {
    state: Mutex<State>,
    /// Tells the callers of `invoke` that something has changed.
    changed: Condvar,
    /// Tells the processes that there is an event.
    asked: Notify,
}

/// A process that waits for an event, counted for as long as it does.
struct Waiting<'a>(&'a Events);

impl<'a> Waiting<'a> {
    fn new(events: &'a Events) -> Self {
        events.state().waiting += 1;
        Self(events)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

impl Events {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn wait<T>(&self, timeout: Duration, ready: impl Fn(&State) -> Option<T>) -> Option<T> {
        let until = Instant::now() + timeout;
        let mut state = self.state();
        loop {
            if let Some(ready) = ready(&state) {
                return Some(ready);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    async fn next(&self) -> Answer {
        // This process has started, whatever happened to those before it.
        {
            let mut state = self.state();
            state.init_error = None;
            state.asked.get_or_insert_with(Instant::now);
        }
        self.changed.notify_all();
        let waiting = Waiting::new(self);
        loop {
            let asked = self.asked.notified();
            tokio::pin!(asked);
            // From here on every notification arrives.
            asked.as_mut().enable();
            // The connection of a process that was just killed may not have been noticed yet. This
            // wait notices it. The dead process then no longer counts, and takes no event from the
            // process that comes after.
            tokio::time::sleep(Duration::from_millis(2)).await;
            let pending = self.state().queue.pop_front();
            if let Some(pending) = pending {
                drop(waiting);
                self.changed.notify_all();
                return handed_out(&pending);
            }
            asked.await;
        }
    }

    fn ended(&self, id: &str, outcome: Outcome) -> Answer {
        match self.state().outcomes.get_mut(id) {
            Some(place @ None) => *place = Some(outcome),
            _ => {
                let error = json!({
                    "errorType": "InvalidRequestID",
                    "errorMessage": "Invalid request ID",
                });
                return Answer::new(400, "application/json", error.to_string());
            }
        }
        self.changed.notify_all();
        accepted()
    }

    fn init_error(&self, error: Value) -> Answer {
        let mut state = self.state();
        let queued: Vec<String> = state.queue.drain(..).map(|pending| pending.id).collect();
        if queued.is_empty() {
            state.init_error = Some(error);
        } else {
            for id in queued {
                state.outcomes.insert(id, Some(Outcome::InitError(error.clone())));
            }
        }
        drop(state);
        self.changed.notify_all();
        accepted()
    }
}

fn handed_out(pending: &Pending) -> Answer {
    let deadline = SystemTime::now() + pending.time_limit;
    let deadline = deadline.duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis();
    Answer::new(200, "application/json", pending.event.to_string())
        .with("lambda-runtime-aws-request-id", pending.id.clone())
        .with("lambda-runtime-deadline-ms", deadline.to_string())
        .with("lambda-runtime-invoked-function-arn", ARN)
        .with("lambda-runtime-trace-id", "Root=1-00000000-000000000000000000000000")
}

fn accepted() -> Answer {
    Answer::new(202, "application/json", r#"{"status":"OK"}"#)
}

/// The content that a process sent, as JSON if it is JSON.
fn json_of(body: &Bytes) -> Value {
    serde_json::from_slice(body)
        .unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into())
}

impl Handler for Events {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Drip>, Closed> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
        let path: Vec<&str> =
            parts.uri.path().strip_prefix(PATH).unwrap_or_default().split('/').collect();
        let answer = match (&parts.method, &path[..]) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => {
                self.ended(id, Outcome::Answer(json_of(&body)))
            }
            (&Method::POST, ["invocation", id, "error"]) => {
                self.ended(id, Outcome::Error(json_of(&body)))
            }
            (&Method::POST, ["init", "error"]) => self.init_error(json_of(&body)),
            _ => Answer::new(404, "application/json", "{}"),
        };
        Ok(answer.into_response(Drip::whole))
    }
}
