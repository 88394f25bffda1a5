//! How a model scores the alerts that people have confirmed or rejected, on the CPU of their own
//! instances.

use deepguard::{Detector, Scored, Watch};

use crate::common::history::History;
use crate::common::labels::{Labels, Verdict, is_raised};
use crate::common::table::Table;

/// Labels, and the CPU that they are about.
#[derive(Debug, Clone)]
pub(crate) struct Labelled {
    pub(crate) labels: Labels,
    pub(crate) history: History,
}

impl Labelled {
    /// Builds a row for each label, and counts how many of each verdict raise an alarm.
    pub(super) fn table(&self, detector: &Detector) -> Table {
        let scored = |(instance, series): (&String, _)| {
            let wanted = self.labels.iter().any(|label| label.instance.as_str() == instance);
            wanted.then(|| (instance.clone(), scores(detector, series)))
        };
        let scored: std::collections::BTreeMap<String, Vec<Scored>> =
            self.history.iter().filter_map(scored).collect();
        let (mut rows, mut counts) = (Vec::new(), [(0, 0); 2]);
        for label in self.labels.iter() {
            let of_instance = scored.get(label.instance.as_str());
            let within = of_instance
                .filter(|scored| scored.iter().any(|scored| label.reach().contains(&scored.time)));
            let raised = within.map(|scored| is_raised(scored, &label.reach()));
            let count = &mut counts[usize::from(label.verdict == Verdict::Rejected)];
            count.0 += usize::from(raised == Some(true));
            count.1 += usize::from(raised.is_some());
            let told = match raised {
                Some(true) => "raised",
                Some(false) => "silent",
                None => "not scored",
            };
            let (from, until) = (label.from.to_string(), label.until.to_string());
            rows.push(vec![
                label.instance.to_string(),
                from,
                until,
                label.verdict.name().into(),
                told.into(),
            ]);
        }
        let [(found, confirmed), (raised, rejected)] = counts;
        Table {
            title: "Alerts that people have judged".into(),
            note: format!(
                "Found: {found} of {confirmed} confirmed anomalies. Raised: {raised} of {rejected} \
                 rejected alerts."
            ),
            header: ["instance", "from", "until", "verdict", "the artifact"]
                .map(String::from)
                .to_vec(),
            rows,
            strong: Vec::new(),
        }
    }
}

fn scores(detector: &Detector, series: &deepguard::Series) -> Vec<Scored> {
    detector.follow(series, &mut Watch::default(), series.end())
}

#[cfg(test)]
mod tests {
    use deepguard::Series;
    use deepguard::model::device;

    use super::*;
    use crate::testing::{artifact, instance};

    #[test]
    fn what_is_confirmed_is_found_and_what_was_not_scored_is_told() {
        let machine = &crate::build::simulate::fleet(7, 1_768_478_400)[0];
        let fault = machine.fault.unwrap();
        let series = Series::from_datapoints(machine.datapoints.iter().copied()).unwrap().0;
        let label = |number: usize, from: i64, verdict: &str| {
            let time = jiff::Timestamp::from_second(from).unwrap().to_string();
            serde_json::json!({
                "instance": instance(number), "from": time, "until": time,
                "verdict": verdict, "by": "me", "at": time,
            })
        };
        let labels = [
            label(0, fault, "confirmed"),
            label(0, fault - 90 * 86_400, "confirmed"),
            label(0, fault, "rejected"),
            label(1, fault, "rejected"),
        ];
        let labels = serde_json::from_value(serde_json::json!({ "labels": labels })).unwrap();
        let history = History::from([(instance(0).to_string(), series)]);
        let table = Labelled { labels, history }.table(&Detector::new(artifact(), &device()));
        let told: Vec<&str> = table.rows.iter().map(|row| row[4].as_str()).collect();
        assert_eq!(told, ["raised", "not scored", "raised", "not scored"]);
        assert_eq!(
            table.note,
            "Found: 1 of 1 confirmed anomalies. Raised: 1 of 1 rejected alerts."
        );
    }
}
