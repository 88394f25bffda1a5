//! The picture: the week as a time line, a row for each group.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use crate::canvas::{self, Align, Canvas, FAINT, INK, PALETTE, Spot, fine};
use crate::fleet::{GROUPS, WEEK, Week, local};
use crate::told::{Began, Told};

const WIDTH: u32 = 1600;
const HEIGHT: u32 = 820;
const MARGIN: f64 = 24.0;
const TITLE: f64 = 27.0;
const LABEL: f64 = 19.0;
const SMALL: f64 = 16.0;
const LEFT: f64 = 150.0;
const TOP: f64 = 150.0;
const ROW: f64 = 50.0;
const DAY: i64 = 86_400;

const PAGE: RGBColor = RGBColor(213, 94, 0);
const FREE: RGBColor = RGBColor(243, 245, 248);
const HOLIDAY: RGBColor = RGBColor(252, 236, 206);
const CLOCKS: RGBColor = RGBColor(222, 236, 247);

/// The days of the week, and how each is shaded.
const DAYS: [(&str, Option<RGBColor>); 9] = [
    ("Fri 27 March", None),
    ("Sat 28", Some(FREE)),
    ("Sun 29", Some(CLOCKS)),
    ("Mon 30", None),
    ("Tue 31", None),
    ("Wed 1 April", None),
    ("Thu 2", None),
    ("Fri 3", Some(HOLIDAY)),
    ("Sat 4", Some(FREE)),
];

pub(crate) fn draw(path: &Path, week: &Week, told: &Told) -> Result<()> {
    let [from, until] = WEEK.map(local);
    let (from, until) = (from?, until?);
    let across = |time: i64| {
        let part = (time - from) as f64 / (until - from) as f64;
        LEFT + part * (f64::from(WIDTH) - MARGIN - LEFT)
    };
    let bottom = TOP + ROW * GROUPS.len() as f64;
    let row = |began: &Began| TOP + ROW * (week.machines[began.machine].group as f64 + 0.5);
    canvas::draw(path, (WIDTH, HEIGHT), |canvas| {
        let title = "A bad week: 200 machines in 12 groups";
        canvas.text(title, (MARGIN, MARGIN + TITLE / 2.0), TITLE, Align::Left, INK)?;
        legend(canvas, MARGIN + TITLE * 2.0)?;
        for (number, (name, shade)) in DAYS.iter().enumerate() {
            let begin = local(WEEK[0])? + number as i64 * DAY;
            // From the third day on, an hour is missing.
            let missing = |days: usize| if days > 2 { 3600 } else { 0 };
            let (left, right) =
                (across(begin - missing(number)), across(begin + DAY - missing(number + 1)));
            if let Some(shade) = shade {
                canvas.area.draw(&Rectangle::new(
                    [fine((left, TOP)), fine((right, bottom))],
                    shade.filled(),
                ))?;
            }
            canvas.line(&[(left, TOP), (left, bottom)], 1.0, FAINT)?;
            let middle = (left + right) / 2.0;
            canvas.text(name, (middle, TOP - LABEL), LABEL, Align::Centre, INK)?;
        }
        for (number, group) in GROUPS.iter().enumerate() {
            let y = TOP + ROW * number as f64;
            let end = f64::from(WIDTH) - MARGIN;
            canvas.line(&[(LEFT, y), (end, y)], 1.0, FAINT)?;
            let middle = y + ROW / 2.0;
            canvas.text(group.name, (MARGIN, middle - 8.0), LABEL, Align::Left, INK)?;
            let size = format!("{} machines", group.size);
            canvas.text(&size, (MARGIN, middle + 13.0), SMALL, Align::Left, INK)?;
        }
        let shown = || told.began.iter().filter(|began| began.seen >= from);
        for began in shown() {
            // Machines of a group are apart, so that marks of one time are.
            let place = began.machine as f64 * 0.618_034;
            let y = row(began) + (place.fract() - 0.5) * ROW * 0.6;
            canvas.disc((across(began.seen), y), 3.5, PALETTE[0])?;
        }
        let pages: Vec<&Began> = shown().filter(|began| began.is_message).collect();
        for began in &pages {
            let (x, y) = (across(began.seen), row(began));
            if began.scope == "fleet" {
                canvas.line(&[(x, TOP), (x, bottom)], 2.5, PAGE)?;
            }
            canvas.disc((x, y), 7.0, PAGE)?;
            let number = told.cause(week, began).map_or("?".into(), |number| number.to_string());
            let is_close =
                |other: &&Began| row(other) == y && (1.0..30.0).contains(&(across(other.seen) - x));
            match pages.iter().copied().any(|other| is_close(&other)) {
                true => canvas.text(&number, (x, y - 16.0), LABEL, Align::Centre, PAGE)?,
                false => canvas.text(&number, (x + 12.0, y - 4.0), LABEL, Align::Left, PAGE)?,
            }
        }
        let note = "Numbers are those of the table; ? is a page for nothing; a line is a page of \
                    the whole fleet.";
        canvas.text(note, (LEFT, bottom + LABEL * 1.5), LABEL, Align::Left, INK)
    })
}

fn legend(canvas: &Canvas<'_, '_>, y: f64) -> Result<()> {
    let mut x = MARGIN + 10.0;
    let name = |text: &str, x: &mut f64| -> Result<()> {
        canvas.text(text, (*x + 20.0, y), LABEL, Align::Left, INK)?;
        *x += 20.0 + canvas::width(text, LABEL) + 40.0;
        Ok(())
    };
    canvas.disc((x, y), 3.5, PALETTE[0])?;
    name("anomaly of a machine", &mut x)?;
    canvas.disc((x, y), 7.0, PAGE)?;
    name("page", &mut x)?;
    for (shade, text) in [(CLOCKS, "clocks change"), (HOLIDAY, "holiday"), (FREE, "weekend")] {
        let corners: [Spot; 2] = [(x - 12.0, y - 10.0), (x + 12.0, y + 10.0)];
        canvas.area.draw(&Rectangle::new(corners.map(fine), shade.filled()))?;
        name(text, &mut x)?;
    }
    Ok(())
}
