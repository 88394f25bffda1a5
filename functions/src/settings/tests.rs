use super::*;

fn from(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::from_variables(|name| {
        variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.to_string())
    })
}

#[test]
fn a_part_of_a_processor_is_one_thread_and_never_are_there_more_than_processors() {
    let there = std::thread::available_parallelism().unwrap().get();
    let threads = |memory: &str| from(&[(MEMORY, memory)]).unwrap().tuning.threads.get();
    assert_eq!(["128", "512", "1768", "1769", "3537", "", "much"].map(threads), [1; 7]);
    assert_eq!([threads("3538"), threads("10240")], [2.min(there), 5.min(there)]);
}

#[test]
fn unset_and_empty_are_the_defaults() {
    let defaults = Settings {
        model: ModelSource::Builtin,
        shadow: None,
        mutes: None,
        holidays: None,
        selection: Selection::default(),
        tuning: Tuning::default(),
        m_of_n: MOfN::default(),
        pages_per_week: Some(2.0),
        group_by: None,
        targets: Targets::Instances,
        reporting_stopped: false,
        event_bus: None,
        topic: None,
        chat_topic: None,
        messages: Messages { began: true, ended: false, chat: false },
        digest: None,
        zone: jiff::tz::TimeZone::UTC,
        deployment: "deepguard".into(),
        region: String::new(),
        function: String::new(),
        state: None,
        mode: Mode::Sparse { from: 0.8 },
        bands: BandMode::Episodes,
        rates: Rates { calls: 25.0, datapoints: 180_000.0 },
        namespace: "DeepGuard".into(),
        lookback_minutes: 180,
        settle: 120,
        log_level: Level::INFO,
    };
    assert_eq!(from(&[]).unwrap(), defaults);
    assert_eq!(from(&VARIABLES.map(|variable| (variable.name, ""))).unwrap(), defaults);
    assert_eq!(
        from(&VARIABLES.map(|variable| (variable.name, variable.default))).unwrap(),
        defaults
    );
}

#[test]
fn values_that_are_right() {
    for (name, value) in [
        ("MODEL_URI", "s3://my-models/models/current"),
        ("MODEL_URI", "s3://my-models/models/2026-01-01-abc.safetensors"),
        ("NAMESPACE", "team.one/cpu_watch#2:a-b"),
        ("PAGES_PER_WEEK", "0.1"),
        ("PAGES_PER_WEEK", "off"),
        ("GROUP_BY", "aws:autoscaling:groupName"),
        ("GROUP_BY", "team name"),
        ("WATCH", "groups"),
        ("WATCH", "both"),
        ("SETTLE_MINUTES", "0"),
        ("SETTLE_MINUTES", "2.5"),
        ("DEPLOYMENT", "deepguard-2"),
        ("LOOKBACK_MINUTES", "5"),
        ("LOOKBACK_MINUTES", "175"),
        ("STATE_URI", "s3://my-models/state"),
        ("STATE_URI", "s3://my-models/state/"),
        ("PUBLISH_MODE", "full"),
        ("PUBLISH_FROM", "0"),
        ("BAND_MODE", "always"),
        ("BAND_MODE", "off"),
        ("PUBLISH_FROM", "1.0"),
        ("READ_CALLS_PER_SECOND", "2.5"),
        ("READ_DATAPOINTS_PER_SECOND", "90000"),
        ("LOG_LEVEL", "DEBUG"),
        ("SHADOW_URI", "s3://my-models/models/shadow"),
        ("MUTES_URI", "s3://my-models/settings/mutes.json"),
        ("MUTES_URI", "s3://my-models/settings/team.ics"),
        ("HOLIDAYS_URI", "s3://my-models/settings/holidays.ics"),
        ("INCLUDE_TAGS", "env=prod,team=web|api"),
        ("EXCLUDE_TAGS", "aws:autoscaling:groupName"),
        ("MIN_DEVIATION", "2.5"),
        ("DIRECTION", "up"),
        ("M_OF_N", "2 of 3"),
        ("PAGES_PER_INSTANCE_WEEK", "0.25"),
        ("REPORTING_STOPPED", "on"),
        ("EVENT_BUS", "default"),
        ("TOPIC", "arn:aws:sns:eu-central-1:111122223333:deepguard-AlarmTopic-1A2B3C"),
        ("TOPIC", "arn:aws-us-gov:sns:us-gov-west-1:111122223333:pager_1"),
        ("CHAT_TOPIC", "arn:aws:sns:eu-central-1:111122223333:team-chat"),
        ("NOTIFY", "alarm"),
        ("NOTIFY_RECOVERY", "on"),
        ("TIME_ZONE", "Europe/Berlin"),
        ("DIGEST", "08:00"),
        ("MODEL_PUBLIC_KEY", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
        ("EVENT_BUS", "arn:aws:events:us-east-1:123456789012:event-bus/ops"),
        ("LOG_LEVEL", "error"),
    ] {
        let settings =
            from(&[(name, value)]).unwrap_or_else(|error| panic!("{name}={value}: {error}"));
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
        ("SETTLE_MINUTES", "-1"),
        ("SETTLE_MINUTES", "31"),
        ("DEPLOYMENT", "deep guard"),
        ("LOOKBACK_MINUTES", "0"),
        ("LOOKBACK_MINUTES", "-30"),
        ("LOOKBACK_MINUTES", "7"),
        ("LOOKBACK_MINUTES", "185"),
        ("LOOKBACK_MINUTES", "30.0"),
        ("LOOKBACK_MINUTES", "thirty"),
        ("STATE_URI", "s3://my-models"),
        ("STATE_URI", "state"),
        ("STATE_URI", "/"),
        ("PUBLISH_MODE", "Sparse"),
        ("PUBLISH_MODE", "none"),
        ("PUBLISH_FROM", "1.1"),
        ("BAND_MODE", "on"),
        ("PUBLISH_FROM", "-0.1"),
        ("PUBLISH_FROM", "NaN"),
        ("READ_CALLS_PER_SECOND", "0"),
        ("READ_CALLS_PER_SECOND", "501"),
        ("READ_DATAPOINTS_PER_SECOND", "inf"),
        ("LOG_LEVEL", "loud"),
        ("SHADOW_URI", "models/shadow"),
        ("MUTES_URI", "s3://my-models/settings/mutes.yaml"),
        ("MUTES_URI", "mutes.json"),
        ("HOLIDAYS_URI", "s3://my-models/settings/holidays.json"),
        ("INCLUDE_TAGS", "=prod"),
        ("EXCLUDE_TAGS", "env=a,env=b"),
        ("MIN_DEVIATION", "-1"),
        ("DIRECTION", "Up"),
        ("M_OF_N", "3 of 2"),
        ("M_OF_N", "2/3"),
        ("M_OF_N", "1 of 25"),
        ("PAGES_PER_INSTANCE_WEEK", "0"),
        ("PAGES_PER_WEEK", "0"),
        ("PAGES_PER_WEEK", "on"),
        ("GROUP_BY", "team=web"),
        ("WATCH", "group"),
        ("REPORTING_STOPPED", "true"),
        ("EVENT_BUS", "my bus"),
        ("DIGEST", "24:00"),
        ("DIGEST", "8"),
        ("DIGEST", "08:00:00"),
        ("DIGEST_QUIET", "yes"),
        ("CHAT_TOPIC", "arn:aws:sqs:eu-central-1:111122223333:team-chat"),
        ("CHAT_TOPIC", "team-chat"),
        ("LOG_LEVEL", "functions=debug"),
    ] {
        let error = from(&[(name, value)]).expect_err(value);
        assert_eq!(
            error.wrong().iter().map(|wrong| wrong.variable.name).collect::<Vec<_>>(),
            [name],
            "{value}"
        );
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn all_wrong_values_are_told_at_once() {
    let error = from(&VARIABLES.map(|variable| (variable.name, "|"))).unwrap_err();
    assert_eq!(error.wrong().len(), VARIABLES.len());
    VARIABLES.iter().for_each(|variable| assert!(error.to_string().contains(variable.name)));
}

#[test]
fn a_long_value_is_not_repeated_whole() {
    let error = from(&[("LOG_LEVEL", &"x".repeat(100_000))]).unwrap_err();
    assert!(error.to_string().len() < 1000);
}
