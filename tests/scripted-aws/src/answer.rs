//! Turns a request into its answer: the faults, the wait and the log, which all services share.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, Response};

use crate::Shared;
use crate::calls::Call;
use crate::fault::{Hit, Kind};
use crate::server::{Closed, Drip, Handler};
use crate::{account, cloudwatch, s3};

const PAGE: &str = "<html><head><title>Error</title></head><body><h1>This is not the page you \
                    want</h1></body></html>";

/// An answer before it is sent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// The code of an error.
    pub(crate) error: Option<String>,
    pub(crate) datapoints: usize,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = if content_type.is_empty() {
            vec![]
        } else {
            vec![("content-type", content_type.into())]
        };
        Self { status, headers, body: body.into(), error: None, datapoints: 0 }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn into_response(self, body: impl FnOnce(Bytes) -> Drip) -> Response<Drip> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(body(self.body)).expect("headers and status are proper")
    }
}

/// A request that has been read.
#[derive(Debug)]
enum Work {
    CloudWatch { operation: String, request: cloudwatch::Request, bytes: usize },
    S3(s3::Request),
    Account(account::Request),
}

impl Work {
    fn of(parts: &Parts, body: Bytes) -> Self {
        match parts.uri.path().strip_prefix(cloudwatch::PATH) {
            Some(operation) => {
                let gzip = parts
                    .headers
                    .get("content-encoding")
                    .is_some_and(|encoding| encoding == "gzip");
                let request = cloudwatch::Request::of(operation, &body, gzip);
                Self::CloudWatch { operation: operation.into(), request, bytes: body.len() }
            }
            None => match account::Request::of(parts, &body) {
                Some(request) => Self::Account(request),
                None => Self::S3(s3::Request::of(parts, body)),
            },
        }
    }

    fn service(&self) -> &'static str {
        match self {
            Self::CloudWatch { .. } => "cloudwatch",
            Self::S3(_) => "s3",
            Self::Account(request) => request.service(),
        }
    }

    fn operation(&self) -> &str {
        match self {
            Self::CloudWatch { operation, .. } => operation,
            Self::S3(request) => request.operation,
            Self::Account(request) => request.operation(),
        }
    }

    fn concerns(&self, only: &str) -> bool {
        match self {
            Self::CloudWatch { request, .. } => request.concerns(only),
            Self::S3(request) => request.resource().starts_with(only),
            Self::Account(request) => request.concerns(only),
        }
    }

    fn describe(&self, call: &mut Call) {
        match self {
            Self::CloudWatch { request, .. } => request.describe(call),
            Self::S3(request) => {
                call.resource = request.resource();
                call.condition = request.condition();
                call.next_page = request.is_next_page();
            }
            Self::Account(request) => request.describe(call),
        }
    }

    fn error(&self, status: u16, code: &str, message: &str) -> Answer {
        match self {
            Self::CloudWatch { .. } => cloudwatch::error(status, code, message),
            Self::S3(request) => request.error(status, code, message),
            Self::Account(request) => request.error(status, code, message),
        }
    }

    /// The answer of a fault that prevents the call.
    fn refusal(&self, kind: &Kind) -> Option<Answer> {
        let s3 = matches!(self, Self::S3(_));
        Some(match kind {
            Kind::Throttle(_) if s3 => {
                self.error(503, "SlowDown", "Please reduce your request rate.")
            }
            Kind::Throttle(code) => self.error(400, code, "Rate exceeded"),
            Kind::Status(status) => Answer::new(*status, "", ""),
            Kind::Html(status) => Answer::new(*status, "text/html; charset=utf-8", PAGE),
            Kind::Forbidden => match self {
                Self::Account(request) => request.forbidden(),
                _ => self.error(403, "AccessDenied", "Access Denied"),
            },
            Kind::Expired => self.error(
                if s3 { 400 } else { 403 },
                "ExpiredToken",
                "The provided token has expired.",
            ),
            Kind::ClockSkew => {
                let now = SystemTime::now() + Duration::from_secs(3600);
                let date =
                    DateTime::from(now).fmt(Format::HttpDate).expect("a time of this century");
                let message =
                    "The difference between the request time and the current time is too large.";
                self.error(403, "RequestTimeTooSkewed", message).with("date", date)
            }
            Kind::Conflict => {
                let message = "A conflicting conditional operation is under way for this resource.";
                self.error(409, "ConditionalRequestConflict", message)
            }
            _ => return None,
        })
    }

    fn run(self, shared: &Shared, call: u64, now: i64, hits: &[Hit]) -> Answer {
        match self {
            Self::CloudWatch { operation, request, bytes } => {
                request.run(shared, &operation, bytes, now, hits)
            }
            Self::S3(request) => request.run(&mut shared.objects.lock().unwrap(), now),
            Self::Account(request) => request.run(shared, &account::Made { call, now, hits }),
        }
    }
}

impl Handler for Shared {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Drip>, Closed> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
        let bytes = body.len();
        let work = Work::of(&parts, body);
        let now = self.now();
        let hits =
            self.faults
                .lock()
                .unwrap()
                .hits(work.service(), work.operation(), now, |only| work.concerns(only));
        let mut entry = self.log.entry(work.operation(), now);
        work.describe(&mut entry.call);
        entry.call.bytes_in = bytes;
        entry.call.faults = hits.iter().map(|hit| hit.kind.clone()).collect();
        let kinds = || hits.iter().map(|hit| &hit.kind);

        for kind in kinds() {
            if let Kind::Slow(time) = kind {
                tokio::time::sleep(*time).await;
            }
        }
        if kinds().any(|kind| *kind == Kind::Reset) {
            return Err(Closed);
        }
        let mut answer = match kinds().find_map(|kind| work.refusal(kind)) {
            Some(answer) => answer,
            None => {
                let answer = work.run(&self, entry.call.number, now, &hits);
                entry.call.carried_out = answer.error.is_none();
                answer
            }
        };
        entry.call.datapoints = answer.datapoints;
        let mut wait = self.latency.of(answer.datapoints);
        for kind in kinds() {
            if let Kind::SlowAnswer(time) = kind {
                wait += *time;
            }
        }
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        if kinds().any(|kind| *kind == Kind::ResetAfter) {
            return Err(Closed);
        }
        let call = &mut entry.call;
        call.status = Some(answer.status);
        call.bytes_out = answer.body.len();
        call.error = answer.error.take();
        let id = format!("{:016X}", call.number);
        // An answer with a page does not come from AWS, so it has no request id.
        let answer = match kinds().any(|kind| matches!(kind, Kind::Html(_))) {
            true => answer,
            false => answer.with("x-amzn-requestid", id.clone()).with("x-amz-request-id", id),
        };
        Ok(answer.into_response(|body| {
            let special = kinds().find_map(|kind| match kind {
                Kind::SlowBody(time) => Some(Drip::slow(body.clone(), *time)),
                Kind::Truncate => Some(Drip::cut(body.clone())),
                _ => None,
            });
            special.unwrap_or_else(|| Drip::whole(body))
        }))
    }
}
