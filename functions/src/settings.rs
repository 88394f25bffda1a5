//! The settings, read from the environment once.

mod variables;

use std::fmt;
use std::num::NonZeroUsize;

use deepguard::Sensitivity;
use deepguard::episode::MOfN;
use deepguard::score::Direction;
use deepguard_aws::clocks::clocks;
use deepguard_aws::cloudwatch::limits;
use deepguard_aws::cloudwatch::pace::Rates;
use deepguard_aws::holidays::HolidayCalendar;
use deepguard_aws::ids::{ObjectUri, Targets};
use deepguard_aws::mute::Mutes;
use deepguard_aws::settings_file::Content;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use tracing::Level;

pub use variables::{VARIABLES, Variable};

use self::variables::*;
use crate::alert::digest::Daily;
use crate::alert::pending::Messages;
use crate::model::{ModelSource, Tuning};
use crate::state::band::BandMode;
use crate::state::tally::Mode;
use crate::watched::roster::Selection;

/// The operator's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where the model comes from.
    pub model: ModelSource,
    /// Where a second model comes from that scores beside it, if there is one.
    pub shadow: Option<ObjectUri>,
    /// The file that says which instances are muted, and when.
    pub mutes: Option<ObjectUri>,
    /// The calendar of holidays.
    pub holidays: Option<ObjectUri>,
    /// Which instances are watched.
    pub selection: Selection,
    /// How every model is used.
    pub tuning: Tuning,
    /// How many of the newest datapoints have to be unusual before an alert is sent.
    pub m_of_n: MOfN,
    /// False pages a week that are acceptable, of the whole deployment; `None`: each anomaly
    /// pages.
    pub pages_per_week: Option<f64>,
    /// The tag whose value is an instance's group.
    pub group_by: Option<String>,
    /// Whether instances are watched, or Auto Scaling groups, or both.
    pub targets: Targets,
    /// Whether it is an anomaly when an instance stops reporting.
    pub reporting_stopped: bool,
    /// The bus that gets events.
    pub event_bus: Option<String>,
    /// The ARN of the topic that gets messages.
    pub topic: Option<String>,
    /// The ARN of the topic that a chat client reads.
    pub chat_topic: Option<String>,
    /// Which alerts are messages, if there is a topic.
    pub messages: Messages,
    /// When a digest is made.
    pub digest: Option<Daily>,
    /// The time zone of the times in messages: see [`Tuning::clocks`] for that of learning.
    pub zone: TimeZone,
    /// The name of the deployment.
    pub deployment: String,
    /// The Region that the function runs in; empty where it is unknown.
    pub region: String,
    /// The name of the function; empty where it is unknown.
    pub function: String,
    /// The address below which all state between runs is stored.
    pub state: Option<ObjectUri>,
    /// Which scores of an instance are published.
    pub mode: Mode,
    /// When the band of an instance is published.
    pub bands: BandMode,
    /// The rates of calls to CloudWatch, for all shards together.
    pub rates: Rates,
    /// The CloudWatch namespace of the metrics.
    pub namespace: String,
    /// Minutes that the first scores of an instance go back.
    pub lookback_minutes: i64,
    /// Seconds after its end at which a slot is settled and may be scored.
    pub settle: i64,
    /// The least severe level that is logged.
    pub log_level: Level,
}

/// Lambda's own variable: the Region.
const REGION: &str = "AWS_REGION";
const FUNCTION: &str = "AWS_LAMBDA_FUNCTION_NAME";
/// Lambda's own variable: the memory of the function in MB, by which it gives processors.
const MEMORY: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
/// Memory in MB with which a function has one whole processor (AWS Lambda, "Configure Lambda
/// function memory"). With less, it sees two processors, and gets a part of the time of one.
const MEMORY_OF_A_PROCESSOR: usize = 1769;

/// Variables whose values cannot be used: all of them, so that one deployment mends all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError(Vec<WrongValue>);

/// One variable whose value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongValue {
    /// The variable.
    pub variable: Variable,
    /// The value that was set.
    pub value: String,
}

impl SettingsError {
    /// The errors, in the order of [`VARIABLES`].
    pub fn wrong(&self) -> &[WrongValue] {
        &self.0
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the function's environment cannot be used")?;
        for WrongValue { variable, value } in &self.0 {
            let shown: String = value.chars().take(100).collect();
            write!(formatter, "; {} is {shown:?}, it must be {}", variable.name, variable.values)?;
        }
        formatter.write_str(". Correct it and deploy again")
    }
}

impl Settings {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// [`SettingsError`] names every variable that cannot be used.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_variables(|name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })
    }

    /// Reads the value that `get` gives for each name in [`VARIABLES`]. Empty is the same as unset:
    /// a template passes an empty parameter on as an empty value.
    ///
    /// # Errors
    /// [`SettingsError`] names every variable that cannot be used.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut wrong = Vec::new();
        let settings = {
            let threads = threads(get(MEMORY).as_deref());
            let region = get(REGION).unwrap_or_default();
            let function = get(FUNCTION).unwrap_or_default();
            let mut read = VariableReader { get, wrong: &mut wrong };
            let model = read.variable(MODEL_URI, model_source);
            let signer = read.variable(MODEL_PUBLIC_KEY, |value| match value {
                "" => Some(None),
                key => key.parse().ok().map(Some),
            });
            let shadow = read.variable(SHADOW_URI, |value| match value {
                "" => Some(None),
                uri => uri.parse().ok().map(Some),
            });
            let mutes = read.variable(MUTES_URI, file_uri::<Mutes>);
            let holidays = read.variable(HOLIDAYS_URI, file_uri::<HolidayCalendar>);
            let min_deviation = read.variable(MIN_DEVIATION, |value| number(value, 0.0, 100.0));
            let direction = read.variable(DIRECTION, |value| match value {
                "up" => Some(Direction::Up),
                "down" => Some(Direction::Down),
                "both" => Some(Direction::Both),
                _ => None,
            });
            let m_of_n = read.variable(M_OF_N, m_of_n);
            let pages = read.variable(PAGES_PER_INSTANCE_WEEK, |value| match value {
                "" => Some(None),
                pages => number(pages, 0.02, 10.0).map(Some),
            });
            let pages_per_week = read.variable(PAGES_PER_WEEK, |value| match value {
                "off" => Some(None),
                pages => number(pages, 0.1, 1000.0).map(Some),
            });
            let group_by = read.variable(GROUP_BY, group_by);
            let targets = read.variable(WATCH, |value| match value {
                "instances" => Some(Targets::Instances),
                "groups" => Some(Targets::Groups),
                "both" => Some(Targets::Both),
                _ => None,
            });
            let reporting_stopped = read.variable(REPORTING_STOPPED, on_or_off);
            let include = read.variable(INCLUDE_TAGS, |value| value.parse().ok());
            let exclude = read.variable(EXCLUDE_TAGS, |value| value.parse().ok());
            let event_bus = read.variable(EVENT_BUS, event_bus);
            let topic = read.variable(TOPIC, topic_arn);
            let chat_topic = read.variable(CHAT_TOPIC, topic_arn);
            let began = read.variable(NOTIFY, |value| match value {
                "events" | "both" => Some(true),
                "alarm" => Some(false),
                _ => None,
            });
            let ended = read.variable(NOTIFY_RECOVERY, on_or_off);
            let digest = read.variable(DIGEST, |value| match value {
                "off" => Some(None),
                time if time.len() == 5 => time.parse::<Time>().ok().map(Some),
                _ => None,
            });
            let quiet = read.variable(DIGEST_QUIET, on_or_off);
            let zone = read.variable(TIME_ZONE, |value| TimeZone::get(value).ok());
            let deployment = read.variable(DEPLOYMENT, deployment);
            let state = read.variable(STATE_URI, state_uri);
            let namespace = read.variable(NAMESPACE, namespace);
            let full = read.variable(PUBLISH_MODE, |value| match value {
                "full" => Some(true),
                "sparse" => Some(false),
                _ => None,
            });
            let from = read.variable(PUBLISH_FROM, |value| number(value, 0.0, 1.0));
            let bands = read.variable(BAND_MODE, |value| match value {
                "episodes" => Some(BandMode::Episodes),
                "always" => Some(BandMode::Always),
                "off" => Some(BandMode::Off),
                _ => None,
            });
            let lookback_minutes = read.variable(LOOKBACK_MINUTES, lookback_minutes);
            let settle = read.variable(SETTLE_MINUTES, |value| number(value, 0.0, 30.0));
            let calls = read.variable(READ_CALLS_PER_SECOND, |value| number(value, 1.0, 500.0));
            let datapoints =
                read.variable(READ_DATAPOINTS_PER_SECOND, |value| number(value, 1e3, 1e7));
            let log_level =
                read.variable(LOG_LEVEL, |value| value.to_ascii_lowercase().parse().ok());
            (|| {
                Some(Self {
                    model: model?,
                    shadow: shadow?,
                    mutes: mutes?,
                    holidays: holidays?,
                    selection: Selection { include: include?, exclude: exclude? },
                    tuning: Tuning {
                        threads,
                        sensitivity: Sensitivity {
                            min_deviation: min_deviation?,
                            direction: direction?,
                        },
                        pages: pages?,
                        signer: signer?,
                        clocks: clocks(zone.as_ref()?),
                    },
                    m_of_n: m_of_n?,
                    pages_per_week: pages_per_week?,
                    group_by: group_by?,
                    targets: targets?,
                    reporting_stopped: reporting_stopped?,
                    event_bus: event_bus?,
                    messages: Messages { began: began?, ended: ended?, chat: false },
                    topic: topic?,
                    digest: {
                        let quiet = quiet?;
                        digest?.map(|at| Daily { at, quiet })
                    },
                    chat_topic: chat_topic?,
                    zone: zone?,
                    deployment: deployment?,
                    region,
                    function,
                    state: state?,
                    mode: if full? { Mode::Full } else { Mode::Sparse { from: from? } },
                    bands: bands?,
                    rates: Rates { calls: calls?, datapoints: datapoints? },
                    namespace: namespace?,
                    lookback_minutes: lookback_minutes?,
                    settle: (settle? * 60.0).round() as i64,
                    log_level: log_level?,
                })
            })()
        };
        settings.ok_or(SettingsError(wrong))
    }
}

impl Settings {
    /// Which alerts are messages, by the topics that there are.
    pub fn sent(&self) -> Messages {
        let messages = self.topic.as_ref().map(|_| self.messages).unwrap_or_default();
        Messages { chat: self.chat_topic.is_some(), ..messages }
    }
}

/// Reads variables and remembers those that cannot be used.
struct VariableReader<'a, G> {
    get: G,
    wrong: &'a mut Vec<WrongValue>,
}

impl<G: Fn(&str) -> Option<String>> VariableReader<'_, G> {
    fn variable<T>(&mut self, variable: Variable, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let value = (self.get)(variable.name).filter(|value| !value.is_empty());
        let value = value.unwrap_or_else(|| variable.default.into());
        let parsed = parse(&value);
        if parsed.is_none() {
            self.wrong.push(WrongValue { variable, value });
        }
        parsed
    }
}

/// The number of whole processors, or one where the memory is unknown.
fn threads(memory: Option<&str>) -> NonZeroUsize {
    let given =
        memory.and_then(|memory| memory.parse::<usize>().ok()).unwrap_or(0) / MEMORY_OF_A_PROCESSOR;
    let there = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    NonZeroUsize::new(given).unwrap_or(NonZeroUsize::MIN).min(there)
}

fn model_source(value: &str) -> Option<ModelSource> {
    match value {
        "" => Some(ModelSource::Builtin),
        uri => uri.parse().ok().map(ModelSource::Object),
    }
}

fn file_uri<T: Content>(value: &str) -> Option<Option<ObjectUri>> {
    let is_read = T::ENDINGS.iter().any(|ending| value.ends_with(ending));
    match value {
        "" => Some(None),
        uri => uri.parse().ok().filter(|_| is_read).map(Some),
    }
}

fn m_of_n(value: &str) -> Option<MOfN> {
    let (m, n) = value.split_once(" of ")?;
    MOfN::new(m.parse().ok()?, n.parse().ok()?)
}

fn group_by(value: &str) -> Option<Option<String>> {
    let length = value.chars().count();
    let is_key = |c: char| !c.is_control() && !",=|".contains(c);
    (length <= 128 && value.chars().all(is_key))
        .then(|| Some(value.to_string()).filter(|key| !key.is_empty()))
}

fn event_bus(value: &str) -> Option<Option<String>> {
    // A name, or an ARN. (PutEventsRequestEntry, EventBusName)
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte);
    let valid = value.len() <= 1600 && value.bytes().all(allowed);
    valid.then(|| Some(value.to_string()).filter(|name| !name.is_empty()))
}

fn topic_arn(value: &str) -> Option<Option<String>> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
    let is_arn = value.starts_with("arn:aws")
        && value.split(':').nth(2) == Some("sns")
        && value.split(':').count() == 6
        && value.bytes().all(allowed);
    (value.is_empty() || is_arn).then(|| Some(value.to_string()).filter(|topic| !topic.is_empty()))
}

fn on_or_off(value: &str) -> Option<bool> {
    match value {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

fn state_uri(value: &str) -> Option<Option<ObjectUri>> {
    match value.trim_end_matches('/') {
        "" => value.is_empty().then_some(None),
        // Stored data have keys of their own below it.
        uri if uri.len() <= 512 => uri.parse().ok().map(Some),
        _ => None,
    }
}

fn number(value: &str, least: f64, most: f64) -> Option<f64> {
    value.parse().ok().filter(|number| (least..=most).contains(number))
}

fn namespace(value: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._/#:-".contains(&byte);
    // AWS reserves names that begin with `AWS/`, and CloudWatch refuses a leading colon.
    let valid = value.len() <= limits::NAMESPACE_LENGTH
        && value.bytes().all(allowed)
        && !value.starts_with("AWS/")
        && !value.starts_with(':');
    valid.then(|| value.into())
}

fn deployment(value: &str) -> Option<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let fits = (1..=128).contains(&value.len()) && value.chars().all(is_name);
    fits.then(|| value.into())
}

fn lookback_minutes(value: &str) -> Option<i64> {
    value.parse().ok().filter(|minutes| (5..=180).contains(minutes) && minutes % 5 == 0)
}

#[cfg(test)]
mod tests;
