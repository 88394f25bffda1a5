//! Which instances are watched, by their tags, and the known tags.
//!
//! Tags change seldom, so they are read every quarter of an hour; those of new instances, at once.
//! Where tags name groups only, a day is often enough: an instance stays in its Auto Scaling group.
//! Those are stored, so that a new process need not read them.
//! Where they cannot be read, the last ones stay in use, and the caller learns why.

use std::collections::{BTreeMap, BTreeSet};

use deepguard_aws::ids::TargetId;
use deepguard_aws::ports::{CallError, Inventory};
use deepguard_aws::tags::{TagRule, Tags};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How long tags count as unchanged, ...
pub const FRESH: SignedDuration = SignedDuration::from_mins(15);
/// ... and where they name groups only.
const FRESH_GROUPS: SignedDuration = SignedDuration::from_hours(24);
/// The tags of an instance without any, or without known ones.
static NONE: Tags = Tags::new();

/// Which instances are to be watched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Only those that have every key with one of its values; empty: all.
    pub include: TagRule,
    /// Not those that have any of the keys with one of its values.
    pub exclude: TagRule,
}

impl Selection {
    /// Whether all are watched, whatever their tags.
    pub fn is_everything(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Whether an instance with these tags is watched.
    pub fn watches(&self, tags: &Tags) -> bool {
        self.include.holds_for(tags) && !self.exclude.touches(tags)
    }
}

/// The use of tags beside the selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Tags are not used.
    Nothing,
    /// Tags name groups, by which the fleet is divided: each instance's have to be known.
    Parts,
    /// Tags name groups: an instance whose tags cannot be read has no group yet.
    Groups,
    /// Rules about tags decide about each instance.
    Rules,
}

/// The watched instances, with their known tags.
#[derive(Debug)]
pub struct Roster<I> {
    inventory: I,
    selection: Selection,
    known: Option<KnownTags>,
}

#[derive(Debug)]
struct KnownTags {
    /// When all tags were read.
    at: Timestamp,
    /// Instances whose tags were requested. One without tags is in no answer.
    asked: BTreeSet<TargetId>,
    tags: BTreeMap<TargetId, Tags>,
    /// Whether there may be tags with other keys.
    partial: bool,
}

/// The tags that name groups and the like, as they are stored from process to process: reading
/// those of ten thousand instances takes a hundred calls in a row.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StoredTags {
    /// When all were read, in seconds since 1970.
    at: i64,
    /// Those of every instance whose tags were requested.
    tags: BTreeMap<TargetId, Tags>,
}

/// The instances of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// Those to be watched.
    pub instances: BTreeSet<TargetId>,
    /// How many listed instances are left out: their tags say so, or could not be read so far.
    pub left_out: usize,
    /// Why the tags in use may be out of date.
    pub stale: Option<CallError>,
}

impl<I: Inventory> Roster<I> {
    /// A roster without any tags.
    pub fn new(selection: Selection, inventory: I) -> Self {
        Self { inventory, selection, known: None }
    }

    /// Where tags come from.
    pub fn inventory(&self) -> &I {
        &self.inventory
    }

    /// The watched instances of `listed`. `needs` is the caller's use of [`Self::tags`] afterwards.
    /// Without any, and with all instances watched, tags are not read.
    ///
    /// An instance that is new while its tags cannot be read is left out, if tags decide about it;
    /// the run that knows them makes up for it.
    ///
    /// # Errors
    /// [`CallError`] where tags decide, and were never read. Guessing is not safe: the next run
    /// makes up for this one.
    pub async fn selected(
        &mut self,
        listed: BTreeSet<TargetId>,
        needs: Needs,
        now: Timestamp,
    ) -> Result<Selected, CallError> {
        let rules = !self.selection.is_everything() || needs == Needs::Rules;
        let decide = rules || needs == Needs::Parts;
        if !decide && needs == Needs::Nothing {
            return Ok(Selected { instances: listed, left_out: 0, stale: None });
        }
        let fresh = if rules { FRESH } else { FRESH_GROUPS };
        let is_fresh = |known: &KnownTags| {
            (SignedDuration::ZERO..fresh).contains(&now.duration_since(known.at))
                && !(rules && known.partial)
        };
        let stale = match self.known.as_mut().filter(|known| is_fresh(known)) {
            Some(known) => {
                let new: BTreeSet<TargetId> = listed.difference(&known.asked).cloned().collect();
                let answer = if new.is_empty() {
                    Ok(BTreeMap::new())
                } else {
                    self.inventory.tags_of(&new).await
                };
                answer.map(|tags| {
                    known.tags.extend(tags);
                    known.asked.extend(new);
                })
            }
            None => self.inventory.tagged(&self.selection.include).await.map(|mut tags| {
                tags.retain(|instance, _| listed.contains(instance));
                let asked = listed.clone();
                self.known = Some(KnownTags { at: now, asked, tags, partial: false });
            }),
        };
        let Some(known) = self.known.as_ref().filter(|_| decide) else {
            return match stale {
                // Tags were never known, so this was the first read.
                Err(error) if decide => Err(error),
                stale => Ok(Selected { instances: listed, left_out: 0, stale: stale.err() }),
            };
        };
        let count = listed.len();
        let watched = |instance: &TargetId| {
            known.asked.contains(instance)
                && self.selection.watches(known.tags.get(instance).unwrap_or(&NONE))
        };
        let instances: BTreeSet<TargetId> = listed.into_iter().filter(watched).collect();
        Ok(Selected { left_out: count - instances.len(), instances, stale: stale.err() })
    }

    /// Whether tags were ever read.
    pub fn knows_tags(&self) -> bool {
        self.known.is_some()
    }

    /// Whether the tags of an instance were read.
    pub fn knows(&self, instance: &TargetId) -> bool {
        self.known.as_ref().is_some_and(|known| known.asked.contains(instance))
    }

    /// Takes `stored` for known where nothing is known yet.
    pub fn recall(&mut self, stored: &StoredTags) {
        if self.known.is_none()
            && !stored.tags.is_empty()
            && let Ok(at) = Timestamp::from_second(stored.at)
        {
            let asked = stored.tags.keys().cloned().collect();
            let tags = stored.tags.clone();
            self.known = Some(KnownTags { at, asked, tags, partial: true });
        }
    }

    /// Brings `stored` up to date with the tags of these `keys`. Where tags decide, they are read
    /// by each process, and nothing is stored.
    pub fn store(&self, stored: &mut StoredTags, keys: &[&str]) {
        let Some(known) = self.known.as_ref().filter(|_| self.selection.is_everything()) else {
            return;
        };
        let at = known.at.as_second();
        if (stored.at, stored.tags.len()) == (at, known.asked.len()) {
            return;
        }
        let of = |instance: &TargetId| {
            let mut tags = known.tags.get(instance).cloned().unwrap_or_default();
            tags.retain(|key, _| keys.contains(&key.as_str()));
            (instance.clone(), tags)
        };
        *stored = StoredTags { at, tags: known.asked.iter().map(of).collect() };
    }

    /// The instances that are known to have the tag `key`, with its value.
    pub fn tagged(&self, key: &str) -> impl Iterator<Item = (&TargetId, &str)> {
        let known = self.known.iter().flat_map(|known| &known.tags);
        known.filter_map(move |(instance, tags)| Some((instance, tags.get(key)?.as_str())))
    }

    /// The known tags of an instance.
    pub fn tags(&self, instance: &TargetId) -> &Tags {
        self.known.as_ref().and_then(|known| known.tags.get(instance)).unwrap_or(&NONE)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::testing::instance;

    /// An account that records its calls.
    #[derive(Default)]
    struct Account {
        tags: RefCell<BTreeMap<TargetId, Tags>>,
        down: Cell<bool>,
        calls: RefCell<Vec<String>>,
    }

    impl Account {
        fn tag(&self, number: usize, rule: &str) {
            let tags = rule.split(',').filter_map(|tag| tag.split_once('='));
            self.tags.borrow_mut().insert(
                instance(number),
                tags.map(|(key, value)| (key.into(), value.into())).collect(),
            );
        }

        fn answer(
            &self,
            call: String,
            keep: impl Fn(&TargetId, &Tags) -> bool,
        ) -> Result<BTreeMap<TargetId, Tags>, CallError> {
            self.calls.borrow_mut().push(call);
            match self.down.get() {
                true => Err(CallError { operation: "GetResources", why: "said the script".into() }),
                false => {
                    let tags = self.tags.borrow();
                    Ok(tags
                        .iter()
                        .filter(|(id, tags)| keep(id, tags))
                        .map(|(id, tags)| (id.clone(), tags.clone()))
                        .collect())
                }
            }
        }
    }

    impl Inventory for &Account {
        async fn tagged(&self, rule: &TagRule) -> Result<BTreeMap<TargetId, Tags>, CallError> {
            self.answer(format!("tagged {rule}"), |_, tags| rule.holds_for(tags))
        }

        async fn tags_of(
            &self,
            instances: &BTreeSet<TargetId>,
        ) -> Result<BTreeMap<TargetId, Tags>, CallError> {
            self.answer(format!("tags of {}", instances.len()), |instance, _| {
                instances.contains(instance)
            })
        }
    }

    fn roster<'a>(account: &'a Account, include: &str, exclude: &str) -> Roster<&'a Account> {
        Roster::new(
            Selection { include: include.parse().unwrap(), exclude: exclude.parse().unwrap() },
            account,
        )
    }

    fn fleet(numbers: &[usize]) -> BTreeSet<TargetId> {
        numbers.iter().map(|&number| instance(number)).collect()
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_768_478_400 + 60 * minutes).unwrap()
    }

    fn account() -> Account {
        let account = Account::default();
        account.tag(1, "env=prod,team=web");
        account.tag(2, "env=prod,team=batch");
        account.tag(3, "env=test");
        account
    }

    #[tokio::test]
    async fn tags_choose_and_what_has_none_is_watched_only_where_all_are() {
        let account = account();
        for (include, exclude, watched) in [
            ("", "", vec![1, 2, 3, 4]),
            ("env=prod", "", vec![1, 2]),
            ("env=prod", "team=batch", vec![1]),
            ("", "team=batch,env=test", vec![1, 4]),
            ("", "env", vec![4]),
            ("owner", "", vec![]),
        ] {
            let mut roster = roster(&account, include, exclude);
            let selected =
                roster.selected(fleet(&[1, 2, 3, 4]), Needs::Nothing, at(0)).await.unwrap();
            assert_eq!(selected.instances, fleet(&watched), "{include} without {exclude}");
            assert_eq!((selected.left_out, selected.stale), (4 - watched.len(), None));
        }
    }

    #[tokio::test]
    async fn nothing_is_asked_without_need_and_all_is_known_of_those_that_are_watched() {
        let account = account();
        let mut roster = roster(&account, "", "");
        roster.selected(fleet(&[1, 4]), Needs::Nothing, at(0)).await.unwrap();
        assert!(account.calls.borrow().is_empty());
        roster.selected(fleet(&[1, 4]), Needs::Rules, at(0)).await.unwrap();
        assert_eq!(roster.tags(&instance(1)), &account.tags.borrow()[&instance(1)]);
        assert!(roster.tags(&instance(4)).is_empty() && roster.tags(&instance(2)).is_empty());
    }

    #[tokio::test]
    async fn all_are_asked_for_every_quarter_of_an_hour_and_new_ones_at_once() {
        let account = account();
        let mut roster = roster(&account, "env=prod", "");
        roster.selected(fleet(&[1, 3]), Needs::Nothing, at(0)).await.unwrap();
        roster.selected(fleet(&[1, 3]), Needs::Nothing, at(5)).await.unwrap();
        assert_eq!(
            account.calls.take(),
            ["tagged env=prod"],
            "an instance that has no answer is not asked for again"
        );
        account.tag(1, "env=test");
        let selected = roster.selected(fleet(&[1, 2, 3]), Needs::Nothing, at(10)).await.unwrap();
        assert_eq!(selected.instances, fleet(&[1, 2]), "the tags of 1 are not old enough yet");
        assert_eq!(account.calls.take(), ["tags of 1"]);
        let selected = roster.selected(fleet(&[1, 2, 3]), Needs::Nothing, at(15)).await.unwrap();
        assert_eq!(selected.instances, fleet(&[2]));
        assert_eq!(account.calls.take(), ["tagged env=prod"]);
        roster.selected(fleet(&[1]), Needs::Nothing, at(14)).await.unwrap();
        assert_eq!(
            account.calls.take().len(),
            1,
            "a clock that goes backwards makes nothing fresh"
        );
    }

    #[tokio::test]
    async fn groups_are_asked_for_once_a_day_and_an_instance_without_them_is_watched() {
        let account = account();
        let mut roster = roster(&account, "", "");
        account.down.set(true);
        let selected = roster.selected(fleet(&[1, 2]), Needs::Groups, at(0)).await.unwrap();
        assert_eq!((selected.instances, selected.stale.is_some()), (fleet(&[1, 2]), true));
        account.down.set(false);
        for (minutes, numbers) in [(5, &[1, 2][..]), (10, &[1, 2]), (600, &[1, 2, 3])] {
            let numbers = fleet(numbers);
            let selected = roster.selected(numbers, Needs::Groups, at(minutes)).await.unwrap();
            assert_eq!(selected.stale, None);
        }
        assert_eq!(roster.tags(&instance(3))["env"], "test");
        roster.selected(fleet(&[1]), Needs::Groups, at(24 * 60 + 5)).await.unwrap();
        assert_eq!(account.calls.take(), ["tagged ", "tagged ", "tags of 1", "tagged "]);
    }

    #[tokio::test]
    async fn stored_tags_save_a_process_the_reading_and_decide_about_no_instance() {
        let account = account();
        let (mut first, mut stored) = (roster(&account, "", ""), StoredTags::default());
        first.recall(&stored);
        first.selected(fleet(&[1, 2, 4]), Needs::Groups, at(0)).await.unwrap();
        first.store(&mut stored, &["team"]);
        account.calls.take();
        let mut next = roster(&account, "", "");
        next.recall(&stored);
        next.selected(fleet(&[1, 2, 3, 4]), Needs::Groups, at(600)).await.unwrap();
        assert_eq!(account.calls.take(), ["tags of 1"], "of the new one");
        let teams: Vec<_> = next.tagged("team").map(|(_, team)| team).collect();
        assert_eq!((teams, next.tags(&instance(1)).get("env")), (vec!["web", "batch"], None));
        next.store(&mut stored, &["team"]);
        assert_eq!(stored.tags.len(), 4);
        next.selected(fleet(&[1]), Needs::Groups, at(24 * 60 + 5)).await.unwrap();
        assert_eq!(account.calls.take(), ["tagged "], "they are a day old");
        let mut choosy = roster(&account, "env=prod", "");
        choosy.recall(&stored);
        choosy.selected(fleet(&[1, 3]), Needs::Groups, at(600)).await.unwrap();
        assert_eq!(account.calls.take(), ["tagged env=prod"], "all tags decide");
        let before = stored.clone();
        choosy.store(&mut stored, &["team"]);
        assert_eq!(stored, before);
    }

    #[tokio::test]
    async fn what_is_known_stays_in_use_and_is_asked_for_again_until_there_is_an_answer() {
        let account = account();
        account.down.set(true);
        let mut roster = roster(&account, "", "env=test");
        assert!(
            roster.selected(fleet(&[1, 3]), Needs::Nothing, at(0)).await.is_err(),
            "the instances to watch are not known"
        );
        account.down.set(false);
        roster.selected(fleet(&[1, 3]), Needs::Nothing, at(5)).await.unwrap();
        account.down.set(true);
        account.calls.take();
        for minutes in [10, 20, 25] {
            let selected =
                roster.selected(fleet(&[1, 2, 3]), Needs::Nothing, at(minutes)).await.unwrap();
            assert_eq!(
                selected.instances,
                fleet(&[1]),
                "2 is new and might be one of those to leave out"
            );
            assert_eq!((selected.left_out, selected.stale.is_some()), (2, true));
        }
        assert_eq!(account.calls.take(), ["tags of 1", "tagged ", "tagged "]);
        account.down.set(false);
        let selected = roster.selected(fleet(&[1, 2, 3]), Needs::Nothing, at(30)).await.unwrap();
        assert_eq!((selected.instances, selected.stale), (fleet(&[1, 2]), None));
    }
}
