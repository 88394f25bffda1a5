//! The score of the Numenta Anomaly Benchmark (v1.1), as NAB's own sweeper, optimizer and runner
//! work it out.
//!
//! A row whose score reaches the threshold is a detection. Each labelled window counts once, by the
//! best (the first) detection in it: 1 at its first row, less along a sigmoid towards its end. A
//! window without a detection costs a miss. Each detection outside the windows has a cost, too:
//! little just behind a window, the whole weight far from any. A detector that never detects gets
//! 0, a perfect one 100. Rows under probation do not count.
//!
//! Definition: Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms - the Numenta
//! Anomaly Benchmark", ICMLA 2015. Where the code of NAB differs from the paper (what is divided by
//! what, ties), this follows the code.

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};

/// A threshold that no score reaches: where NAB's search for the best one begins.
const ABOVE_ALL: f64 = 1.1;

/// The weights of a hit, a false alarm and a miss in an application. NAB's weight for quiet rows
/// has no use, there or here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ApplicationProfile {
    /// As NAB calls it.
    pub(crate) name: &'static str,
    hit: f64,
    false_alarm: f64,
    miss: f64,
}

impl ApplicationProfile {
    /// False alarms and misses in balance.
    pub(crate) const STANDARD: Self =
        Self { name: "standard", hit: 1.0, false_alarm: 0.11, miss: 1.0 };
    /// False alarms are expensive.
    pub(crate) const LOW_FP: Self =
        Self { name: "reward_low_FP_rate", hit: 1.0, false_alarm: 0.22, miss: 1.0 };
    /// Misses are expensive.
    pub(crate) const LOW_FN: Self =
        Self { name: "reward_low_FN_rate", hit: 1.0, false_alarm: 0.11, miss: 2.0 };
    /// All three.
    pub(crate) const ALL: [Self; 3] = [Self::STANDARD, Self::LOW_FP, Self::LOW_FN];

    /// The score of these files together. Without any window it is not a number.
    ///
    /// It is not the mean over the files: each file weighs by its windows. So use this for a
    /// resampled list of files, too.
    pub(crate) fn score<'a>(&self, files: impl IntoIterator<Item = &'a FileOutcome>) -> f64 {
        let (raw, windows) = files
            .into_iter()
            .fold((0.0, 0), |(raw, windows), file| (raw + file.raw(), windows + file.windows));
        self.points(raw + windows as f64 * self.miss, windows)
    }

    /// Points of 100: 0 is a detector that never detects, 100 a perfect one.
    fn points(&self, part: f64, windows: usize) -> f64 {
        100.0 * part / (windows as f64 * (self.hit + self.miss))
    }
}

/// One file as a detector scored it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScoredFile<'a> {
    /// Of each row of the file, in seconds, in the file's order. The file's own: NAB's windows
    /// begin and end at them.
    pub(crate) times: &'a [i64],
    /// Of each row, 0 to 1.
    pub(crate) scores: &'a [f64],
    /// Labelled windows by time, in order and apart from each other. The last row of each lies
    /// before its `end`; in NAB's files these are the rows from NAB's first to its last time stamp
    /// of the window, both included.
    pub(crate) windows: &'a [Range<i64>],
    /// How many of the first rows do not count.
    pub(crate) probation: usize,
}

/// The result of one file at a threshold. Points as in [`ApplicationProfile::score`] are sums over
/// many of these.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct FileOutcome {
    /// Labelled windows.
    pub(crate) windows: usize,
    /// Windows with a detection.
    pub(crate) hit: usize,
    /// Detected rows outside all windows.
    pub(crate) false_positives: usize,
    /// Gained by hits: at most the weight of a hit for each window.
    pub(crate) gained: f64,
    /// Lost by misses, not negative.
    pub(crate) missed: f64,
    /// Lost by false positives, not negative.
    pub(crate) disturbed: f64,
}

impl FileOutcome {
    /// NAB's score of the file before it is brought to 0 to 100.
    pub(crate) fn raw(&self) -> f64 {
        self.gained - self.missed - self.disturbed
    }
}

/// A detector at one threshold.
#[derive(Debug, Clone)]
pub(crate) struct NabOutcome {
    /// Scores from here on are detections.
    pub(crate) threshold: f64,
    /// At most 100. A silent detector gets 0, and false alarms lead far below.
    pub(crate) score: f64,
    /// The result of each file, in the order in which they were given.
    pub(crate) files: Vec<FileOutcome>,
    profile: ApplicationProfile,
}

impl NabOutcome {
    /// Points of the score that a file (one of `files`) lost. Over all files they add up to `100 -
    /// score`.
    pub(crate) fn lost(&self, file: &FileOutcome) -> f64 {
        let windows = self.files.iter().map(|file| file.windows).sum();
        self.profile.points(file.windows as f64 * self.profile.hit - file.raw(), windows)
    }

    /// Windows with a detection.
    pub(crate) fn hit(&self) -> usize {
        self.files.iter().map(|file| file.hit).sum()
    }

    /// Labelled windows.
    pub(crate) fn windows(&self) -> usize {
        self.files.iter().map(|file| file.windows).sum()
    }

    /// Detected rows outside all windows.
    pub(crate) fn false_positives(&self) -> usize {
        self.files.iter().map(|file| file.false_positives).sum()
    }
}

/// A row that counts.
#[derive(Debug, Clone, Copy)]
struct Row {
    score: f64,
    file: usize,
    /// The window it lies in, counted over all files.
    window: Option<usize>,
    /// The value of its detection, before weights: over 0 to 1 in a window, -1 to under 0 outside.
    worth: f64,
}

/// The rows of all files, highest score first: every threshold is a cut through them.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    rows: Vec<Row>,
    /// The file of each window.
    windows: Vec<usize>,
    files: usize,
}

impl Rows {
    /// A window without any row that counts is left out; NAB has no such windows.
    ///
    /// # Errors
    /// Where times and scores of a file differ in number, a score is not within 0 to 1, or there is
    /// no window at all.
    pub(crate) fn new(files: &[ScoredFile<'_>]) -> Result<Self> {
        let mut all = Self { rows: Vec::new(), windows: Vec::new(), files: files.len() };
        for (index, file) in files.iter().enumerate() {
            all.add(index, file)
                .with_context(|| format!("file {} of {}", index + 1, files.len()))?;
        }
        ensure!(
            !all.windows.is_empty(),
            "no file has a labelled window: there is nothing to score against"
        );
        // Stable: rows of equal score stay in the order of the files, which is the order in which
        // NAB adds them up.
        all.rows.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(all)
    }

    fn add(&mut self, index: usize, file: &ScoredFile<'_>) -> Result<()> {
        let (times, scores) = (file.times, file.scores);
        ensure!(times.len() == scores.len(), "{} times, but {} scores", times.len(), scores.len());
        if let Some(row) = scores.iter().position(|score| !(0.0..=1.0).contains(score)) {
            bail!("row {} has a score of {}, which is not within 0 to 1", row + 1, scores[row]);
        }
        let spans: Vec<Range<usize>> =
            file.windows.iter().filter_map(|window| span(times, window)).collect();
        let named: Vec<Option<usize>> =
            spans.iter().map(|span| self.name(index, span, file.probation)).collect();
        let (mut inside, mut behind) = (spans.iter().zip(named).peekable(), None);
        for (row, &score) in scores.iter().enumerate() {
            while let Some((span, _)) = inside.next_if(|(span, _)| span.end <= row) {
                behind = Some(span);
            }
            let window = inside.peek().filter(|(span, _)| span.contains(&row));
            let worth = window
                .map_or_else(|| worth_outside(row, behind), |(span, _)| worth_inside(row, span));
            if row >= file.probation {
                self.rows.push(Row {
                    score,
                    file: index,
                    window: window.and_then(|(_, name)| *name),
                    worth,
                });
            }
        }
        Ok(())
    }

    /// The number of a new window, unless it lies in the probation as a whole.
    fn name(&mut self, file: usize, span: &Range<usize>, probation: usize) -> Option<usize> {
        (span.end > probation).then(|| {
            self.windows.push(file);
            self.windows.len() - 1
        })
    }

    /// The outcome where a score of `threshold` and more is a detection.
    pub(crate) fn at(&self, profile: &ApplicationProfile, threshold: f64) -> NabOutcome {
        let mut files = vec![FileOutcome::default(); self.files];
        let mut gains = vec![0.0_f64; self.windows.len()];
        for row in self.rows.iter().take_while(|row| row.score >= threshold) {
            match row.window {
                Some(window) => gains[window] = gains[window].max(row.worth * profile.hit),
                None => {
                    files[row.file].false_positives += 1;
                    files[row.file].disturbed -= row.worth * profile.false_alarm;
                }
            }
        }
        for (&file, gain) in self.windows.iter().zip(gains) {
            let file = &mut files[file];
            file.windows += 1;
            if gain > 0.0 {
                file.hit += 1;
                file.gained += gain;
            } else {
                file.missed += profile.miss;
            }
        }
        NabOutcome { threshold, score: profile.score(&files), files, profile: *profile }
    }

    /// The outcome at the best of all thresholds, and at the highest of them where several are
    /// equally good.
    ///
    /// NAB publishes this score, although finding it needs the labels. One sweep starts at the
    /// highest score and goes down. It costs a few additions a row, and one sum over the windows
    /// whenever a window is hit better than before.
    pub(crate) fn best(&self, profile: &ApplicationProfile) -> NabOutcome {
        let mut parts = vec![-profile.miss; self.windows.len()];
        let (mut outside, mut inside) = (0.0, parts.iter().sum::<f64>());
        let mut best = (ABOVE_ALL, inside);
        for equal in self.rows.chunk_by(|a, b| a.score == b.score) {
            let mut better = false;
            for row in equal {
                match row.window {
                    None => outside += row.worth * profile.false_alarm,
                    Some(window) if row.worth * profile.hit > parts[window] => {
                        parts[window] = row.worth * profile.hit;
                        better = true;
                    }
                    Some(_) => {}
                }
            }
            if better {
                // Sums afresh instead of adding differences: rounding must not choose between
                // thresholds that are equally good.
                inside = parts.iter().sum();
            }
            if outside + inside > best.1 {
                best = (equal[0].score, outside + inside);
            }
        }
        self.at(profile, best.0)
    }
}

/// Rows of the window, or `None` for a window without rows.
fn span(times: &[i64], window: &Range<i64>) -> Option<Range<usize>> {
    let first = times.iter().position(|time| window.contains(time))?;
    let last = times.iter().rposition(|time| window.contains(time))?;
    Some(first..last + 1)
}

/// The value of a detection at this row of a window: 1 at its first row, and still a little at its
/// last.
fn worth_inside(row: usize, window: &Range<usize>) -> f64 {
    sigmoid(-((window.end - row) as f64) / window.len() as f64) / sigmoid(-1.0)
}

/// The value of a detection outside, by the distance from the window before it, in widths of that
/// window: -1 where it is far, or where no window comes before.
fn worth_outside(row: usize, behind: Option<&Range<usize>>) -> f64 {
    let Some(window) = behind else { return -1.0 };
    let position = (row + 1 - window.end) as f64 / (window.len() - 1) as f64;
    if position > 3.0 { -1.0 } else { sigmoid(position) }
}

/// From nearly 1 at -1 through 0 at 0 to nearly -1 at 1.
fn sigmoid(position: f64) -> f64 {
    2.0 / (1.0 + (5.0 * position).exp()) - 1.0
}

#[cfg(test)]
mod tests;
