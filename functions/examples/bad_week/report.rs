//! The document.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use textwrap::{Options, WordSplitter};

use crate::fleet::{GROUPS, HISTORY, WEEK, Week, ZONE, local};
use crate::picture;
use crate::story::{NEWBORN, SILENT, Trouble};
use crate::told::{Began, Message, Told, anomalies};

const HOUR: i64 = 3600;

/// All that the document tells of.
pub(crate) struct Report<'a> {
    pub(crate) week: &'a Week,
    pub(crate) told: &'a Told,
    pub(crate) runs: usize,
}

impl Report<'_> {
    /// Writes `bad-week.md` and its picture into the folder of the documents.
    pub(crate) fn write(&self, out: &Path) -> Result<()> {
        let images = out.join("images");
        fs::create_dir_all(&images).with_context(|| format!("cannot make {}", images.display()))?;
        let picture = images.join("bad-week.png");
        picture::draw(&picture, self.week, self.told)?;
        let path = out.join("bad-week.md");
        fs::write(&path, self.document()?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("{} and {}", path.display(), picture.display());
        Ok(())
    }

    fn document(&self) -> Result<String> {
        let mut parts = vec![self.introduction()?, self.wrong()?, self.silent()?];
        parts.push(self.counted());
        parts.push(
            "![Anomalies and pages of twelve groups from 27 March to 4 April](images/bad-week.png)"
                .into(),
        );
        let marks = "A small mark is an anomaly, a large one a page. The numbers are those of the \
                     table; a question mark is a page for nothing.";
        parts.push(wrapped(marks));
        parts.push(self.for_nothing()?);
        parts.push(self.inbox()?);
        parts.push(self.in_full()?);
        parts.push(self.thread()?);
        parts.push(self.digests()?);
        Ok(parts.join("\n\n") + "\n")
    }

    fn introduction(&self) -> Result<String> {
        let lives_on = self.week.machines.iter().filter(|one| one.lives.1 == i64::MAX).count();
        let days = (local(WEEK[0])? - local(HISTORY)?).div_euclid(24 * HOUR);
        let about = format!(
            "{lives_on} machines in {} groups from Friday 27 March to Saturday 4 April 2026, by \
             the clock of Berlin: over a change of clocks and a holiday, after {days} days of \
             history. `make bad-week` replays it at a scripted AWS: detector and calibrator are \
             the functions' own, {} runs. A fixed seed generates the fleet, so each replay writes \
             the same.",
            GROUPS.len(),
            self.runs
        );
        let settings = "Settings: `TimeZone=Europe/Berlin`, `GroupBy` the Auto Scaling group, \
                        `PagesPerWeek=2`, `ReportingStopped=on`, `NotifyRecovery=on`, \
                        `Digest=08:00`, a chat, and a calendar of holidays. All times are local.";
        Ok(format!("# A bad week\n\n{}\n\n{}", wrapped(&about), wrapped(settings)))
    }

    /// The troubles of each number.
    fn stories(&self) -> BTreeMap<usize, Vec<&Trouble>> {
        let mut stories: BTreeMap<usize, Vec<&Trouble>> = BTreeMap::new();
        for trouble in &self.week.troubles {
            stories.entry(trouble.number).or_default().push(trouble);
        }
        stories
    }

    fn wrong(&self) -> Result<String> {
        let mut rows = vec![
            "## What went wrong\n".to_string(),
            "| | whose | from | told after | as | anomalies | messages |".to_string(),
            "| --- | --- | --- | --- | --- | --- | --- |".to_string(),
        ];
        let mut what = Vec::new();
        for (number, troubles) in self.stories() {
            let Some(first) = troubles.first() else { continue };
            let began: Vec<&Began> = self.told.of_trouble(self.week, number).collect();
            let paged = began.iter().find(|began| began.is_message).or(began.first());
            let after = paged.map(|began| format!("{} min", (began.now - first.from) / 60));
            what.push(format!("{number}. {}: {}.", first.whose, first.what));
            rows.push(format!(
                "| {number} | {} | {} | {} | {} | {} | {}, {} |",
                first.whose,
                clock(first.from)?,
                after.unwrap_or_else(|| "-".into()),
                self.told_as(&began),
                anomalies(began.iter().copied()),
                began.iter().filter(|began| began.is_message).count(),
                self.ended(&began)
            ));
        }
        let list: Vec<String> = what.iter().map(|line| hanging(line)).collect();
        rows.insert(1, format!("{}\n", list.join("\n")));
        let note = "*After*: from the begin to the arrival of the page, or of the first notice \
                    where no page came. *Messages*: of a begin, of an end. An anomaly belongs to \
                    a trouble while it lasts, for a day at most (a leak: until its end), and for \
                    three hours after it; so does one that joins the incident of its page.";
        rows.push(format!("\n{}", wrapped(note)));
        Ok(rows.join("\n"))
    }

    /// As what a trouble was told.
    fn told_as(&self, began: &[&Began]) -> String {
        if let Some(page) = began.iter().find(|began| began.is_message) {
            let scope = match page.scope.as_str() {
                "machine" => "page",
                "group" => "page of a group",
                _ => "page of the fleet",
            };
            let shape = self.told.message(page).and_then(|message| shape(&message.text));
            return format!("{scope}: {}", shape.unwrap_or_else(|| page.shape.clone()));
        }
        match began.first() {
            Some(_) if began.iter().any(|began| began.paged) => "joined an incident".into(),
            Some(_) => "notice".into(),
            None => "nothing".into(),
        }
    }

    /// How many messages said that the incidents of these anomalies are over.
    fn ended(&self, began: &[&Began]) -> usize {
        let is_one = |message: &&Message| {
            let last = self.told.began.iter().find(|began| began.id == message.id);
            let incident = last.map(|last| &last.incident);
            message.kind == "ended"
                && began.iter().any(|one| one.is_message && Some(&one.incident) == incident)
        };
        self.told.inbox.iter().filter(is_one).count()
    }

    /// Anomalies that no trouble explains.
    fn unexplained(&self) -> impl Iterator<Item = &Began> {
        self.told.began.iter().filter(|began| self.told.cause(self.week, began).is_none())
    }

    fn silent(&self) -> Result<String> {
        let mut rows = vec![
            "What had to stay silent, without the anomalies of the table above:\n".to_string(),
            "| what | anomalies | pages |".to_string(),
            "| --- | --- | --- |".to_string(),
        ];
        let mut row = |what: &str, began: Vec<&Began>| {
            let pages = began.iter().filter(|began| began.is_message).count();
            rows.push(format!("| {what} | {} | {pages} |", anomalies(began)));
        };
        for (what, times) in SILENT {
            let [from, until] = times.map(local);
            let (from, until) = (from?, until?);
            let then = self.unexplained().filter(|began| (from..until).contains(&began.seen));
            row(what, then.collect());
        }
        let healthy = self.week.machines.iter().filter(|machine| machine.lives.1 != i64::MAX);
        let (healthy, lives) = (healthy.count() - 1, "machines of web that live for hours");
        let of_newborns = self
            .unexplained()
            .filter(|began| self.week.machines[began.machine].lives.1 != i64::MAX)
            .collect();
        row(&format!("{healthy} healthy {lives}"), of_newborns);
        row("the whole week", self.unexplained().collect());
        Ok(rows.join("\n"))
    }

    fn counted(&self) -> String {
        let kind = |kind: &str| self.told.inbox.iter().filter(|one| one.kind == kind).count();
        let all = anomalies(&self.told.began);
        let explained = all - anomalies(self.unexplained());
        wrapped(&format!(
            "A pager of each machine by itself would have rung {} times, once for each anomaly \
             ({explained} of them come of the troubles above). The people got {} messages that \
             something began, {} that it was over, and {} digests. Pages for nothing: {}.",
            all,
            kind("began"),
            kind("ended"),
            kind("digest"),
            self.unexplained().filter(|began| began.is_message).count()
        ))
    }

    fn for_nothing(&self) -> Result<String> {
        let mut parts = vec!["## Pages for nothing".to_string()];
        for began in self.unexplained().filter(|began| began.is_message) {
            parts.extend(self.told.message(began).map(full).transpose()?);
        }
        if parts.len() == 1 {
            parts.push("None.".into());
        }
        Ok(parts.join("\n\n"))
    }

    fn inbox(&self) -> Result<String> {
        let lines: Result<Vec<String>> = self
            .told
            .inbox
            .iter()
            .map(|message| Ok(format!("{}  {}", clock(message.now)?, message.subject)))
            .collect();
        Ok(format!(
            "## The inbox\n\n{} messages, as they arrived:\n\n```text\n{}\n```",
            self.told.inbox.len(),
            indented(&lines?.join("\n"))
        ))
    }

    fn in_full(&self) -> Result<String> {
        let first = |is_it: &dyn Fn(&Began) -> bool| {
            let pages = self.told.began.iter().filter(|began| began.is_message);
            pages
                .filter(|began| self.told.cause(self.week, began).is_some())
                .find(|began| is_it(began))
        };
        let kinds = [
            ("A group", first(&|began| began.scope == "group")),
            ("A machine unlike its peers", first(&|began| began.shape == "unlike_peers")),
            (
                "A machine of two hours, judged by its group",
                first(&|began| {
                    began.by_group && self.told.cause(self.week, began) == Some(NEWBORN)
                }),
            ),
        ];
        let mut parts = vec!["## Three of them in full".to_string()];
        for (what, began) in kinds {
            let message = began.and_then(|began| self.told.message(began));
            parts.push(match message {
                Some(message) => format!("{what}:\n\n{}", full(message)?),
                None => format!("{what}: no such page came."),
            });
        }
        Ok(parts.join("\n\n"))
    }

    /// The longest thread of the chat.
    fn thread(&self) -> Result<String> {
        let mut threads: Vec<(&str, Vec<&Message>)> = Vec::new();
        for (thread, message) in &self.told.chat {
            match threads.iter_mut().find(|(known, _)| known == thread) {
                Some((_, messages)) => messages.push(message),
                None => threads.push((thread, vec![message])),
            }
        }
        let mut longest: &[&Message] = &[];
        for (_, messages) in threads.iter().filter(|(_, messages)| messages.len() > longest.len()) {
            longest = messages;
        }
        let lines: Result<Vec<String>> = longest
            .iter()
            .map(|one| Ok(indented(&format!("{}  {}\n{}", clock(one.now)?, one.subject, one.text))))
            .collect();
        let about = wrapped(&format!(
            "{} messages in {} threads. The longest one from its begin to its end, without \
             buttons and links:",
            self.told.chat.len(),
            threads.len()
        ));
        Ok(format!("## The chat\n\n{about}\n\n```text\n{}\n```", lines?.join("\n\n")))
    }

    /// The two longest digests.
    fn digests(&self) -> Result<String> {
        let mut digests: Vec<&Message> =
            self.told.inbox.iter().filter(|message| message.kind == "digest").collect();
        digests.sort_by_key(|message| std::cmp::Reverse(message.text.lines().count()));
        digests.truncate(2);
        digests.sort_by_key(|message| message.now);
        let texts: Result<Vec<String>> = digests.into_iter().map(full).collect();
        Ok(format!(
            "## The digest\n\nIt comes at eight in the morning, after a day with anomalies. Two \
             of them:\n\n{}",
            texts?.join("\n\n")
        ))
    }
}

/// A paragraph in lines of at most 100 columns.
fn wrapped(text: &str) -> String {
    textwrap::fill(text, columns())
}

/// Lines of at most 100 columns, each of `text` apart. What does not fit goes on below, indented.
fn indented(text: &str) -> String {
    let options = columns().subsequent_indent("    ");
    let lines = text.lines().map(|line| textwrap::fill(line, &options));
    lines.collect::<Vec<_>>().join("\n")
}

/// An item of a list.
fn hanging(text: &str) -> String {
    textwrap::fill(text, columns().subsequent_indent("   "))
}

fn columns() -> Options<'static> {
    Options::new(100).break_words(false).word_splitter(WordSplitter::NoHyphenation)
}

/// A message as it arrived; the address of its graph and the command are cut.
fn full(message: &Message) -> Result<String> {
    let line = |line: &str| {
        let cut = ["#metricsV2:graph=", "--function-name "].into_iter().find_map(|end| {
            let (before, _) = line.split_once(end)?;
            Some(format!("{before}{end}..."))
        });
        cut.unwrap_or_else(|| line.to_string())
    };
    let lines: Vec<String> = message.text.lines().map(line).collect();
    let text = indented(&format!("Subject: {}\n\n{}", message.subject, lines.join("\n")));
    Ok(format!("```text\n{}\n{text}\n```", clock(message.now)?))
}

/// The words of a message for what it looks like.
fn shape(text: &str) -> Option<String> {
    let looks = text.lines().find_map(|line| line.strip_prefix("It looks like: "))?;
    Some(looks.split('.').next()?.to_string())
}

/// A local time such as Fri 27 Mar 10:40.
pub(crate) fn clock(time: i64) -> Result<String> {
    let there = Timestamp::from_second(time)?.to_zoned(TimeZone::get(ZONE)?);
    Ok(there.strftime("%a %d %b %H:%M").to_string())
}
