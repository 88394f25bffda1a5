//! The settings, read from the environment once.

use std::fmt;

use tracing::Level;

use crate::cloudwatch::limits;
use crate::model::ModelSource;

/// An environment variable that the detector reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds where it is unset or empty.
    pub default: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// Which values it may have, in the words that follow "must be".
    pub values: &'static str,
}

const MODEL_URI: Variable = Variable {
    name: "MODEL_URI",
    default: "",
    meaning: "the model in S3; empty: the one compiled into the function",
    values: "empty, or s3://bucket/key of a pointer (such as models/current) or of a .safetensors artifact",
};
const NAMESPACE: Variable = Variable {
    name: "NAMESPACE",
    default: "DeepGuard",
    meaning: "the CloudWatch namespace of the metrics",
    values: "1 to 255 letters, digits or . _ / # : - and not begin with AWS/ or a colon",
};
const LOOKBACK_MINUTES: Variable = Variable {
    name: "LOOKBACK_MINUTES",
    default: "30",
    meaning: "each run scores the datapoints of this last stretch",
    values: "5 to 180, in steps of 5",
};
const LOG_LEVEL: Variable = Variable {
    name: "LOG_LEVEL",
    default: "info",
    meaning: "the least severe level that is logged",
    values: "error, warn, info, debug or trace",
};

/// Every variable there is.
pub const VARIABLES: [Variable; 4] = [MODEL_URI, NAMESPACE, LOOKBACK_MINUTES, LOG_LEVEL];

/// What the operator has decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the model comes from.
    pub model: ModelSource,
    /// The CloudWatch namespace of the metrics.
    pub namespace: String,
    /// Minutes of datapoints that each run scores.
    pub lookback_minutes: i64,
    /// The least severe level that is logged.
    pub log_level: Level,
}

/// Variables whose values cannot be used: all of them, so that one deployment mends all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError(Vec<WrongValue>);

/// One variable whose value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongValue {
    /// The variable.
    pub variable: Variable,
    /// What it was set to.
    pub value: String,
}

impl SettingsError {
    /// What is wrong, in the order of [`VARIABLES`].
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
    /// From the environment of the process.
    ///
    /// # Errors
    /// [`SettingsError`] names every variable that cannot be used.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_variables(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// From what `get` gives for each name in [`VARIABLES`]. Empty is the same as unset: a template
    /// passes an empty parameter on as an empty value.
    ///
    /// # Errors
    /// [`SettingsError`] names every variable that cannot be used.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut wrong = Vec::new();
        let settings = {
            let mut read = Reader { get, wrong: &mut wrong };
            let model = read.variable(MODEL_URI, model_source);
            let namespace = read.variable(NAMESPACE, namespace);
            let lookback_minutes = read.variable(LOOKBACK_MINUTES, lookback_minutes);
            let log_level = read.variable(LOG_LEVEL, |value| value.to_ascii_lowercase().parse().ok());
            (|| {
                Some(Self {
                    model: model?,
                    namespace: namespace?,
                    lookback_minutes: lookback_minutes?,
                    log_level: log_level?,
                })
            })()
        };
        settings.ok_or(SettingsError(wrong))
    }
}

/// Reads variables and remembers those that cannot be used.
struct Reader<'a, G> {
    get: G,
    wrong: &'a mut Vec<WrongValue>,
}

impl<G: Fn(&str) -> Option<String>> Reader<'_, G> {
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

fn model_source(value: &str) -> Option<ModelSource> {
    match value {
        "" => Some(ModelSource::Builtin),
        uri => uri.parse().ok().map(ModelSource::Object),
    }
}

fn namespace(value: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._/#:-".contains(&byte);
    // AWS keeps what begins with `AWS/` for itself, and CloudWatch refuses a leading colon.
    let valid = value.len() <= limits::NAMESPACE_LENGTH
        && value.bytes().all(allowed)
        && !value.starts_with("AWS/")
        && !value.starts_with(':');
    valid.then(|| value.into())
}

fn lookback_minutes(value: &str) -> Option<i64> {
    value.parse().ok().filter(|minutes| (5..=180).contains(minutes) && minutes % 5 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_variables(|name| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn unset_and_empty_are_the_defaults() {
        let defaults = Settings {
            model: ModelSource::Builtin,
            namespace: "DeepGuard".into(),
            lookback_minutes: 30,
            log_level: Level::INFO,
        };
        assert_eq!(from(&[]).unwrap(), defaults);
        assert_eq!(from(&VARIABLES.map(|variable| (variable.name, ""))).unwrap(), defaults);
        assert_eq!(from(&VARIABLES.map(|variable| (variable.name, variable.default))).unwrap(), defaults);
    }

    #[test]
    fn values_that_are_right() {
        for (name, value) in [
            ("MODEL_URI", "s3://my-models/models/current"),
            ("MODEL_URI", "s3://my-models/models/2026-01-01-abc.safetensors"),
            ("NAMESPACE", "team.one/cpu_watch#2:a-b"),
            ("LOOKBACK_MINUTES", "5"),
            ("LOOKBACK_MINUTES", "180"),
            ("LOG_LEVEL", "DEBUG"),
            ("LOG_LEVEL", "error"),
        ] {
            let settings = from(&[(name, value)]).unwrap_or_else(|error| panic!("{name}={value}: {error}"));
            assert_ne!(settings, from(&[]).unwrap(), "{name}={value} changed nothing");
        }
    }

    #[test]
    fn values_that_are_wrong_name_their_variable() {
        let long = "n".repeat(256);
        for (name, value) in [
            ("MODEL_URI", "models/current"),
            ("MODEL_URI", "https://my-models.s3.amazonaws.com/models/current"),
            ("MODEL_URI", "s3://my-models"),
            ("MODEL_URI", " "),
            ("NAMESPACE", "AWS/EC2"),
            ("NAMESPACE", ":colon"),
            ("NAMESPACE", "two words"),
            ("NAMESPACE", "ümlaut"),
            ("NAMESPACE", &long),
            ("LOOKBACK_MINUTES", "0"),
            ("LOOKBACK_MINUTES", "-30"),
            ("LOOKBACK_MINUTES", "7"),
            ("LOOKBACK_MINUTES", "185"),
            ("LOOKBACK_MINUTES", "30.0"),
            ("LOOKBACK_MINUTES", "thirty"),
            ("LOG_LEVEL", "loud"),
            ("LOG_LEVEL", "functions=debug"),
        ] {
            let error = from(&[(name, value)]).expect_err(value);
            assert_eq!(error.wrong().iter().map(|wrong| wrong.variable.name).collect::<Vec<_>>(), [name], "{value}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn all_wrong_values_are_told_at_once() {
        let error = from(&VARIABLES.map(|variable| (variable.name, "?"))).unwrap_err();
        assert_eq!(error.wrong().len(), VARIABLES.len());
        VARIABLES.iter().for_each(|variable| assert!(error.to_string().contains(variable.name)));
    }

    #[test]
    fn a_long_value_is_not_repeated_whole() {
        let error = from(&[("LOG_LEVEL", &"x".repeat(100_000))]).unwrap_err();
        assert!(error.to_string().len() < 1000);
    }
}
