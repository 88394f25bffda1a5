//! The report put together: the findings, the model card, and the scores in NAB's format.

use std::path::Path;

use anyhow::Result;

use super::Findings;
use super::corpus::Run;
use super::fault_tables::RATES;
use super::nab_results::{ResultRow, results_path, write_results};
use super::tables::{FileGroup, spread};
use crate::common::files::write_whole;
use crate::common::report::{Report, Section};
use crate::common::table::Table;

/// The text where real machines are missing.
const NO_REAL: &str = "Not measured: no real machines were available. Name their folder with \
                       `--real DIR` or REAL_DIR.";
impl Findings {
    /// Writes tables, pictures and report into the folder `out`, the scores in NAB's own format
    /// below it, and the model card.
    pub(super) fn write(&self, out: &Path, card: Option<&Path>) -> Result<()> {
        std::fs::create_dir_all(out)?;
        let report = self.report(out)?;
        report.write(out)?;
        if let Some(card) = card {
            write_whole(card, self.model_card()?.markdown(None).as_bytes())?;
        }
        self.write_results(&out.join("results"))?;
        for table in self.summary()? {
            println!("{table}");
        }
        println!("report: {}", out.join("report.html").display());
        Ok(())
    }

    /// The pictures that a reader looks at first.
    fn summary(&self) -> Result<Vec<Table>> {
        let mut tables: Vec<Table> = self
            .real
            .iter()
            .flat_map(|told| [&told.found, &told.by_kind, &told.asked_and_had])
            .cloned()
            .collect();
        tables.extend(self.likeness.clone());
        tables.extend([self.nab(FileGroup::Ec2)?, self.nab(FileGroup::Development)?]);
        for compared in &self.benches {
            tables.extend(RATES.map(|rate| compared.faults(rate)));
            tables.push(compared.false_alarms());
        }
        tables.push(self.difference_table()?);
        tables.extend(self.labelled.clone());
        Ok(tables)
    }

    fn report(&self, out: &Path) -> Result<Report> {
        let mut sections = vec![self.method()];
        for told in &self.real {
            sections.push(told.section(out)?);
        }
        if let Some(likeness) = &self.likeness {
            sections.push(Section::new("Generated machines").table(likeness.clone()));
        }
        if self.real.is_empty() {
            sections.push(Section::new("Real machines").paragraph(NO_REAL));
        }
        let mut nab = Section::new("NAB")
            .table(self.nab(FileGroup::Ec2)?)
            .table(self.nab(FileGroup::Development)?)
            .table(self.measures(FileGroup::Ec2))
            .table(self.published_vus())
            .table(self.measures(FileGroup::Development))
            .table(self.quiet_files());
        nab = nab.picture(self.curves(out)?).picture(self.errors(out)?);
        sections.push(nab);
        if let Some(labelled) = &self.labelled {
            sections.push(Section::new("Labels").table(labelled.clone()));
        }
        for compared in &self.benches {
            let mut section = Section::new(format!("Injected faults: {}", compared.name))
                .table(compared.faults(RATES[0]));
            section =
                section.picture(compared.fault_picture(out)?).picture(compared.rate_picture(out)?);
            section = section
                .table(compared.faults(RATES[1]))
                .table(compared.false_alarms())
                .table(compared.delays());
            sections.push(section);
        }
        sections.push(
            Section::new("What the network adds")
                .table(self.difference_table()?)
                .picture(self.difference_picture(out)?),
        );
        let mut files =
            Section::new("The EC2 files, one by one").table(self.nab_by_file(FileGroup::Ec2)?);
        for (&index, scored) in &self.scored {
            files = files.picture(self.file_picture(index, scored, out)?);
        }
        sections.push(files);
        sections.push(
            Section::new("More")
                .table(self.nab_by_file(FileGroup::Development)?)
                .table(self.proxies()),
        );
        Ok(Report { title: "DeepGuard, evaluated".into(), subtitle: self.subtitle(), sections })
    }

    fn subtitle(&self) -> String {
        let card = self.artifact.card();
        match self.seeds {
            0 => format!(
                "The artifact {} itself, threshold {}. It has seen NAB's files in its training: a \
                 quick look, no fair measure.",
                self.artifact.version(),
                card.threshold
            ),
            seeds => format!(
                "Networks trained like {} with {seeds} seeds, two-fold by file, threshold {}: none \
                 of them scores a file that it has seen.",
                self.artifact.version(),
                card.threshold
            ),
        }
    }

    fn method(&self) -> Section {
        Section::new("What was measured").paragraph(
            "Real machines: CPU as it was measured, with faults of ten kinds put into its last \
             days, and servers whose operators have said when something was wrong. Each detector \
             is followed from the first datapoint on; what it finds is compared at the same number \
             of false pages.",
        )
        .paragraph(
            "NAB: rows are scored one after the other, baselines made anew each midnight from the \
             14 days before, as the function does it. Rows that are regularly further apart than \
             five minutes are joined by straight lines from the row before, and a row has the \
             highest score of its slots. Choices were made on the development files and on \
             injected faults; the EC2 files are reported only.",
        )
    }

    /// Alarms on the files without an anomaly.
    fn quiet_files(&self) -> Table {
        let quiet: Vec<usize> = (0..self.entries.len())
            .filter(|&index| {
                self.entries[index].labels.as_ref().is_some_and(|labels| labels.windows.is_empty())
            })
            .collect();
        let contestants = self.contestants(&quiet);
        let with_threshold: Vec<_> = contestants
            .iter()
            .filter(|(_, runs)| runs.iter().all(|run| run.threshold.is_some()))
            .collect();
        let row = |&index: &usize| {
            let count = |run: &&Run| {
                let judgement = run.files[index].as_ref()?;
                Some(self.entries[index].alarms(judgement, run.threshold?).len() as f64)
            };
            let cell = |(_, runs): &&(String, Vec<&Run>)| {
                spread(&runs.iter().filter_map(count).collect::<Vec<_>>(), 1)
            };
            std::iter::once(self.entries[index].file.name.clone())
                .chain(with_threshold.iter().map(cell))
                .collect()
        };
        Table {
            title: "Alarms on the files without anomalies".into(),
            note: "At the fixed threshold; 12 days each.".into(),
            header: std::iter::once("file".to_string())
                .chain(with_threshold.iter().map(|(name, _)| name.clone()))
                .collect(),
            rows: quiet.iter().map(row).collect(),
            strong: Vec::new(),
        }
    }

    /// Every score of ours, in the format of NAB's runner. The first seed is `DeepGuard`.
    fn write_results(&self, folder: &Path) -> Result<()> {
        for (entry, judgement) in self.entries.iter().zip(&self.ours[0].files) {
            let Some(judgement) = judgement else { continue };
            let stamps: Vec<String> = entry.times.iter().map(|&time| stamp(time)).collect();
            let rows = entry.file.datapoints.iter().zip(&stamps).zip(&judgement.gated).map(
                |((row, timestamp), &score)| ResultRow {
                    timestamp,
                    value: row.value,
                    score,
                    labelled: entry.windows().iter().any(|window| window.contains(&row.time)),
                },
            );
            write_results(&results_path(folder, "DeepGuard", &entry.file.name)?, rows)?;
        }
        Ok(())
    }

    /// Facts that every user of the artifact must know.
    fn model_card(&self) -> Result<Report> {
        let card = self.artifact.card();
        let row = |name: &str, value: String| vec![name.to_string(), value];
        // NAB's names have their folder before them.
        let of_nab = card.training.files.iter().filter(|file| file.name.contains('/')).count();
        let facts = Table {
            title: "The artifact".into(),
            header: vec!["what".into(), "value".into()],
            rows: vec![
                row("version", self.artifact.version()),
                row("SHA-256", self.artifact.checksum().into()),
                row(
                    "network",
                    format!(
                        "LSTM autoencoder, window {}, width {}, bottleneck {}, {} parameters",
                        card.shape.window,
                        card.shape.hidden,
                        card.shape.bottleneck,
                        card.shape.parameters()
                    ),
                ),
                row("scaling", card.scaling.clone()),
                row("threshold", format!("{} times what is usual; a score of 1.0", card.threshold)),
                row(
                    "trained on",
                    format!(
                        "{} files of NAB, {} series of real machines, {} generated machines",
                        of_nab,
                        card.training.files.len() - of_nab,
                        card.training.generated
                    ),
                ),
                row(
                    "windows, passes, seed",
                    format!(
                        "{}, {}, {}",
                        card.training.windows, card.training.epochs, card.training.seed
                    ),
                ),
                row("mean loss of the last pass", format!("{:.4}", card.training.loss)),
            ],
            ..Table::default()
        };
        let mut measured = Section::new("How well it detects").paragraph(self.subtitle());
        for told in &self.real {
            for table in [&told.found, &told.by_kind, &told.asked_and_had] {
                measured = measured.table(table.clone());
            }
        }
        measured =
            measured.table(self.nab(FileGroup::Ec2)?).table(self.nab(FileGroup::Development)?);
        for compared in &self.benches {
            measured = measured
                .table(compared.faults(RATES[0]))
                .table(compared.faults(RATES[1]))
                .table(compared.false_alarms());
        }
        measured = measured.table(self.difference_table()?);
        if let Some(likeness) = &self.likeness {
            measured = measured.table(likeness.clone());
        }
        let sections = vec![
            Section::new("What it is").table(facts),
            Section::new("What it is for")
                .paragraph(
                    "To say when the CPU of one EC2 instance is unlike its own last two weeks, \
                     from one value every five minutes (one-minute values are averaged).",
                )
                .paragraph(
                    "It knows nothing of memory, disks, networks or requests, nor of other \
                     instances. It needs half a day of history at midnight or noon UTC to say \
                     anything, and two weeks to know all that is usual.",
                ),
            measured,
            Section::new("What to be careful with")
                .paragraph(
                    "The artifact itself was trained on all files that it is reported on here; the \
                     figures are those of networks trained the same way that had not seen the file \
                     they score.",
                )
                .paragraph(
                    "The generated machines and their faults are our own. Sizes of three of the \
                     faults were set once after a detector without a network was seen to find too \
                     few of them; this detector was not run then.",
                ),
        ];
        Ok(Report {
            title: "Model card of the default artifact".into(),
            subtitle: "Made by make evaluate.".into(),
            sections,
        })
    }
}

/// A time as NAB writes it.
fn stamp(time: i64) -> String {
    let text = jiff::Timestamp::from_second(time).map(|time| time.to_string()).unwrap_or_default();
    text.replace('T', " ").trim_end_matches('Z').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::evaluate::corpus::{THRESHOLD, squeezed};
    use crate::common::time::parse_time;

    #[test]
    fn stamps_are_read_as_they_were_written() {
        assert_eq!(stamp(1_392_388_020), "2014-02-14 14:27:00");
        assert_eq!(parse_time(&stamp(1_392_388_020)).unwrap(), 1_392_388_020);
        assert_eq!(THRESHOLD, squeezed(1.0));
    }
}
