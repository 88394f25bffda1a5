//! Which alarm rings for which trouble, and how soon: the alarms of the template, evaluated on the
//! metrics that runs publish. docs/operations.md has the table.

use serde_json::json;

use super::tell::{Telling, plain};
use super::*;

const TEMPLATE: &str = include_str!("../../../../template.yaml");
const RUNBOOK: &str = include_str!("../../../../docs/operations.md");
/// The trouble begins with the fault of one instance, so that there is something to say.
const MINUTES: i64 = 60;
/// Periods that CloudWatch looks back for datapoints, beyond those that an alarm asks for.
/// (CloudWatch, "Configuring how alarms treat missing data": five for an alarm of three)
const RANGE: usize = 2;

/// An alarm on a metric of the fleet.
struct Alarm {
    metric: String,
    highest: bool,
    periods: usize,
    datapoints: usize,
    is_below: bool,
    threshold: f64,
    missing_breaches: bool,
}

impl Alarm {
    /// The alarm of this name in the template.
    fn of(name: &str) -> Self {
        let resource = TEMPLATE
            .split(&format!("AlarmName: !Sub ${{AWS::StackName}}-{name}\n"))
            .nth(1)
            .and_then(|rest| rest.split("\n\n").next())
            .unwrap_or_else(|| panic!("the template has no alarm {name}"));
        let property = |property: &str| {
            let line = resource.lines().find_map(|line| line.trim().strip_prefix(property));
            line.unwrap_or_else(|| panic!("{name} has no {property}")).trim()
        };
        assert_eq!(property("Namespace:"), "!Ref Namespace", "{name}");
        assert_eq!(property("Period:"), "300", "{name}");
        Self {
            metric: property("MetricName:").into(),
            highest: property("Statistic:") == "Maximum",
            periods: property("EvaluationPeriods:").parse().unwrap(),
            datapoints: property("DatapointsToAlarm:").parse().unwrap(),
            is_below: property("ComparisonOperator:") == "LessThanThreshold",
            threshold: property("Threshold:").parse().unwrap(),
            missing_breaches: property("TreatMissingData:") == "breaching",
        }
    }

    fn breaches(&self, value: f64) -> bool {
        if self.is_below { value < self.threshold } else { value >= self.threshold }
    }

    /// Whether it rings at `now` (seconds since 1970), by the datums published until then.
    fn rings(&self, published: &[Datum], now: i64) -> bool {
        let end = now - now.rem_euclid(PERIOD);
        let value = |slot: i64| {
            let here = published.iter().filter(|datum| {
                datum.of == Of::Fleet
                    && datum.metric.name() == self.metric
                    && (slot..slot + PERIOD).contains(&datum.time)
            });
            let values = here.map(|datum| datum.value);
            if self.highest { values.reduce(f64::max) } else { values.reduce(f64::min) }
        };
        let slots = (1..=(self.periods + RANGE) as i64).map(|back| end - back * PERIOD);
        let real: Vec<f64> = slots.filter_map(value).take(self.periods).collect();
        let missing = if self.missing_breaches { self.periods - real.len() } else { 0 };
        real.iter().filter(|value| self.breaches(**value)).count() + missing >= self.datapoints
    }
}

/// What goes wrong from [`FAULT`] on.
struct Trouble {
    /// The row of the table.
    name: &'static str,
    /// The alarm that rings; `None` where no person is to be told.
    alarm: Option<&'static str>,
    begin: fn(&World),
    /// Whether the runs go on.
    runs: bool,
}

const ALARMS: [&str; 6] = ["anomaly", "silence", "delivery", "coverage", "stale", "suppressed"];

/// The minutes from the fault until each alarm rings, without those that do not.
async fn rung(trouble: &Trouble) -> Vec<(&'static str, i64)> {
    let world = World::new();
    let mutes = "s3://my-models/settings/mutes.json";
    let pointer_to = pointer("models/one.safetensors", &artifact());
    world.bucket.store("s3://my-models/models/one.safetensors", artifact().to_bytes().unwrap());
    world.bucket.store(CURRENT, pointer_to);
    let settings = Settings {
        mutes: Some(mutes.parse().unwrap()),
        model: ModelSource::Object(CURRENT.parse().unwrap()),
        ..plain()
    };
    let mut process: Telling = world.telling(settings);
    let fault = seconds(FAULT);
    let alarms = ALARMS.map(|name| (name, Alarm::of(name)));
    let mut rung: Vec<(&'static str, i64)> = Vec::new();
    for minute in -90..=MINUTES {
        if minute == 0 {
            (trouble.begin)(&world);
        }
        let now = fault + minute * 60;
        // The schedule runs three minutes after each slot.
        if now.rem_euclid(PERIOD) == 180 && (minute < 0 || trouble.runs) {
            // A run that fails is what some troubles are.
            let ran = process.run(&json!({}), Timestamp::from_second(now).unwrap()).await;
            assert!(minute >= 0 || ran.is_ok(), "{ran:?}");
        }
        for (name, alarm) in &alarms {
            let rings = alarm.rings(&world.metrics.published.borrow(), now);
            // The first half hour has too few datapoints for an alarm.
            assert!(!(rings && (-45..0).contains(&minute)), "{name} rings while nothing is wrong");
            if rings && minute >= 0 && !rung.iter().any(|(known, _)| known == name) {
                rung.push((name, minute));
            }
        }
    }
    rung
}

/// The minutes that the runbook states for a trouble, in the row that names the alarm.
fn stated(trouble: &str, alarm: &str) -> i64 {
    let row = RUNBOOK.lines().find(|line| line.starts_with(&format!("| {trouble} |")));
    let row = row.unwrap_or_else(|| panic!("docs/operations.md has no row `{trouble}`"));
    assert!(row.contains(&format!("`…-{alarm}`")), "{row} does not name {alarm}");
    let minutes = row.split('|').map(str::trim).find_map(|cell| cell.strip_suffix(" min"));
    minutes.and_then(|minutes| minutes.parse().ok()).unwrap_or_else(|| panic!("{row}: no minutes"))
}

#[tokio::test]
async fn each_trouble_rings_as_soon_as_the_runbook_says() {
    let break_some = |world: &World| {
        world.metrics.broken.borrow_mut().extend((0..3).map(instance));
    };
    let troubles = [
        Trouble {
            name: "the bus refuses events (`PutEvents`)",
            alarm: Some("delivery"),
            begin: |world| world.metrics.deaf.set(true),
            runs: true,
        },
        Trouble {
            name: "the topic refuses messages (`PublishBatch`)",
            alarm: Some("delivery"),
            begin: |world| world.metrics.unheard.set(true),
            runs: true,
        },
        Trouble {
            name: "S3 refuses the state (`PutObject`)",
            alarm: Some("delivery"),
            begin: |world| {
                world.bucket.locked.borrow_mut().insert(STATE.into());
            },
            runs: true,
        },
        Trouble {
            name: "CloudWatch refuses the metrics (`PutMetricData`)",
            alarm: Some("silence"),
            begin: |world| world.metrics.takes.set(Some(0)),
            runs: true,
        },
        Trouble {
            name: "CloudWatch gives most instances no CPU (`GetMetricData`)",
            alarm: Some("coverage"),
            begin: break_some,
            runs: true,
        },
        Trouble {
            name: "the detector does not run",
            alarm: Some("silence"),
            begin: |_| (),
            runs: false,
        },
        Trouble {
            name: "CloudWatch is late with every instance",
            alarm: Some("silence"),
            begin: |world| {
                let until = seconds(FAULT);
                let mut cpu = world.metrics.cpu.borrow_mut();
                cpu.values_mut().for_each(|points| points.retain(|point| point.time < until));
            },
            runs: true,
        },
        Trouble {
            name: "the model's pointer names no model",
            alarm: Some("stale"),
            begin: |world| world.bucket.store(CURRENT, "{"),
            runs: true,
        },
        Trouble {
            name: "an anomalous instance is muted",
            alarm: Some("suppressed"),
            begin: |world| {
                let mutes = json!({ "mutes": [{
                    "all": true,
                    "from": "2026-01-15T14:00:00Z", "until": "2026-01-15T20:00:00Z"
                }] });
                world.bucket.store("s3://my-models/settings/mutes.json", mutes.to_string());
            },
            runs: true,
        },
        Trouble {
            name: "an instance is anomalous",
            alarm: Some("anomaly"),
            begin: |_| (),
            runs: true,
        },
        Trouble {
            name: "an instance is too young to be judged",
            alarm: None,
            begin: |world| {
                // In place of the faulty one.
                let mut cpu = world.metrics.cpu.borrow_mut();
                let young = cpu.remove(&instance(FAULTY)).unwrap();
                let born = seconds(FAULT);
                let young = young.into_iter().filter(|point| point.time >= born).collect();
                cpu.insert(instance(9), young);
            },
            runs: true,
        },
    ];
    for trouble in &troubles {
        let rung = rung(trouble).await;
        println!("{}: {rung:?}", trouble.name);
        // Where events fail, the fault that they are about may ring beside.
        let beside = |name: &str| {
            name == "anomaly" && trouble.alarm.is_some_and(|alarm| alarm != "suppressed")
        };
        let others: Vec<_> =
            rung.iter().filter(|(name, _)| Some(*name) != trouble.alarm && !beside(name)).collect();
        assert!(others.is_empty(), "{}: {others:?} ring, too", trouble.name);
        let Some(alarm) = trouble.alarm else { continue };
        let minutes = rung.iter().find(|(name, _)| *name == alarm).map(|(_, minutes)| *minutes);
        let minutes = minutes.unwrap_or_else(|| panic!("{}: {alarm} is silent", trouble.name));
        assert_eq!(minutes, stated(trouble.name, alarm), "{}: {alarm}", trouble.name);
    }
}

#[test]
fn an_alarm_counts_missing_periods_as_it_says() {
    let silence = Alarm::of("silence");
    let coverage = |slot: i64| Datum::of_fleet(Metric::Coverage, slot * PERIOD, 100.0);
    let published: Vec<Datum> = (0..20).map(coverage).collect();
    assert!(!silence.rings(&published, 20 * PERIOD));
    assert!(!silence.rings(&published, 27 * PERIOD + 299), "one datapoint is in its range");
    assert!(silence.rings(&published, 28 * PERIOD));
    assert!(!Alarm::of("delivery").rings(&[], 28 * PERIOD));
    let failures = |slot: i64| Datum::of_fleet(Metric::PublishFailures, slot * PERIOD, 1.0);
    assert!(!Alarm::of("delivery").rings(&[failures(9)], 10 * PERIOD));
    assert!(Alarm::of("delivery").rings(&[failures(8), failures(9)], 10 * PERIOD));
}
