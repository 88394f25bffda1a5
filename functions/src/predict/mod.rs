//! The old API: a client sends a sequence of CPU values, and learns whether it is an anomaly.
//!
//! It is invoked directly with `{"sequence": [...]}`, or by a function URL (payload version 2.0):
//! `POST /predict` with the same as its body, and `GET /health`.

use std::str::Utf8Error;

use aws_smithy_types::base64;
use deepguard::Detector;
use deepguard::judge::{JudgeError, Judged};
use deepguard_aws::ports::Objects;
use jiff::Timestamp;
use lambda_runtime::Diagnostic;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::model::{Current, ModelError, Models};
use crate::settings::Settings;

/// The field that holds the values.
const SEQUENCE: &str = "sequence";
/// The number of anomalous sequences, under the old service's name.
pub const ANOMALIES: &str = "deepguard_anomalies_total";
/// The distance of each sequence from the expected values, under the old service's name.
pub const ERRORS: &str = "deepguard_reconstruction_error";

/// A question that cannot be answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PredictError {
    /// It cannot be read.
    #[error("{0}: send JSON such as {{\"sequence\": [12.5, 13.0, ...]}}")]
    Shape(String),
    /// A value that is not CPU in percent.
    #[error(
        "`sequence` holds at {index} (counted from 0) {value}, which is no number: give percent of \
         CPU, 0 to 100"
    )]
    Number {
        /// Its index in `sequence`, counted from 0.
        index: usize,
        /// The value as JSON, or its beginning.
        value: String,
    },
    /// It cannot be judged.
    #[error("`sequence` cannot be judged: {0}")]
    Sequence(#[from] JudgeError),
    /// No model can be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl PredictError {
    /// The field that is wrong.
    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Number { .. } | Self::Sequence(_) => Some(SEQUENCE),
            Self::Shape(_) | Self::Model(_) => None,
        }
    }

    fn status(&self) -> u16 {
        if matches!(self, Self::Model(_)) { 503 } else { 400 }
    }

    fn body(&self) -> Value {
        json!({ "error": self.to_string(), "field": self.field() })
    }
}

impl From<PredictError> for Diagnostic {
    fn from(error: PredictError) -> Self {
        let error_type =
            if matches!(error, PredictError::Model(_)) { "ModelError" } else { "InputError" };
        Self { error_type: error_type.into(), error_message: error.to_string() }
    }
}

/// An answer for the client, and metrics for the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The answer for the client.
    pub body: Value,
    /// Metrics for the log, in the embedded metric format.
    pub metrics: Option<Value>,
}

/// Answers questions with the current model.
#[derive(Debug)]
pub struct Prediction<O> {
    models: Models<O>,
    namespace: String,
}

impl<O: Objects> Prediction<O> {
    /// Nothing loaded yet.
    pub fn new(settings: Settings, objects: O) -> Self {
        let models = Models::new(settings.model, objects, settings.tuning.only_threads());
        Self { models, namespace: settings.namespace }
    }

    /// Answers an event.
    ///
    /// # Errors
    /// [`PredictError`] where the event was sent directly. A client of the URL gets the error as an
    /// answer.
    pub async fn answer(
        &mut self,
        event: &Value,
        now: Timestamp,
    ) -> Result<Answered, PredictError> {
        match Request::of(event) {
            None => {
                let judged = self.judge(event).await?;
                Ok(Answered {
                    metrics: Some(metrics(&self.namespace, &judged, now)),
                    body: self.told(judged),
                })
            }
            Some(request) => Ok(self.respond(&request, now).await),
        }
    }

    async fn respond(&mut self, request: &Request<'_>, now: Timestamp) -> Answered {
        let quiet = |body| Answered { body, metrics: None };
        let wrong = |error: PredictError| quiet(response(error.status(), &error.body(), None));
        match (request.path.trim_end_matches('/'), request.method) {
            ("/predict", "POST") => {
                let asked = request.body();
                let judged = match asked {
                    Ok(body) => self.judge(&body).await,
                    Err(error) => Err(error),
                };
                match judged {
                    Ok(judged) => Answered {
                        metrics: Some(metrics(&self.namespace, &judged, now)),
                        body: response(200, &self.told(judged), None),
                    },
                    Err(error) => wrong(error),
                }
            }
            ("/health", "GET") => match self.models.current().await {
                Ok(Current { detector, stale }) => {
                    let stale = stale.map(|error| error.to_string());
                    let model = self.model(&detector);
                    quiet(response(
                        200,
                        &json!({ "status": "ok", "model": model, "stale": stale }),
                        None,
                    ))
                }
                Err(error) => quiet(response(
                    503,
                    &json!({ "status": "no model", "error": error.to_string() }),
                    None,
                )),
            },
            ("/predict", _) => quiet(refused(405, "send a POST to /predict", Some("POST"))),
            ("/health", _) => quiet(refused(405, "send a GET to /health", Some("GET"))),
            _ => quiet(refused(404, "there is POST /predict and GET /health", None)),
        }
    }

    /// The judgement of a question, with the model that made it.
    async fn judge(&mut self, question: &Value) -> Result<(Judged, Value), PredictError> {
        let sequence = sequence(question)?;
        let detector = self.models.current().await?.detector;
        Ok((detector.judge_sequence(&sequence)?, self.model(&detector)))
    }

    fn model(&self, detector: &Detector) -> Value {
        json!({
            "version": detector.artifact().version(),
            "source": self.models.source().to_string(),
        })
    }

    fn told(&self, (judged, model): (Judged, Value)) -> Value {
        json!({
            "reconstruction_error": judged.reconstruction_error,
            "threshold": judged.threshold,
            "is_anomaly": judged.is_anomaly,
            "score": judged.score,
            "channel": judged.channel,
            "at": judged.at,
            "expected": judged.expected,
            "model": model,
        })
    }
}

/// A request to the function's URL.
struct Request<'a> {
    method: &'a str,
    path: &'a str,
    body: &'a str,
    is_base64: bool,
}

impl<'a> Request<'a> {
    /// `None`: the event is not such a request.
    fn of(event: &'a Value) -> Option<Self> {
        let text = |field: &str| event.get(field).and_then(Value::as_str);
        let method = event.get("requestContext")?.get("http")?.get("method")?.as_str()?;
        let is_base64 = event.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or_default();
        Some(Self {
            method,
            path: text("rawPath").unwrap_or("/"),
            body: text("body").unwrap_or_default(),
            is_base64,
        })
    }

    fn body(&self) -> Result<Value, PredictError> {
        let shape = |why: String| PredictError::Shape(format!("the body is {why}"));
        let bytes = match self.is_base64 {
            true => {
                base64::decode(self.body).map_err(|error| shape(format!("no Base64 ({error})")))?
            }
            false => self.body.as_bytes().to_vec(),
        };
        let text = std::str::from_utf8(&bytes)
            .map_err(|error: Utf8Error| shape(format!("no text ({error})")))?;
        if text.trim().is_empty() {
            return Err(shape("empty".into()));
        }
        serde_json::from_str(text).map_err(|error| shape(format!("no JSON ({error})")))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    sequence: Vec<Value>,
}

/// The values of a question.
fn sequence(question: &Value) -> Result<Vec<f64>, PredictError> {
    if !question.is_object() {
        return Err(PredictError::Shape("it is no JSON object".into()));
    }
    let question =
        Question::deserialize(question).map_err(|error| PredictError::Shape(error.to_string()))?;
    let number = |(index, value): (usize, &Value)| {
        let shown = || value.to_string().chars().take(40).collect();
        value.as_f64().ok_or_else(|| PredictError::Number { index, value: shown() })
    };
    question.sequence.iter().enumerate().map(number).collect()
}

/// An answer to HTTP.
fn response(status: u16, body: &Value, allow: Option<&str>) -> Value {
    let mut headers = Map::from_iter([("content-type".to_owned(), json!("application/json"))]);
    headers.extend(allow.map(|allow| ("allow".to_owned(), json!(allow))));
    json!({
        "statusCode": status,
        "headers": headers,
        "body": body.to_string(),
        "isBase64Encoded": false,
    })
}

fn refused(status: u16, why: &str, allow: Option<&str>) -> Value {
    response(status, &json!({ "error": why, "field": null }), allow)
}

/// A line of the log that CloudWatch turns into metrics (embedded metric format).
fn metrics(namespace: &str, (judged, _): &(Judged, Value), now: Timestamp) -> Value {
    json!({
        "_aws": {
            "Timestamp": now.as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": namespace,
                "Dimensions": [[]],
                "Metrics": [
                    { "Name": ANOMALIES, "Unit": "Count" },
                    { "Name": ERRORS, "Unit": "None" },
                ],
            }],
        },
        ANOMALIES: u8::from(judged.is_anomaly),
        ERRORS: judged.reconstruction_error,
        "score": judged.score,
    })
}

#[cfg(test)]
mod tests;
