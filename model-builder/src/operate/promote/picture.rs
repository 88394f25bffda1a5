//! The pages of both models by instance, as bars.

use std::path::Path;

use anyhow::Result;
use deepguard_aws::ids::TargetId;
use plotters::prelude::*;

use super::verdict::{Comparison, Pair};
use crate::common::picture::{EXPECTED, INK, SCORE, WIDTH, png};

/// Instances that are drawn: those that page most.
const DRAWN: usize = 40;
/// Pixels of the head and of each instance.
const HEAD: i32 = 100;
const ROW: i32 = 30;
/// Pixels left of the bars, and right of the longest one.
const LEFT: i32 = 260;
const RIGHT: i32 = 60;

/// Draws it.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn draw(
    comparison: &Comparison,
    current: &str,
    candidate: &str,
    out: &Path,
) -> Result<()> {
    let pages = |pair: &Pair| pair.current.pages.len().max(pair.candidate.pages.len());
    let mut drawn: Vec<(&TargetId, &Pair)> =
        comparison.instances.iter().filter(|(_, pair)| pages(pair) > 0).collect();
    drawn.sort_by_key(|(_, pair)| std::cmp::Reverse(pages(pair)));
    let paging = drawn.len();
    drawn.truncate(DRAWN);
    let most = drawn.first().map_or(1, |(_, pair)| pages(pair));
    let height = HEAD + ROW * drawn.len().max(1) as i32 + 20;
    png(out, height as u32, |area| {
        let text = |size: u32| ("sans-serif", size).into_font().color(&INK);
        let title = format!(
            "Pages from {} to {}: {} instances, of which {paging} page",
            comparison.from,
            comparison.until,
            comparison.instances.len()
        );
        area.draw(&Text::new(title, (20, 12), text(26)))?;
        for (x, colour, name) in [
            (20, EXPECTED, format!("current {current}")),
            (620, SCORE, format!("candidate {candidate}")),
        ] {
            area.draw(&Rectangle::new([(x, 56), (x + 22, 68)], colour.filled()))?;
            area.draw(&Text::new(name, (x + 30, 52), text(18)))?;
        }
        if drawn.is_empty() {
            area.draw(&Text::new("Neither model pages for any instance.", (20, HEAD), text(20)))?;
        }
        for (row, (instance, pair)) in drawn.iter().enumerate() {
            let top = HEAD + ROW * row as i32;
            area.draw(&Text::new(instance.to_string(), (20, top + 4), text(18)))?;
            let bars =
                [(top, &pair.current, EXPECTED), (top + ROW / 2 - 1, &pair.candidate, SCORE)];
            for (top, side, colour) in bars {
                let count = side.pages.len();
                let length = (WIDTH as i32 - LEFT - RIGHT) * count as i32 / most as i32;
                let corners = [(LEFT, top + 2), (LEFT + length.max(1), top + ROW / 2 - 2)];
                area.draw(&Rectangle::new(corners, colour.filled()))?;
                area.draw(&Text::new(count.to_string(), (LEFT + length + 6, top), text(14)))?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::promote::contest::pair;
    use crate::testing::instance;

    #[test]
    fn many_instances_and_none_can_be_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let time = |second| jiff::Timestamp::from_second(second).unwrap();
        for (count, rows) in [(0, 1), (3, 3), (60, 40)] {
            let mut comparison = Comparison::new(time(0), time(300));
            let pages = |number: usize| (0..number as i64).collect::<Vec<_>>();
            let all = (0..count)
                .map(|number| (instance(number), pair(&pages(number + 1), &pages(number / 2), 9)));
            comparison.instances.extend(all);
            let out = folder.path().join(format!("{count}.png"));
            draw(&comparison, "v1", "v2", &out).unwrap();
            let header = std::fs::read(&out).unwrap();
            let height = u32::from_be_bytes(header[20..24].try_into().unwrap());
            assert_eq!(height as i32, HEAD + ROW * rows + 20);
        }
    }
}
