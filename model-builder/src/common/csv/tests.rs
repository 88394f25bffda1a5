use proptest::prelude::*;

use super::*;

fn points(bytes: &[u8]) -> Result<Vec<(i64, f64)>> {
    let csv = Csv::parse(bytes)?;
    let points = csv.datapoints(csv.value()?)?;
    Ok(points.iter().map(|point| (point.time, point.value)).collect())
}

/// CPU as CloudWatch's console exports it.
const EXPORT: &str = "Id,m2\nStatusCode,Complete\nMessages,\n\
                      Full label,us-east-1:AWS/EC2 TargetId:i-0 CPUUtilization Average 300\n\
                      Label,CPUUtilization\n1970/01/01 00:05:00,1.5\n1970/01/01 00:10:00,\n";

#[test]
fn files_of_every_habit_are_read() {
    let cases = [
        ("plain", "time,value\n1970-01-01T00:05:00Z,1.5\n"),
        (
            "byte order mark, carriage returns, blank lines",
            "\u{feff}time,value\r\n300,1.5\r\n\r\n \r\n",
        ),
        ("carriage returns alone", "time,value\r300,1.5\r"),
        ("other order, other columns", "host,value,note,timestamp\na,1.5,,1970-01-01 00:05:00\n"),
        ("quotes", "\"time\",\"value\",\"note\"\n\"300\",\"1.5\",\"a \"\"b\"\", c\"\n"),
        ("blanks before quotes", "\"time\", \"value\"\n\"300\", \"1.5\"\n"),
        (
            "a zone, an empty value, NaN, null",
            "time,value\n1970-01-01T02:05:00+02:00,1.5\n600,\n900,NaN\n1200,null\n1500,-\n",
        ),
        ("fractions of a second, no line end", "time , value\n300.9, 1.5"),
        ("semicolons, decimal commas", "time;value;note\n300;1,5;a,b,c,d\n"),
        ("tabs, decimal commas", "Time\tValue\n300\t1,5\n"),
        ("tabs, decimal points", "Timestamp\tValue\n300\t1.5\n"),
        ("rows without content, cells beyond the header", "time,value\n,,\n300,1.5,x,y\n,\n"),
        ("lines before the header", "sep=;\nexported, by hand\ntime;value\n300;1,5\n"),
        ("the names of a series", "TIME,VALUE\n300,1.5\n"),
        ("an export of CloudWatch's console", EXPORT),
    ];
    for (what, text) in cases {
        assert_eq!(points(text.as_bytes()).expect(what), [(300, 1.5)], "{what}");
    }
    assert_eq!(points(b"time,value\n-1,0\n").unwrap(), [(-1, 0.0)]);
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_a_way_out() {
    let cases = [
        ("", "the file is empty: its first line names the columns"),
        (" \n\n", "the file is empty"),
        (
            "when,value\n1,1\n",
            "line 1 is `when,value`: it has to name a column `time` or `timestamp`",
        ),
        ("\n\nwhen;value\n1;1\n", "line 3 is `when;value`: it has to name a column"),
        ("time,cpu\n1,1\n", "it has to name a column `value`"),
        ("time,value\n300,1\n\nnoon,1\n", "line 4: `noon` is no time: write 2026-01-31T12:00:00Z"),
        ("time,value\r\n300,1\r\n\r\n\r\nnoon,1\r\n", "line 5: `noon` is no time"),
        ("note\ntime,value\n300,1\n300,x\n", "line 4: `x` is no number"),
        (
            "time,value\n300,1\n600,\"1,5\"\n",
            "line 3: `1,5` is no number: write digits with a decimal point",
        ),
        ("time\tvalue\n300\t1,234\n", "line 2: `1,234` is no number"),
        ("time,value\n300,inf\n", "line 2: `inf` is no number"),
        ("time,value\n1.77E+12,1\n", "line 2: `1.77E+12` is no time"),
        ("time,value\n,1\n", "line 2: `` is no time"),
        ("time,value\n300\n", "line 2 has 1 columns, the header 2: complete the row"),
        ("time,value\n300,\"1", "line 2: a quote is not closed in `1`"),
        ("time,value\n300,\"1\n600,2\"\n900,3\n", "line 2: a quote is not closed in `1`"),
        (
            "Id,a,b\nLabel,i-1,i-2\n300,1,2\n",
            "line 2 names 2 metrics (`i-1`, `i-2`): export a graph with one metric",
        ),
    ];
    for (text, told) in cases {
        let error = format!("{:#}", points(text.as_bytes()).unwrap_err());
        assert!(error.contains(told), "{error:?} does not say {told:?}");
    }
    let error = format!("{:#}", points(b"time,value\n300,\xff\n").unwrap_err());
    assert!(error.contains("line 2 is no text in UTF-8 (`300,\u{fffd}`)"), "{error}");
}

#[test]
fn a_file_is_named_in_every_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("i-1.csv");
    for (text, told) in [
        ("time,value\n300,1\nnoon,1\n", "line 3"),
        ("time,value\n300,\n", "no usable datapoint"),
        ("time,value\n1,1\n1700000000,1\n", "in seconds since 1970?"),
        ("time,value\n0,1\n3600,1\n7200,1\n", "export with a period of 5 minutes"),
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

#[test]
fn rows_that_are_further_apart_than_slots_are_refused() {
    let series = |times: &[i64]| {
        let rows: String = times.iter().map(|time| format!("{time},{time}\n")).collect();
        let csv = Csv::parse(format!("time,value\n{rows}").as_bytes()).unwrap();
        csv.series(1).map_err(|error| error.to_string())
    };
    for (times, minutes) in [
        (&[10, 3610, 7210, 10810][..], "60"),
        (&[7200, 0, 3600], "60"),
        (&[0, 86_400, 172_800], "1440"),
        (&[0, 600, 1200, 1500], "10"),
        (&[0, 900, 900, 1800, 1800], "15"),
        (&[0, 600, 1230, 1830], "10"),
    ] {
        let told = series(times).expect_err(minutes);
        let expected =
            format!("the rows are {minutes} minutes apart; DeepGuard scores five-minute");
        assert!(told.starts_with(&expected), "{times:?}: {told}");
    }
    for times in [
        &[0, 300, 600, 3600][..],
        // A pause, and a clock that is late.
        &[0, 301, 602, 899, 86_400, 86_701],
        &[0, 60, 120, 180, 7200],
        &[0, 3600],
        &[0],
    ] {
        assert!(series(times).is_ok(), "{times:?}");
    }
    // A minute's values are averaged into slots.
    assert_eq!(series(&[0, 60, 120, 180, 240, 300]).unwrap().get(0), Some(120.0));
}

/// A way of writing a file.
#[derive(Debug, Clone)]
struct Habit {
    delimiter: char,
    time: usize,
    quoted: bool,
    swapped: bool,
    blank: bool,
    line: &'static str,
    encoding: usize,
}

fn habits() -> impl Strategy<Value = Habit> {
    let lines = prop::sample::select(vec!["\n", "\r\n", "\r"]);
    let delimiters = prop::sample::select(vec![',', ';', '\t']);
    let flags = prop::array::uniform3(any::<bool>());
    (delimiters, 0usize..7, flags, lines, 0usize..6).prop_map(
        |(delimiter, time, [quoted, swapped, blank], line, encoding)| Habit {
            delimiter,
            time,
            quoted,
            swapped,
            blank,
            line,
            encoding,
        },
    )
}

impl Habit {
    fn time(&self, time: i64) -> String {
        let at = jiff::Timestamp::from_second(time).unwrap();
        let utc = at.to_zoned(jiff::tz::TimeZone::UTC);
        match self.time {
            0 => at.to_string(),
            1 => utc.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            2 => utc.strftime("%Y/%m/%d %H:%M:%S").to_string(),
            3 => time.to_string(),
            4 => (time * 1000 + 7).to_string(),
            5 => at.in_tz("Europe/Berlin").unwrap().to_string(),
            _ => at.in_tz("Asia/Kolkata").unwrap().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        }
    }

    fn row(&self, cells: [String; 2]) -> String {
        let mut cells: Vec<String> = cells.into();
        if self.swapped {
            cells.reverse();
            cells.insert(1, "web, \"1\";2".into());
        }
        let quote = |cell: &String| match self.quoted || cell.contains([',', ';', '"']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.clone(),
        };
        let row = cells.iter().map(quote).collect::<Vec<_>>().join(&self.delimiter.to_string());
        row + self.line + if self.blank { self.line } else { "" }
    }

    /// The file with these rows; `None` is a gap.
    fn file(&self, rows: &[(i64, Option<i32>)]) -> Vec<u8> {
        let mut text = self.row(["timestamp".into(), "Value".into()]);
        for (index, &(time, hundredths)) in rows.iter().enumerate() {
            let value = match hundredths {
                Some(hundredths) => format!("{:.2}", f64::from(hundredths) / 100.0),
                None => ["", "null", "NaN", "-"][index % 4].into(),
            };
            let comma = self.delimiter != ',' && self.time.is_multiple_of(2);
            let value = if comma { value.replace('.', ",") } else { value };
            text += &self.row([self.time(time), value]);
        }
        let wide = |mark: &[u8], unit: fn(u16) -> [u8; 2]| {
            mark.iter().copied().chain(text.encode_utf16().flat_map(unit)).collect()
        };
        match self.encoding {
            0 => text.into_bytes(),
            1 => [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            2 => wide(b"\xff\xfe", u16::to_le_bytes),
            3 => wide(b"\xfe\xff", u16::to_be_bytes),
            4 => wide(b"", u16::to_le_bytes),
            _ => wide(b"", u16::to_be_bytes),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_series_is_the_same_in_every_file(
        start in 1_000_000_000i64..4_000_000_000,
        values in prop::collection::vec(prop::option::weighted(0.8, 0i32..=10_000), 1..40),
        habit in habits(),
    ) {
        let rows: Vec<_> = (start..).step_by(300).zip(values).collect();
        let of = |&(time, value): &(i64, Option<i32>)| Some((time, f64::from(value?) / 100.0));
        let expected: Vec<(i64, f64)> = rows.iter().filter_map(of).collect();
        prop_assert_eq!(points(&habit.file(&rows)).unwrap(), expected);
    }

    #[test]
    fn no_file_makes_trouble(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        text in "(time|Label|value|[0-9]{1,14}|[,;\t\"\r\n.]|\\PC){0,60}",
    ) {
        for file in [&bytes, text.as_bytes()] {
            if let Ok(csv) = Csv::parse(file) {
                let _ = csv.value().and_then(|value| csv.series(value));
            }
        }
    }
}
