//! The alerts that came, and whether they are those that should have come.

use std::collections::{BTreeMap, BTreeSet};

use scripted_aws::{Aws, Call};
use serde_json::Value;

use super::World;

/// The topics: for people, and for their chat.
pub const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:topic";
pub const CHAT: &str = "arn:aws:sns:us-east-1:123456789012:chat";

/// Where an alert goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Event,
    Message,
    Chat,
}

/// An alert on one of its ways.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    pub way: Way,
    pub id: String,
    /// Its beginning, its end, or a digest.
    pub kind: String,
}

/// One delivery of an alert.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub told: Told,
    /// The number of its call.
    pub call: u64,
    /// The text as it came.
    pub text: String,
}

/// All deliveries, in order of arrival by their ways.
pub fn deliveries(aws: &Aws) -> Vec<Delivery> {
    let event = |event: scripted_aws::Event| {
        let detail: Value = serde_json::from_str(&event.detail).unwrap();
        let kind = event.detail_type.rsplit(' ').next().unwrap().to_lowercase();
        let told = Told { way: Way::Event, id: detail["id"].as_str().unwrap().into(), kind };
        Delivery { told, call: event.call, text: event.detail }
    };
    let message = |message: scripted_aws::Message| {
        let way = if message.topic == CHAT { Way::Chat } else { Way::Message };
        let (mut id, kind) = (message.attributes["id"].clone(), message.attributes["kind"].clone());
        // A part without an anomaly has no digest, and a late datapoint may be no anomaly.
        if kind == "digest" && id.matches('-').count() == 2 {
            id.truncate(id.rfind('-').unwrap());
        }
        Delivery { told: Told { way, id, kind }, call: message.call, text: message.text }
    };
    let events = aws.events().into_iter().map(event);
    events.chain(aws.messages().into_iter().map(message)).collect()
}

/// Every alert that was delivered.
pub fn told(aws: &Aws) -> BTreeSet<Told> {
    deliveries(aws).into_iter().map(|delivery| delivery.told).collect()
}

/// The differences between the alerts of a world and the true ones. Each has to come, and only once
/// more for each time that its delivery was hidden from the runs after it.
///
/// `parts` is how many parts of the fleet have a digest each. Where `loose` holds, the groups may
/// have been unknown, or a part of a group unread: then another instance of it may have had the
/// message, or each had one.
pub fn differences(
    truth: &BTreeSet<Told>,
    world: &World,
    parts: usize,
    loose: bool,
) -> Vec<String> {
    let calls: BTreeMap<u64, Call> =
        world.aws.calls().into_iter().map(|call| (call.number, call)).collect();
    let mut known: BTreeMap<Told, Vec<(i64, bool)>> = BTreeMap::new();
    let incidents = Incidents::of(&world.aws);
    for delivery in deliveries(&world.aws) {
        let is_known = is_known(&calls, world, delivery.call);
        let now = calls[&delivery.call].now;
        known.entry(delivery.told).or_default().push((now, is_known));
    }
    let (mut wrong, mut others) = (Vec::new(), Vec::new());
    for (told, known) in &known {
        let of_group = Told { way: Way::Event, ..told.clone() };
        match truth.contains(told) {
            true => {}
            false if loose && truth.contains(&of_group) => others.push((told.way, &told.kind)),
            false => wrong.push(format!("{told:?} should not be there")),
        }
        let most = if told.kind == "digest" { parts } else { 1 };
        if known.iter().filter(|(_, known)| *known).count() > most {
            wrong.push(format!("{told:?} came {} times, when and known: {known:?}", known.len()));
        }
    }
    for told in truth.iter().filter(|told| !known.contains_key(*told)) {
        match others.iter().position(|other| *other == (told.way, &told.kind)) {
            Some(instead) => drop(others.swap_remove(instead)),
            None if incidents.tell_of(told) => {}
            None => wrong.push(format!("{told:?} is missing")),
        }
    }
    wrong
}

/// What the events and messages say of incidents of the fleet. Three instances are a large part of
/// a small one. They are one incident if runs that were held up, or late datapoints, let them begin
/// together, and then one message tells of all.
struct Incidents {
    /// By the id and the kind of an event, the incident of the fleet that it belongs to, and
    /// whether that is over.
    of_event: BTreeMap<(String, String), (String, bool)>,
    /// Incidents of which a message told, its way and its kind.
    told: BTreeSet<(Way, String, String)>,
}

impl Incidents {
    fn of(aws: &Aws) -> Self {
        let (mut of_event, mut ids) = (BTreeMap::new(), BTreeMap::new());
        let (events, messages): (Vec<_>, Vec<_>) =
            deliveries(aws).into_iter().partition(|delivery| delivery.told.way == Way::Event);
        for Delivery { told: Told { id, kind, .. }, text, .. } in events {
            let detail: Value = serde_json::from_str(&text).unwrap();
            let incident = &detail["incident"];
            let Some(name) = incident["id"].as_str() else { continue };
            ids.insert((id.clone(), kind.clone()), name.to_string());
            if incident["scope"] == "fleet" && incident["paged"] == true {
                let over = incident["over"] == true;
                of_event.insert((id, kind), (name.to_string(), over));
            }
        }
        let of_message = |Delivery { told: Told { way, id, kind }, .. }: Delivery| {
            Some((way, ids.get(&(id, kind.clone()))?.clone(), kind))
        };
        Self { of_event, told: messages.into_iter().filter_map(of_message).collect() }
    }

    /// Whether people know by a message about the whole fleet what another one would have told, or
    /// will when all of it is over.
    fn tell_of(&self, told: &Told) -> bool {
        let event = (told.id.clone(), told.kind.clone());
        let Some((incident, over)) = self.of_event.get(&event) else { return false };
        let has = |kind: &str| self.told.contains(&(told.way, incident.clone(), kind.to_string()));
        told.way != Way::Event && has("began") && (told.kind == "began" || !over || has("ended"))
    }
}

/// Whether the runs after a delivery could know of it: the answer came, and either the process went
/// on with its state, or it noted that everything is sent and the note could be read.
fn is_known(calls: &BTreeMap<u64, Call>, world: &World, delivery: u64) -> bool {
    let is_cut = world.cut.iter().any(|calls| calls.contains(&delivery));
    if is_cut || !calls[&delivery].is_answered() {
        return false;
    }
    let is_note = |call: &Call| call.resource.ends_with(".published");
    let is_state = |call: &&Call| {
        let is_of_shard = call.resource.contains("/shards/") && !is_note(call);
        call.operation == "PutObject" && is_of_shard && call.carried_out
    };
    // Where a run does not know that it wrote the state, the next one reads what is stored.
    let saved = calls.range(..delivery).map(|(_, call)| call).rfind(is_state);
    if saved.is_some_and(|saved| !saved.is_answered()) {
        return false;
    }
    let is_unread =
        |call: &Call| call.operation == "GetObject" && is_note(call) && !call.faults.is_empty();
    if calls.range(delivery..).any(|(_, call)| is_unread(call)) {
        return false;
    }
    let ended = world.handovers.iter().find(|end| **end > delivery);
    let noted = |call: &Call| call.operation == "PutObject" && is_note(call) && call.carried_out;
    ended.is_none_or(|end| calls.range(delivery..*end).any(|(_, call)| noted(call)))
}
