//! PutMetricData.

use std::collections::BTreeMap;

use aws_smithy_cbor::Encoder;

use crate::Shared;
use crate::answer::Answer;
use crate::cbor::{Datum, PutRequest};
use crate::cloudwatch::{answer, error, refused};

const LARGEST: f64 = f64::from_bits((1023 + 360) << 52);
const PAST: i64 = 14 * 86_400;
const AHEAD: i64 = 2 * 3600;
const NAMESPACE_LENGTH: usize = 255;
const VALUES_PER_DATUM: usize = 150;

/// The identity of a published value. Ordered by metric, then by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The namespace, such as `DeepGuard`.
    pub namespace: String,
    /// The name of the metric.
    pub metric: String,
    /// Names and values, sorted.
    pub dimensions: Vec<(String, String)>,
    /// Seconds since 1970.
    pub time: i64,
}

impl Stamp {
    /// The value of a dimension.
    pub fn dimension(&self, name: &str) -> Option<&str> {
        self.dimensions
            .iter()
            .find(|dimension| dimension.0 == name)
            .map(|dimension| dimension.1.as_str())
    }
}

/// Every value that was taken, in order of arrival; one that came twice is there twice.
pub type Published = BTreeMap<Stamp, Vec<f64>>;

pub(crate) fn put(
    shared: &Shared,
    request: &PutRequest,
    bytes: usize,
    now: i64,
) -> Result<Answer, Answer> {
    let limits = &shared.limits;
    if bytes > limits.bytes_per_put {
        return Err(error(413, "RequestEntityTooLarge", "The request is larger than 1 MB."));
    }
    let namespace = &request.namespace;
    if namespace.is_empty() || namespace.len() > NAMESPACE_LENGTH || namespace.starts_with("AWS/") {
        let message = format!("The value {namespace} for parameter Namespace is invalid.");
        return Err(refused("InvalidParameterValue", message));
    }
    if request.datums.len() > limits.datums_per_put {
        let message = format!(
            "The collection MetricData must not have a size greater than {}.",
            limits.datums_per_put
        );
        return Err(refused("InvalidParameterValue", message));
    }
    // All of them before any is taken: a call is taken as a whole or not at all.
    let mut taken = Vec::with_capacity(request.datums.len());
    for (index, datum) in request.datums.iter().enumerate() {
        let values = values(datum, index + 1, limits.dimensions, now)?;
        let mut dimensions = datum.dimensions.clone();
        dimensions.sort();
        let time = datum.time.map_or(now, |time| time as i64);
        let stamp =
            Stamp { namespace: namespace.clone(), metric: datum.metric.clone(), dimensions, time };
        taken.push((stamp, values));
    }
    let mut published = shared.published.lock().unwrap();
    for (stamp, values) in taken {
        published.entry(stamp).or_default().extend(values);
    }
    let mut encoder = Encoder::new(Vec::new());
    encoder.map(0);
    Ok(answer(encoder.into_writer()))
}

/// The values of a datum that keeps to the limits.
fn values(
    datum: &Datum,
    member: usize,
    most_dimensions: usize,
    now: i64,
) -> Result<Vec<f64>, Answer> {
    let of = |what: &str| format!("MetricData.member.{member}.{what}");
    let invalid = |what: &str, why: &str| {
        refused(
            "InvalidParameterValue",
            format!("The value for parameter {} is invalid: {why}", of(what)),
        )
    };
    if datum.metric.is_empty() || datum.metric.len() > 255 {
        return Err(invalid("MetricName", "1 to 255 characters are needed"));
    }
    if datum.dimensions.len() > most_dimensions {
        return Err(invalid("Dimensions", &format!("more than {most_dimensions} of them")));
    }
    if datum.dimensions.iter().any(|(name, value)| name.is_empty() || value.is_empty()) {
        return Err(invalid("Dimensions", "a name or value is empty"));
    }
    if datum.time.is_some_and(|time| time < (now - PAST) as f64) {
        return Err(invalid("Timestamp", "it is more than two weeks in the past"));
    }
    if datum.time.is_some_and(|time| time > (now + AHEAD) as f64) {
        return Err(invalid("Timestamp", "it is more than two hours in the future"));
    }
    if datum.statistics {
        return Err(invalid("StatisticValues", "they are not played here"));
    }
    let values = match (datum.value, &datum.values[..]) {
        (Some(_), [_, ..]) => {
            let message = format!("{} and {} are mutually exclusive.", of("Value"), of("Values"));
            return Err(refused("InvalidParameterCombination", message));
        }
        (None, []) => {
            let message =
                format!("At least one of {} and {} must be specified.", of("Value"), of("Values"));
            return Err(refused("InvalidParameterCombination", message));
        }
        (Some(value), []) => vec![value],
        (None, values) if values.len() > VALUES_PER_DATUM => {
            return Err(invalid("Values", "more than 150 of them"));
        }
        (None, values) if !datum.counts.is_empty() && datum.counts.len() != values.len() => {
            return Err(invalid("Counts", "not as many of them as of Values"));
        }
        (None, values) => values.to_vec(),
    };
    match values.iter().find(|value| value.is_nan() || value.abs() > LARGEST) {
        Some(value) => Err(invalid("Value", &value.to_string())),
        None => Ok(values),
    }
}
