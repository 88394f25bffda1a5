//! Numbers in the cells of a file, and cells without one.

use anyhow::{Context, Result};

use super::shown;

/// Cells that say that there is no value, in small letters.
const GAPS: [&str; 4] = ["", "-", "nan", "null"];

/// The meaning of a comma in the numbers of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commas {
    /// It is the decimal sign.
    Decimal,
    /// It may be the decimal sign or divide thousands, so a number with one is refused.
    Unclear,
}

impl Commas {
    /// The meaning in a column with these cells.
    ///
    /// Between commas as delimiters, no comma is a decimal sign. Between semicolons each is one,
    /// since programs write semicolons where the comma is the decimal sign. Between tabs it has to
    /// show: `1,234` alone could be thousands, so some number of the column has to have another
    /// count of digits behind its comma, or a zero before it. A column that also has a decimal
    /// point is unclear in any case.
    pub(super) fn of<'a>(delimiter: u8, cells: impl Iterator<Item = &'a str>) -> Self {
        let (mut point, mut shows) = (false, delimiter == b';');
        for cell in cells {
            point |= cell.contains('.');
            shows |= cell.split_once(',').is_some_and(|(before, after)| {
                let whole = before.trim_start_matches(['-', '+']);
                !(after.len() == 3 && (1..=3).contains(&whole.len()) && !whole.starts_with('0'))
            });
        }
        match delimiter != b',' && shows && !point {
            true => Self::Decimal,
            false => Self::Unclear,
        }
    }
}

/// The number of a cell; `None` where the cell is empty, `-`, `NaN` or `null`, in capitals or not.
///
/// The decimal sign is a point, or a comma where `commas` says so. Thousands are never divided.
///
/// # Errors
/// Where the cell is something else. Names it.
pub(super) fn number(cell: &str, commas: Commas) -> Result<Option<f64>> {
    if GAPS.iter().any(|gap| cell.eq_ignore_ascii_case(gap)) {
        return Ok(None);
    }
    let decimal = match commas {
        Commas::Decimal => cell.replace(',', "."),
        Commas::Unclear => cell.to_string(),
    };
    let number = decimal.parse::<f64>().ok().filter(|number| number.is_finite());
    number.map(Some).with_context(|| {
        format!("`{}` is no number: write digits with a decimal point, or nothing", shown(cell))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of a column between such delimiters, or the first error.
    fn column(delimiter: u8, cells: &[&str]) -> Result<Vec<Option<f64>>, String> {
        let commas = Commas::of(delimiter, cells.iter().copied());
        let number = |cell: &&str| number(cell, commas).map_err(|error| error.to_string());
        cells.iter().map(number).collect()
    }

    #[test]
    fn a_comma_is_a_decimal_sign_where_it_can_be_nothing_else() {
        let read = |delimiter, cells: &[&str]| column(delimiter, cells).unwrap();
        assert_eq!(read(b';', &["1,234", "-7"]), [Some(1.234), Some(-7.0)]);
        assert_eq!(read(b'\t', &["1,234", "1,5"]), [Some(1.234), Some(1.5)]);
        assert_eq!(read(b'\t', &["1,234", "0,123"]), [Some(1.234), Some(0.123)]);
        for (delimiter, cells, wrong) in [
            (b',', &["1,5"][..], "1,5"),
            (b'\t', &["1,234", "12,345"], "1,234"),
            (b';', &["1,5", "2.5"], "1,5"),
            (b';', &["1,234,567"], "1,234,567"),
            (b';', &["1.234,5"], "1.234,5"),
            (b'\t', &["1,234.5"], "1,234.5"),
        ] {
            let told = column(delimiter, cells).unwrap_err();
            assert!(told.starts_with(&format!("`{wrong}` is no number: write digits")), "{told}");
        }
    }

    #[test]
    fn a_gap_is_no_number_and_no_error() {
        let gaps = ["", "-", "NaN", "nan", "null", "NULL"];
        assert_eq!(column(b',', &gaps).unwrap(), [None; 6]);
        for wrong in ["inf", "-inf", "-nan", "12 %", "n", "--", "1e999", "0x1"] {
            let told = column(b',', &[wrong]).unwrap_err();
            assert!(told.starts_with(&format!("`{wrong}` is no number")), "{told}");
        }
        assert_eq!(
            column(b',', &["1e1", "+.5", "5."]).unwrap(),
            [Some(10.0), Some(0.5), Some(5.0)]
        );
    }
}
