//! CSV files from people and other programs: columns are found by name, in any order, and other
//! columns are ignored.
//!
//! A file is UTF-8 or UTF-16, its lines end in any way, and its cells stand between commas,
//! semicolons or tabs. Lines may stand before the header.

mod number;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use deepguard::series::{PERIOD, slot_start};
use deepguard::{Datapoint, Series};
use deepguard_aws::text::decode;
use number::{Commas, number};

use crate::common::time::seconds;

/// Names of the column of times, in small letters.
const TIMES: [&str; 2] = ["time", "timestamp"];
/// Name of the column of values.
const VALUE: &str = "value";
/// The first cell of the line by which CloudWatch's console names the metrics of an export. The
/// lines before it begin with `Id`, `StatusCode`, `Messages` and `Full label`; rows follow it.
const LABEL: &str = "label";
/// What may stand between cells. Of those that divide the header alike, the last one does.
const DELIMITERS: [u8; 3] = [b'\t', b';', b','];
/// The header is one of this many rows at the beginning.
const HEAD: usize = 10;
/// An error shows at most this many characters of a file.
const SHOWN: usize = 60;
/// Of fewer datapoints it cannot be said how far apart they are.
const FEW: usize = 3;

/// A file with a header. Rows know their line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Csv {
    delimiter: u8,
    /// The line of the header.
    line: usize,
    header: Vec<String>,
    /// Whether CloudWatch's console wrote it.
    export: bool,
    rows: Vec<Row>,
}

/// A line and its cells, without the blanks around them.
type Row = (usize, Vec<String>);

impl Csv {
    /// The file at `path`.
    ///
    /// # Errors
    /// Where it cannot be read or is no text. Names the file, and the line where there is one.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&bytes).with_context(|| format!("in {}", path.display()))
    }

    /// The content of a file.
    ///
    /// # Errors
    /// Where it is no text, or empty. Names the line where there is one.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let text = decode(bytes)?;
        // One kind of line ends, as the reader counts lines by them. An open quote takes in the one
        // that is added, which shows it.
        let text = text.replace("\r\n", "\n").replace('\r', "\n") + "\n";
        let divided = |delimiter: &u8| {
            let rows: Vec<Row> = rows(&text, *delimiter).flatten().take(HEAD).collect();
            let header = header(&rows);
            let columns = rows.get(header.unwrap_or(0)).map_or(0, |(_, cells)| cells.len());
            (header.is_some(), columns)
        };
        let delimiter = DELIMITERS.into_iter().max_by_key(divided).unwrap_or(b',');
        let mut rows = rows(&text, delimiter).collect::<Result<Vec<Row>>>()?;
        ensure!(
            !rows.is_empty(),
            "the file is empty: its first line names the columns, such as `time,value`"
        );
        let header = header(&rows[..rows.len().min(HEAD)]).unwrap_or(0);
        let (line, mut header) = rows.drain(..=header).next_back().unwrap_or_default();
        let export = !header.iter().any(|name| is_time(name)) && is_label(&header);
        if export {
            header[0] = TIMES[0].into();
        }
        Ok(Self { delimiter, line, header, export, rows })
    }

    /// The names of the columns, in their order.
    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    /// The number of rows, the header and empty ones not among them.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The number of the first column that has one of these names, in capitals or not.
    ///
    /// # Errors
    /// Where the file has no such column. The error shows the header.
    pub(crate) fn column(&self, names: &[&str]) -> Result<usize> {
        let named =
            |name: &&str| self.header.iter().position(|column| column.eq_ignore_ascii_case(name));
        names.iter().find_map(named).with_context(|| {
            format!(
                "line {} is `{}`: it has to name a column `{}`",
                self.line,
                shown(&self.header.join(&char::from(self.delimiter).to_string())),
                names.join("` or `")
            )
        })
    }

    /// The number of the column of times.
    ///
    /// # Errors
    /// Where the file has no such column.
    pub(crate) fn times(&self) -> Result<usize> {
        self.column(&TIMES)
    }

    /// The number of the column of values. In an export of CloudWatch's console it is that of the
    /// only metric.
    ///
    /// # Errors
    /// Where the file has no such column, or more than one metric.
    pub(crate) fn value(&self) -> Result<usize> {
        match self.header.len() {
            2 if self.export => Ok(1),
            columns if self.export => bail!(
                "line {} names {} metrics (`{}`): export a graph with one metric",
                self.line,
                columns - 1,
                shown(&self.header[1..].join("`, `"))
            ),
            _ => self.column(&[VALUE]),
        }
    }

    /// Calls `read` on the cells in these columns, row by row, and returns the results.
    ///
    /// # Errors
    /// Where a row is too short or `read` fails; it names the line.
    pub(crate) fn map<const N: usize, T>(
        &self,
        columns: [usize; N],
        read: impl Fn([&str; N]) -> Result<T>,
    ) -> Result<Vec<T>> {
        let row = |(line, cells): &Row| {
            let mut wanted = [""; N];
            for (cell, column) in wanted.iter_mut().zip(columns) {
                let count = cells.len();
                *cell = cells.get(column).with_context(|| {
                    format!(
                        "line {line} has {count} columns, the header {}: complete the row",
                        self.header.len()
                    )
                })?;
            }
            read(wanted).with_context(|| format!("line {line}"))
        };
        self.rows.iter().map(row).collect()
    }

    /// A column of values over time. A row whose value is empty, `-`, `NaN` or `null` is a gap and
    /// has no datapoint.
    ///
    /// # Errors
    /// Where there is no column of times, or a cell is no time or no number; it names the line.
    pub(crate) fn datapoints(&self, value: usize) -> Result<Vec<Datapoint>> {
        let cells = self.rows.iter().filter_map(|(_, cells)| cells.get(value));
        let commas = Commas::of(self.delimiter, cells.map(String::as_str));
        let datapoint = |[time, value]: [&str; 2]| {
            let time = seconds(time)?;
            Ok(number(value, commas)?.map(|value| Datapoint { time, value }))
        };
        let datapoints = self.map([self.times()?, value], datapoint)?;
        Ok(datapoints.into_iter().flatten().collect())
    }

    /// A column of values as a regular series.
    ///
    /// # Errors
    /// As [`Self::datapoints`], and without a datapoint, or where most are further apart than the
    /// slots of a series.
    pub(crate) fn series(&self, value: usize) -> Result<Series> {
        let datapoints = self.datapoints(value)?;
        let step = step(&datapoints);
        let (series, _) = Series::from_datapoints(datapoints)?;
        if let Some(step) = step {
            bail!(
                "the rows are {} minutes apart; DeepGuard scores five-minute values: export with a \
                 period of 5 minutes",
                step as f64 / 60.0
            );
        }
        Ok(series)
    }
}

/// The series of a file with a column `time` or `timestamp` and a column `value`, or of an export
/// of CloudWatch's console with one metric.
///
/// # Errors
/// Where the file cannot be read, or holds something else; names the file, and the line where there
/// is one.
pub(crate) fn read_series(path: &Path) -> Result<Series> {
    let csv = Csv::read(path)?;
    let series = csv.value().and_then(|value| csv.series(value));
    series.with_context(|| format!("in {}", path.display()))
}

/// The rows of a text whose lines end with `\n`, without those that have no content.
fn rows(text: &str, delimiter: u8) -> impl Iterator<Item = Result<Row>> {
    let reader = ::csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let row = move |record: ::csv::Result<::csv::StringRecord>| {
        let record = record?;
        let (line, byte) = record.position().map_or((1, 0), |at| (at.line(), at.byte()));
        // The reader passes over empty lines, and puts the record where they begin.
        let begins = text.as_bytes().get(byte as usize..).unwrap_or_default();
        let empty = begins.iter().take_while(|&&byte| byte == b'\n').count();
        let line = line as usize + empty;
        // A quote that is closed on a later line has most likely swallowed the rows between.
        if let Some(open) = record.iter().find(|cell| cell.contains('\n')) {
            let open = open.lines().next().unwrap_or_default();
            bail!(
                "line {line}: a quote is not closed in `{}`: close it on the same line",
                shown(open)
            );
        }
        Ok((line, record.iter().map(cell).collect()))
    };
    let empty = |row: &Result<Row>| {
        row.as_ref().is_ok_and(|(_, cells): &Row| cells.iter().all(String::is_empty))
    };
    reader.into_records().map(row).filter(move |row| !empty(row))
}

/// A cell without the blanks around it, and without quotes that had blanks before them.
fn cell(text: &str) -> String {
    let text = text.trim();
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    quoted.unwrap_or(text).trim().to_string()
}

/// The place of the header among the first rows: the first one that names a column of times, else
/// the one with the labels of an export of CloudWatch's console.
fn header(rows: &[Row]) -> Option<usize> {
    let named = |is: fn(&Row) -> bool| rows.iter().position(is);
    named(|(_, cells)| cells.iter().any(|cell| is_time(cell)))
        .or_else(|| named(|(_, cells)| is_label(cells)))
}

fn is_time(name: &str) -> bool {
    TIMES.iter().any(|time| name.eq_ignore_ascii_case(time))
}

fn is_label(cells: &[String]) -> bool {
    cells.len() > 1 && cells[0].eq_ignore_ascii_case(LABEL)
}

/// The seconds from one datapoint to the next, where most of them are further apart than the slots
/// of a series.
fn step(datapoints: &[Datapoint]) -> Option<i64> {
    let steps = |time: fn(&Datapoint) -> i64| {
        let mut times: Vec<i64> = datapoints.iter().map(time).collect();
        times.sort_unstable();
        times.dedup();
        let mut steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.sort_unstable();
        (times.len() >= FEW).then(|| steps[(steps.len() - 1) / 2])
    };
    // By slots, since a clock that is a second late does not move a datapoint to another one.
    steps(|datapoint| slot_start(datapoint.time)).filter(|&step| step > PERIOD)?;
    steps(|datapoint| datapoint.time)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests;
