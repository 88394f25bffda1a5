//! The words about the incident of an episode.

use deepguard::budget::PageLevel;
use deepguard::incident::{Earlier, Note, Scope};
use deepguard_aws::ids::TargetId;
use serde_json::{Value, json};

use crate::alert::plain::plain;
use crate::alert::{Sender, count, duration, round};
use crate::time::rfc3339;

/// The maximum number of machines that a message names.
const MOST_NAMED: usize = 8;

/// The part of an event's detail that is about the incident.
pub(super) fn detail(note: &Note<TargetId>, earlier: Option<Earlier>) -> Value {
    let (scope, group) = match &note.scope {
        Scope::Machine(_) => ("machine", None),
        Scope::Group(name) => ("group", Some(plain(name))),
        Scope::Fleet => ("fleet", None),
    };
    json!({
        "id": id(note),
        "scope": scope,
        "group": group,
        "instances": note.joined,
        "of": note.of,
        "open": note.members,
        "paged": note.paged,
        "changed": note.changed,
        "over": note.over,
        "times_within_a_day": note.times,
        "page_level": note.level.value(),
        "week_before": earlier.map(|Earlier { began, until, peak }| json!({
            "seen": rfc3339(began),
            "until": rfc3339(until),
            "peak_score": round(peak, 3),
        })),
    })
}

/// The id of an incident: the same in all its alerts, and that of its first episode.
pub(super) fn id(note: &Note<TargetId>) -> String {
    let (instance, told) = &note.first;
    format!("{instance}-{told}")
}

/// The subject of a message about several machines, which ends in `what`; `None` about one.
pub(super) fn title(note: &Note<TargetId>, what: &str) -> Option<String> {
    let whose = match &note.scope {
        Scope::Machine(_) => return None,
        Scope::Group(name) => plain(name),
        Scope::Fleet => "the fleet".into(),
    };
    // A subject is ASCII.
    let whose = if whose.is_ascii() { whose } else { "a group".into() };
    Some(format!("{whose}: {} of {} instances, {what}", note.joined, note.of))
}

/// The sentence about the scores that count.
pub(super) fn level(note: &Note<TargetId>) -> String {
    match note.level.value() {
        level if level > 1.0 => {
            let whose = match (&note.scope, note.strict) {
                (_, true) => " while its usual is still being learnt",
                (Scope::Machine(_), false) => "",
                (Scope::Group(_) | Scope::Fleet, false) => " of such an incident",
            };
            format!("1.00 is the threshold, {level:.2} the page level{whose}")
        }
        _ => "1.00 is the threshold".into(),
    }
}

/// The lines of a message before those about its instance.
pub(super) fn lines(note: &Note<TargetId>) -> Vec<String> {
    let mut lines = Vec::new();
    let many = match &note.scope {
        Scope::Machine(_) => None,
        Scope::Group(name) => Some(format!("of the group {}", plain(name))),
        Scope::Fleet => Some("of the fleet".into()),
    };
    if let Some(of_what) = many {
        let (joined, of) = (note.joined, note.of);
        let named: Vec<&str> = note.members.iter().take(MOST_NAMED).map(TargetId::as_str).collect();
        lines.push(match (note.over, named.is_empty()) {
            (true, _) | (_, true) => {
                format!("It was on {} {of_what} (of {of}).", count(joined, "instance"))
            }
            _ => {
                let more = match joined.saturating_sub(named.len()) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let named = named.join(", ");
                format!("It is on {joined} of {of} instances {of_what}: {named}{more}.")
            }
        });
        lines.push(match note.over {
            true => "The last of them:".into(),
            false => "The strongest of them:".into(),
        });
    }
    if note.times > 1 && !note.over {
        lines.push(format!("Again, for the {} within a day.", ordinal(note.times)));
        if note.loops() {
            let until = "It keeps coming back: the next returns are counted, and no message comes \
                         before it has been away for six hours.";
            lines.push(until.into());
        }
    }
    lines
}

/// The line of a message about an incident that came in an earlier week, too.
pub(super) fn earlier(earlier: &Earlier, note: &Note<TargetId>, sender: &Sender) -> String {
    let Earlier { began, until, peak } = *earlier;
    // Where each anomaly pages, this one does, too.
    let more = match note.paged && note.level > PageLevel::default() {
        true => " This one is stronger, longer or on more instances.",
        false => "",
    };
    format!(
        "Such an incident came at this time of an earlier week, too: {}, for {}, with a score of \
         {peak:.2}.{more}",
        sender.clock(began),
        duration(until - began)
    )
}

/// "second time", "3rd time" and so on.
fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    match number {
        2 => "second time".into(),
        3 => "third time".into(),
        _ => format!("{number}{ending} time"),
    }
}
