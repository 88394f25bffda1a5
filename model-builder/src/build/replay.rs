//! A fleet's history that ends now, as files: NAB's EC2 machines cut at chosen moments, or a
//! generated fleet.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::Table;
use deepguard::Datapoint;
use deepguard::series::{DAY_SECONDS, PERIOD, slot_start};
use jiff::Timestamp;
use serde::Serialize;

use crate::build::nab::{Nab, NabFile, NabLabels};
use crate::build::{night, simulate};
use crate::common::files::{hex_sha256, write_whole};

/// NAB's files whose replay ends just after a labelled anomaly began, and the number of that label.
/// The others end in a quiet stretch.
const ANOMALOUS: [(&str, usize); 4] = [
    ("ec2_cpu_utilization_5f5533", 1),
    ("ec2_cpu_utilization_77c1ca", 0),
    ("ec2_cpu_utilization_825cc2", 0),
    ("ec2_cpu_utilization_ac20cd", 0),
];
/// Slots of the anomaly that have been seen by then, the labelled one included.
const ANOMALY_SLOTS: i64 = 3;
/// A quiet end has at least this much history before it, in seconds.
const MIN_HISTORY: i64 = 4 * DAY_SECONDS;

/// The contents of a replay: `replay.json` in its folder.
#[derive(Debug, Serialize)]
struct Manifest {
    source: &'static str,
    now: Timestamp,
    instances: Vec<Instance>,
}

/// One instance of a replay.
#[derive(Debug, Serialize)]
struct Instance {
    instance: String,
    source: String,
    expected: Expected,
    /// When its anomaly begins, on the replay's clock.
    anomaly_start: Option<Timestamp>,
    note: String,
    /// Its events in a night.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<night::Event>,
    #[serde(skip)]
    datapoints: Vec<Datapoint>,
}

/// The source of a replay.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of<'a> {
    /// NAB's EC2 machines.
    Nab(&'a Nab),
    /// A generated fleet, by its seed.
    Generated(u64),
    /// A bad night of twelve machines, by its seed. It ends at the last six o'clock (UTC).
    Night(u64),
    /// Machines of every kind, with faults in parts of their history.
    Worn {
        /// Of the machines and the faults.
        seed: u64,
        /// How many machines.
        count: usize,
        /// Days of each.
        days: usize,
        /// The part of the time in which something is wrong, 0 to 1.
        faulty: f64,
    },
}

/// The expected verdict of a detector on an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Expected {
    Anomaly,
    Quiet,
}

/// Writes `<instance>.csv` for each instance and `replay.json` into `out`.
///
/// # Errors
/// Where NAB cannot be read or the folder cannot be written.
pub(crate) fn replay(of: &Of<'_>, now: Timestamp, out: &Path) -> Result<()> {
    let (source, instances) = match *of {
        Of::Nab(nab) => ("nab", from_nab(nab, now)?),
        Of::Generated(seed) => ("generated", generated(seed, now)?),
        Of::Night(seed) => ("night", a_night(seed, now)),
        Of::Worn { seed, count, days, faulty } => {
            ("generated", a_worn_fleet(seed, count, days, faulty, now)?)
        }
    };
    for Instance { instance, datapoints, .. } in &instances {
        let mut csv = String::from("time,value\n");
        for Datapoint { time, value } in datapoints {
            writeln!(csv, "{},{value}", Timestamp::from_second(*time)?)?;
        }
        write_whole(&out.join(format!("{instance}.csv")), csv.as_bytes())?;
    }
    let manifest = Manifest { source, now, instances };
    write_whole(&out.join("replay.json"), &serde_json::to_vec_pretty(&manifest)?)?;
    let mut table = Table::new();
    table.set_header(["instance", "source", "datapoints", "expected", "note"]);
    for instance in &manifest.instances {
        let expected = format!("{:?}", instance.expected).to_lowercase();
        let count = instance.datapoints.len().to_string();
        table.add_row([&instance.instance, &instance.source, &count, &expected, &instance.note]);
    }
    println!("{table}");
    Ok(())
}

fn a_worn_fleet(
    seed: u64,
    count: usize,
    days: usize,
    faulty: f64,
    now: Timestamp,
) -> Result<Vec<Instance>> {
    let instance = |machine: simulate::Worn| {
        let first = machine
            .faults
            .first()
            .map(|(times, _)| Timestamp::from_second(times.start))
            .transpose()?;
        let fault = |(times, name): &(std::ops::Range<i64>, &str)| {
            format!("{name} at {}", crate::common::picture::clock(times.start))
        };
        Ok(Instance {
            // Two fleets of the same machines can be in one account.
            instance: instance_id(&format!("{} {seed} {faulty}", machine.name)),
            expected: if first.is_some() { Expected::Anomaly } else { Expected::Quiet },
            note: machine.faults.iter().map(fault).collect::<Vec<_>>().join(", "),
            source: machine.name,
            anomaly_start: first,
            event: None,
            datapoints: machine.datapoints,
        })
    };
    simulate::worn(seed, count, days, faulty, now.as_second()).into_iter().map(instance).collect()
}

/// An id as EC2 would give it, the same for the same name.
fn instance_id(name: &str) -> String {
    format!("i-{}", &hex_sha256(name.as_bytes())[..17])
}

/// The newest time at or before `now` (seconds since 1970) that is six o'clock UTC: the same hours
/// make the same night.
fn morning(now: i64) -> i64 {
    (now - 6 * 3600).div_euclid(DAY_SECONDS) * DAY_SECONDS + 6 * 3600
}

fn a_night(seed: u64, now: Timestamp) -> Vec<Instance> {
    let instance = |machine: night::NightMachine| {
        let told = machine.event.as_ref().filter(|event| event.told);
        Instance {
            instance: instance_id(machine.name),
            source: machine.name.into(),
            expected: if told.is_some() { Expected::Anomaly } else { Expected::Quiet },
            anomaly_start: told.map(|event| event.from),
            note: machine.event.as_ref().map_or_else(String::new, |event| event.what.into()),
            event: machine.event,
            datapoints: machine.datapoints,
        }
    };
    night::night(seed, morning(now.as_second())).into_iter().map(instance).collect()
}

fn generated(seed: u64, now: Timestamp) -> Result<Vec<Instance>> {
    let instance = |machine: simulate::SimulatedMachine| {
        let anomaly_start = machine.fault.map(Timestamp::from_second).transpose()?;
        Ok(Instance {
            instance: instance_id(&machine.name),
            expected: if anomaly_start.is_some() { Expected::Anomaly } else { Expected::Quiet },
            note: if anomaly_start.is_some() {
                "as busy as at its peak, at an hour at which it never is"
            } else {
                "as always"
            }
            .into(),
            source: machine.name,
            anomaly_start,
            event: None,
            datapoints: machine.datapoints,
        })
    };
    simulate::fleet(seed, now.as_second()).into_iter().map(instance).collect()
}

fn from_nab(nab: &Nab, now: Timestamp) -> Result<Vec<Instance>> {
    let mut labels = nab.labels()?;
    let mut instances = Vec::new();
    for file in nab.ec2_cpu()? {
        let labels =
            labels.remove(&file.name).with_context(|| format!("no labels for {}", file.name))?;
        let label = ANOMALOUS
            .iter()
            .find(|(stem, _)| *stem == file.stem())
            .map(|&(_, label)| labels.starts[label]);
        let (cut, note) = match label {
            Some(start) => {
                (slot_start(start) + ANOMALY_SLOTS * PERIOD, "labelled anomaly".to_string())
            }
            None => (quiet(&file, &labels)?, "quiet stretch".to_string()),
        };
        let shift = slot_start(now.as_second()) - cut;
        let note = format!("{note}, cut at {}", Timestamp::from_second(cut)?);
        let shifted = |&Datapoint { time, value }: &Datapoint| Datapoint {
            time: slot_start(time) + shift,
            value,
        };
        instances.push(Instance {
            instance: instance_id(file.stem()),
            source: file.stem().into(),
            expected: if label.is_some() { Expected::Anomaly } else { Expected::Quiet },
            anomaly_start: label
                .map(|start| Timestamp::from_second(slot_start(start) + shift))
                .transpose()?,
            note,
            event: None,
            datapoints: file
                .datapoints
                .iter()
                .filter(|point| slot_start(point.time) < cut)
                .map(shifted)
                .collect(),
        });
    }
    Ok(instances)
}

/// The middle of the longest stretch without a labelled window that leaves enough history before
/// it.
fn quiet(file: &NabFile, labels: &NabLabels) -> Result<i64> {
    let times = || file.datapoints.iter().map(|point| point.time);
    let (first, last) =
        (times().min().context("no datapoints")?, times().max().context("no datapoints")?);
    let mut starts = vec![first + MIN_HISTORY];
    starts.extend(labels.windows.iter().map(|window| window.end.max(first + MIN_HISTORY)));
    let ends = labels.windows.iter().map(|window| window.start).chain([last]);
    let longest = starts.into_iter().zip(ends).max_by_key(|(start, end)| end - start);
    let (start, end) = longest.context("no stretch at all")?;
    Ok(slot_start(start + (end - start) / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(days: i64) -> NabFile {
        let datapoints = (0..days * DAY_SECONDS / PERIOD)
            .map(|slot| Datapoint { time: slot * PERIOD, value: 1.0 })
            .collect();
        NabFile { name: "a/b.csv".into(), sha256: String::new(), datapoints, rows: 0 }
    }

    #[test]
    fn quiet_is_the_middle_of_the_longest_stretch() {
        let day = DAY_SECONDS;
        let windows = |days: &[(i64, i64)]| {
            let windows = days.iter().map(|(from, to)| from * day..to * day).collect();
            NabLabels { starts: vec![], windows }
        };
        let cases = [
            (windows(&[]), 4 * day + (10 * day - PERIOD) / 2),
            (windows(&[(5, 6)]), 6 * day + (8 * day - PERIOD) / 2),
            (windows(&[(12, 13)]), 8 * day),
            (windows(&[(1, 2), (12, 13)]), 8 * day),
        ];
        for (labels, middle) in cases {
            assert_eq!(quiet(&file(14), &labels).unwrap(), slot_start(middle), "{labels:?}");
        }
    }

    #[test]
    fn ids_look_like_those_of_ec2() {
        let id = instance_id("web-1");
        assert_eq!(id.len(), 19);
        assert!(id.starts_with("i-") && id[2..].bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn a_replay_is_written_whole() {
        let out = tempfile::tempdir().unwrap();
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        replay(&Of::Generated(7), now, out.path()).unwrap();
        let manifest: serde_json::Value =
            serde_json::from_slice(&std::fs::read(out.path().join("replay.json")).unwrap())
                .unwrap();
        let instances = manifest["instances"].as_array().unwrap();
        assert_eq!(instances.len(), 14);
        assert_eq!(instances[0]["expected"], "anomaly");
        for instance in instances {
            let csv = std::fs::read_to_string(
                out.path().join(format!("{}.csv", instance["instance"].as_str().unwrap())),
            )
            .unwrap();
            assert!(
                csv.starts_with("time,value\n")
                    && csv.lines().last().unwrap().starts_with("2026-01-02T02:55:00Z,")
            );
        }
    }
}
