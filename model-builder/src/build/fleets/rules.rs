//! The rules by which episodes become pages.

use super::course::Told;
use super::events::Page;
use super::plan::Plan;

/// What is known of a fleet when pages are decided.
#[derive(Debug)]
pub(super) struct Fleet<'a> {
    pub(super) plan: &'a Plan,
    /// The episodes of each machine.
    pub(super) told: &'a [Vec<Told>],
    /// Pages for nothing that its people accept, in a week.
    pub(super) budget: f64,
}

/// A way from episodes to pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageRule {
    /// Each episode is a page.
    EachEpisode,
}

impl PageRule {
    /// All rules, the first one to measure first.
    pub(super) const ALL: [Self; 1] = [Self::EachEpisode];

    /// A name, in words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::EachEpisode => "each episode a page",
        }
    }

    /// A name for the head of a narrow column.
    pub(super) fn short(self) -> &'static str {
        match self {
            Self::EachEpisode => "each",
        }
    }

    /// The pages of a fleet, by time.
    pub(super) fn pages(self, fleet: &Fleet<'_>) -> Vec<Page> {
        match self {
            Self::EachEpisode => each_episode(fleet),
        }
    }
}

fn each_episode(fleet: &Fleet<'_>) -> Vec<Page> {
    let told = fleet.told.iter().enumerate();
    let mut pages: Vec<Page> = told
        .flat_map(|(machine, told)| {
            told.iter().map(move |told| Page { time: told.began(), machines: vec![machine] })
        })
        .collect();
    pages.sort_by_key(|page| page.time);
    pages
}
