//! CloudWatch: requests, errors and ListMetrics.

use std::io::Read;

use aws_smithy_cbor::Encoder;
use aws_smithy_cbor::decode::DeserializeError;

use crate::Shared;
use crate::answer::Answer;
use crate::calls::Call;
use crate::cbor::{self, GetRequest, ListRequest, PutRequest};
use crate::fault::Hit;
use crate::hash;
use crate::pages::Place;

pub(crate) const PATH: &str = "/service/GraniteServiceVersion20100801/operation/";
/// The metric of the fleet.
pub(crate) const NAMESPACE: &str = "AWS/EC2";
pub(crate) const METRIC: &str = "CPUUtilization";
pub(crate) const DIMENSION: &str = "InstanceId";
/// The dimension of its Auto Scaling groups.
pub(crate) const GROUP_DIMENSION: &str = "AutoScalingGroupName";

/// A request to CloudWatch.
#[derive(Debug)]
pub(crate) enum Request {
    List(ListRequest),
    Get(GetRequest),
    Put(PutRequest),
    /// One that cannot be answered, with the error that says so.
    Broken(Answer),
}

impl Request {
    pub(crate) fn of(operation: &str, body: &[u8], gzip: bool) -> Self {
        let mut unpacked = Vec::new();
        let body = match gzip {
            true => match flate2::read::GzDecoder::new(body).read_to_end(&mut unpacked) {
                Ok(_) => &unpacked,
                Err(error) => return Self::Broken(broken(&error)),
            },
            false => body,
        };
        let request = match operation {
            "ListMetrics" => cbor::list(body).map(Self::List),
            "GetMetricData" => cbor::get(body).map(Self::Get),
            "PutMetricData" => cbor::put(body).map(Self::Put),
            _ => Ok(Self::Broken(error(
                400,
                "InvalidAction",
                &format!("{operation} is not played here"),
            ))),
        };
        request.unwrap_or_else(|error: DeserializeError| Self::Broken(broken(&error)))
    }

    /// Whether it is about this namespace or this value of a dimension.
    pub(crate) fn concerns(&self, only: &str) -> bool {
        let any =
            |dimensions: &[cbor::Dimension]| dimensions.iter().any(|dimension| dimension.1 == only);
        match self {
            Self::List(request) => request.namespace.as_deref() == Some(only),
            Self::Get(request) => request
                .queries
                .iter()
                .any(|query| query.namespace == only || any(&query.dimensions)),
            Self::Put(request) => {
                request.namespace == only
                    || request.datums.iter().any(|datum| any(&datum.dimensions))
            }
            Self::Broken(_) => false,
        }
    }

    pub(crate) fn describe(&self, call: &mut Call) {
        match self {
            Self::List(request) => {
                call.resource = request.namespace.clone().unwrap_or_default();
                call.next_page = request.token.is_some();
            }
            Self::Get(request) => {
                call.resource = request
                    .queries
                    .first()
                    .map(|query| query.namespace.clone())
                    .unwrap_or_default();
                call.queries = request.queries.len();
                call.range =
                    request.start.zip(request.end).map(|(start, end)| (start as i64, end as i64));
                call.next_page = request.token.is_some();
            }
            Self::Put(request) => {
                call.resource.clone_from(&request.namespace);
                call.datums = request.datums.len();
            }
            Self::Broken(_) => {}
        }
    }

    /// Carries it out. `bytes` is the size of the body as it came.
    pub(crate) fn run(
        self,
        shared: &Shared,
        operation: &str,
        bytes: usize,
        now: i64,
        hits: &[Hit],
    ) -> Answer {
        if !shared.rates.lock().unwrap().call(operation) {
            return throttled();
        }
        let answer = match self {
            Self::List(request) => list(shared, &request, now, hits),
            Self::Get(request) => crate::get::get(shared, &request, now, hits),
            Self::Put(request) => crate::put::put(shared, &request, bytes, now),
            Self::Broken(answer) => Ok(answer),
        };
        answer.unwrap_or_else(|refused| refused)
    }
}

/// An answer of CloudWatch.
pub(crate) fn answer(body: Vec<u8>) -> Answer {
    Answer::new(200, "application/cbor", body).with("smithy-protocol", "rpc-v2-cbor")
}

/// An error of CloudWatch.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Answer {
    let mut encoder = Encoder::new(Vec::new());
    encoder.map(2).str("__type").str(code).str("message").str(message);
    let mut answer = answer(encoder.into_writer());
    answer.status = status;
    answer.error = Some(code.into());
    answer
}

/// An error that names the fault in a request.
pub(crate) fn refused(code: &str, message: impl Into<String>) -> Answer {
    error(400, code, &message.into())
}

pub(crate) fn throttled() -> Answer {
    error(400, "Throttling", "Rate exceeded")
}

fn broken(why: &dyn std::error::Error) -> Answer {
    refused("SerializationException", format!("the request cannot be read: {why}"))
}

fn list(shared: &Shared, request: &ListRequest, now: i64, hits: &[Hit]) -> Result<Answer, Answer> {
    if request.recently_active.as_deref().is_some_and(|active| active != "PT3H") {
        return Err(refused("InvalidParameterValue", "RecentlyActive must be PT3H"));
    }
    let fingerprint =
        hash::bytes(format!("{:?}", (shared.seed, &request.namespace, &request.metric)).as_bytes());
    let place = match &request.token {
        None => Place::first(now),
        Some(token) => {
            let unknown = || {
                refused("InvalidParameterValue", "The value for parameter NextToken is invalid.")
            };
            Place::of(token, fingerprint).ok_or_else(unknown)?
        }
    };
    let asked =
        |given: &Option<String>, ours: &str| given.as_deref().is_none_or(|given| given == ours);
    let mut metrics: Vec<(&str, String)> = Vec::new();
    if asked(&request.namespace, NAMESPACE) && asked(&request.metric, METRIC) {
        let instances = shared.fleet.instances(place.now).into_iter();
        metrics.extend(instances.map(|instance| (DIMENSION, instance)));
        let groups = shared.fleet.groups(place.now).into_iter();
        metrics.extend(groups.map(|group| (GROUP_DIMENSION, group)));
    }
    for (name, value) in &request.dimensions {
        metrics.retain(|(dimension, of)| name == dimension && asked(value, of));
    }
    let from = place.index.min(metrics.len());
    let page = &metrics[from..(from + shared.limits.metrics_per_page).min(metrics.len())];
    let end = from + page.len();
    let next = (end < metrics.len()).then_some(Place {
        index: end,
        why: crate::pages::Why::Next,
        ..place
    });
    let next = place.follow(next, hits);
    let mut encoder = Encoder::new(Vec::new());
    encoder.map(1 + usize::from(next.is_some())).str("Metrics").array(page.len());
    for (dimension, of) in page {
        encoder.map(3).str("Namespace").str(NAMESPACE).str("MetricName").str(METRIC);
        encoder.str("Dimensions").array(1).map(2).str("Name").str(dimension).str("Value").str(of);
    }
    if let Some(next) = next {
        encoder.str("NextToken").str(&next.token(fingerprint));
    }
    Ok(answer(encoder.into_writer()))
}
