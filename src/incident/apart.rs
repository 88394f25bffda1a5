//! What belongs to the incidents and is stored apart from them: earlier builds store those.

use super::{Incidents, Labels, Restless, Weekly};

impl<Id: Ord + Clone> Incidents<Id> {
    /// The labels that people have given.
    pub fn labels(&self) -> &Labels<Id> {
        &self.labels
    }

    /// The same, to change them.
    pub fn labels_mut(&mut self) -> &mut Labels<Id> {
        &mut self.labels
    }

    /// The groups with a page level of their own.
    pub fn restless(&self) -> &Restless {
        &self.restless
    }

    /// The same, to change them.
    pub fn restless_mut(&mut self) -> &mut Restless {
        &mut self.restless
    }

    /// The habits of groups.
    pub fn weekly(&self) -> &Weekly<Id> {
        &self.weekly
    }

    /// The same, to change them.
    pub fn weekly_mut(&mut self) -> &mut Weekly<Id> {
        &mut self.weekly
    }

    /// The day of the first run, counted from 1970, on which the past of machines is learnt; `None`
    /// where it is not known.
    pub fn begun(&self) -> Option<i64> {
        self.begun
    }

    /// The same, to change it.
    pub fn begun_mut(&mut self) -> &mut Option<i64> {
        &mut self.begun
    }
}
