//! CSV files from people and other programs: columns are found by name, in any order, and other
//! columns are ignored.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use deepguard::{Datapoint, Series};

use crate::common::time::parse_time;

/// Names of the column of times.
const TIMES: [&str; 2] = ["time", "timestamp"];
/// Name of the column of values.
const VALUE: &str = "value";
/// An error shows at most this many characters of a line.
const SHOWN: usize = 60;

/// A file with a header. Rows know their line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Csv {
    header: Vec<String>,
    rows: Vec<(usize, Vec<String>)>,
}

impl Csv {
    /// The file at `path`. A byte order mark, carriage returns, quotes and empty lines do no harm.
    ///
    /// # Errors
    /// Where it cannot be read or is no text. Names the file, and the line where there is one.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&bytes).with_context(|| format!("in {}", path.display()))
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let text =
            std::str::from_utf8(bytes).context("not a text file: save it as CSV in UTF-8")?;
        let lines = text.trim_start_matches('\u{feff}').lines().zip(1..);
        let mut rows = Vec::new();
        for (line, number) in lines.filter(|(line, _)| !line.trim().is_empty()) {
            rows.push((number, cells(line).with_context(|| format!("line {number}"))?));
        }
        ensure!(
            !rows.is_empty(),
            "the file is empty: its first line names the columns, such as `time,value`"
        );
        let (_, header) = rows.remove(0);
        Ok(Self { header, rows })
    }

    /// The names of the columns, in their order.
    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    /// The number of the first column that has one of these names.
    ///
    /// # Errors
    /// Where the file has no such column. The error shows the header.
    pub(crate) fn column(&self, names: &[&str]) -> Result<usize> {
        let found =
            names.iter().find_map(|name| self.header.iter().position(|column| column == name));
        found.with_context(|| {
            let header: String = self.header.join(",").chars().take(SHOWN).collect();
            format!("line 1 is `{header}`: it has to name a column `{}`", names.join("` or `"))
        })
    }

    /// The number of the column of times.
    ///
    /// # Errors
    /// Where the file has no such column.
    pub(crate) fn times(&self) -> Result<usize> {
        self.column(&TIMES)
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
        let row = |(line, cells): &(usize, Vec<String>)| {
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

    /// A column of values over time. A cell that is empty or `NaN` is no datapoint.
    ///
    /// # Errors
    /// Where there is no column of times, or a cell is no time or no number; it names the line.
    pub(crate) fn datapoints(&self, value: usize) -> Result<Vec<Datapoint>> {
        let datapoint = |[time, value]: [&str; 2]| {
            let value = if value.is_empty() { f64::NAN } else { number(value)? };
            Ok(Datapoint { time: seconds(time)?, value })
        };
        let mut datapoints = self.map([self.times()?, value], datapoint)?;
        datapoints.retain(|datapoint| !datapoint.value.is_nan());
        Ok(datapoints)
    }
}

/// The series of a file with a column `time` or `timestamp` and a column `value`.
///
/// # Errors
/// Where the file cannot be read, or holds something else; names the file, and the line where there
/// is one.
pub(crate) fn read_series(path: &Path) -> Result<Series> {
    let csv = Csv::read(path)?;
    let read = || {
        Ok::<_, anyhow::Error>(Series::from_datapoints(csv.datapoints(csv.column(&[VALUE])?)?)?.0)
    };
    read().with_context(|| format!("in {}", path.display()))
}

/// A time as seconds since 1970: such seconds, RFC 3339 with a zone, or date and time without one,
/// which is UTC.
pub(crate) fn seconds(text: &str) -> Result<i64> {
    match text.parse::<f64>() {
        // Rounded down, as a slot begins at its first second.
        Ok(seconds) if seconds.is_finite() => Ok(seconds.floor() as i64),
        _ => parse_time(text).with_context(|| {
            format!(
                "`{}` is no time: write 2026-01-31T12:00:00Z, 2026-01-31 12:00:00 or seconds since \
                 1970",
                shown(text)
            )
        }),
    }
}

fn number(text: &str) -> Result<f64> {
    let value = text.parse::<f64>().ok().filter(|value| !value.is_infinite());
    value.with_context(|| {
        format!("`{}` is no number: write digits with a decimal point, or nothing", shown(text))
    })
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// The cells of a line, without the blanks around them and the quotes.
fn cells(line: &str) -> Result<Vec<String>> {
    if !line.contains('"') {
        return Ok(line.split(',').map(|cell| cell.trim().to_string()).collect());
    }
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => cell.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell).trim().to_string()),
            letter => cell.push(letter),
        }
    }
    if quoted {
        bail!("a quote is not closed in `{}`: close it on the same line", shown(line));
    }
    cells.push(cell.trim().to_string());
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(text: &str) -> Result<Vec<(i64, f64)>> {
        let csv = Csv::parse(text.as_bytes())?;
        let points = csv.datapoints(csv.column(&[VALUE])?)?;
        Ok(points.iter().map(|point| (point.time, point.value)).collect())
    }

    #[test]
    fn files_of_every_habit_are_read() {
        let cases = [
            ("plain", "time,value\n1970-01-01T00:05:00Z,1.5\n"),
            (
                "byte order mark, carriage returns, blank lines",
                "\u{feff}time,value\r\n300,1.5\r\n\r\n \r\n",
            ),
            (
                "other order, other columns",
                "host,value,note,timestamp\na,1.5,,1970-01-01 00:05:00\n",
            ),
            ("quotes", "\"time\",\"value\",\"note\"\n\"300\",\"1.5\",\"a \"\"b\"\", c\"\n"),
            (
                "a zone, an empty value, NaN",
                "time,value\n1970-01-01T02:05:00+02:00,1.5\n600,\n900,NaN\n",
            ),
            ("fractions of a second, no line end", "time , value\n300.9, 1.5"),
        ];
        for (what, text) in cases {
            assert_eq!(points(text).expect(what), [(300, 1.5)], "{what}");
        }
        assert_eq!(points("time,value\n-1,0\n").unwrap(), [(-1, 0.0)]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_a_way_out() {
        let cases = [
            ("", "the file is empty: its first line names the columns"),
            (
                "when,value\n1,1\n",
                "line 1 is `when,value`: it has to name a column `time` or `timestamp`",
            ),
            ("time,cpu\n1,1\n", "it has to name a column `value`"),
            (
                "time,value\n300,1\n\nnoon,1\n",
                "line 4: `noon` is no time: write 2026-01-31T12:00:00Z",
            ),
            (
                "time,value\n300,1\n600,\"1,5\"\n",
                "line 3: `1,5` is no number: write digits with a decimal point",
            ),
            ("time,value\n300,inf\n", "line 2: `inf` is no number"),
            ("time,value\n300\n", "line 2 has 1 columns, the header 2: complete the row"),
            ("time,value\n300,\"1\n", "line 2: a quote is not closed"),
        ];
        for (text, told) in cases {
            let error = format!("{:#}", points(text).unwrap_err());
            assert!(error.contains(told), "{error:?} does not say {told:?}");
        }
        assert!(
            format!("{:#}", Csv::parse(b"\xff\xfe").unwrap_err())
                .contains("save it as CSV in UTF-8")
        );
    }

    #[test]
    fn a_file_is_named_in_every_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("i-1.csv");
        for (text, told) in [
            ("time,value\n300,1\nnoon,1\n", "line 3"),
            ("time,value\n300,\n", "no usable datapoint"),
            ("time,value\n1700000000000,1\n", "in seconds since 1970?"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = format!("{:#}", read_series(&path).unwrap_err());
            assert!(error.contains("i-1.csv") && error.contains(told), "{error}");
        }
        assert!(
            format!("{:#}", read_series(&folder.path().join("i-2.csv")).unwrap_err())
                .contains("i-2.csv")
        );
    }
}
