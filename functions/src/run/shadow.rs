//! The shadow: a second model that scores the same instances, to be compared with the one in use
//! before it takes its place.
//!
//! It works on its own after the run is through. It reads its datapoints again, has states of its
//! own, and publishes under names of its own. Its failures change nothing about the run. It sends
//! no alerts.

use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use deepguard::Detector;
use deepguard::episode::{Change, MOfN};
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::Datum;
use deepguard_aws::ports::{Cpu, Objects, Scores};
use tracing::{error, info, warn};

use crate::deadline::Limited;
use crate::model::{Current, MaybeModel};
use crate::run::decide;
use crate::run::pass::{Among, Round};
use crate::run::peers::compare_groups;
use crate::state::band::{BandMode, Due};
use crate::state::store::{Saved, Store};
use crate::state::tally::{Mode, TALLIED};

/// A second model and what it remembers.
#[derive(Debug)]
pub(crate) struct Shadow<O> {
    pub(crate) models: MaybeModel<O>,
    pub(crate) store: Store<O>,
}

/// The shadow's inputs from a run.
#[derive(Debug)]
pub(crate) struct After<'a, C> {
    pub(crate) cloudwatch: &'a Limited<C>,
    pub(crate) among: Among<'a>,
    pub(crate) times: Range<i64>,
    pub(crate) listed: &'a BTreeSet<TargetId>,
    pub(crate) lookback: i64,
    pub(crate) mode: Mode,
    pub(crate) m_of_n: MOfN,
}

impl<O: Objects> Shadow<O> {
    /// The current shadow model, if there is one, and whether it is stale because the model in the
    /// pointer could not be loaded.
    pub(crate) async fn current(&mut self) -> Option<(Option<Rc<Detector>>, bool)> {
        match self.models.current().await {
            Ok(None) => None,
            Ok(Some(Current { detector, stale })) => Some((Some(detector), stale.is_some())),
            Err(error) => {
                error!(%error, "there is no shadow to score with");
                Some((None, true))
            }
        }
    }

    /// Scores the datapoints that are new to the shadow, and publishes the scores. Gives the
    /// version of its model.
    pub(crate) async fn run<C: Cpu + Scores>(
        &mut self,
        detector: &Detector,
        after: After<'_, C>,
    ) -> String {
        let After { cloudwatch, among, times, listed, lookback, mode, m_of_n } = after;
        let version = detector.artifact().version();
        let (mut state, _) = self.store.state(among.part).await;
        state.seen_by(detector.artifact().checksum());
        let mut round = Round::new(
            detector,
            &mut self.store,
            &mut state,
            among,
            lookback,
            m_of_n,
            times.clone(),
        );
        round.all(cloudwatch, listed).await;
        let Round { mut fleet, .. } = round;
        compare_groups(detector, &mut state, &mut fleet, among.groups);
        let changes = decide::episodes(&mut state, &fleet, m_of_n, &mut Due::new(BandMode::Off));
        let datums = decide::datums(&mut state, &fleet, mode, decide::beginnings(&changes));
        state.tally.forget(times.end - TALLIED);
        state.outbox.extend(datums.into_iter().filter_map(shadowed));
        let saved = self.store.save(&state).await;
        self.store.baselines.save(detector.context()).await;
        if saved != Saved::Superseded {
            let published = cloudwatch.publish(&state.outbox).await;
            if let Some(error) = &published.error {
                warn!(
                    %error,
                    datums = published.failed.len(),
                    "some of the shadow's datums were not published"
                );
            }
            state.outbox = published.failed;
            if state.outbox.is_empty() && saved == Saved::Yes {
                self.store.published().await;
            }
        }
        let began =
            changes.iter().filter(|(_, change)| matches!(change, Change::Began(..))).count();
        info!(
            version,
            scored = fleet.scored.len(),
            skipped = fleet.skipped.len(),
            began,
            "the shadow has scored"
        );
        self.store.remember(state);
        version
    }
}

/// The datum under the shadow's name; `None` for a metric that only the model in use has.
fn shadowed(datum: Datum) -> Option<Datum> {
    Some(Datum { metric: datum.metric.shadow()?, ..datum })
}
