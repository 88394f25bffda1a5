//! A run that labels an incident. It changes what is quiet, and scores and publishes nothing.

use std::collections::BTreeSet;

use deepguard::incident::{Quiet, Scope};
use deepguard::shape::Shape;
use deepguard_aws::ids::TargetId;
use deepguard_aws::ports::{Alerts, Cpu, Inventory, Objects, Scores};
use jiff::Timestamp;
use serde::Serialize;
use tracing::info;

use crate::error::RunError;
use crate::run::Detection;
use crate::state::store::{Origin, Saved};
use crate::time::timestamp;
use crate::trigger::label::{Label, Verdict};
use crate::trigger::shard::Shard;

/// The answer to a label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Labelled {
    /// The id of the incident.
    pub incident: String,
    /// What it is.
    pub is: Verdict,
    /// What is quiet now; `None` where the label was taken back.
    pub quiet: Option<QuietNow>,
}

/// What is quiet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuietNow {
    /// The instance, or the first one of several.
    pub instance: TargetId,
    /// Where it is quiet: `machine`, `group` or `fleet`.
    pub scope: &'static str,
    /// The name of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The kind of anomaly.
    pub shape: Shape,
    /// Incidents that begin before are quiet, ...
    #[serde(serialize_with = "timestamp")]
    pub until: i64,
    /// ... unless they reach this score.
    pub unless_score: f64,
}

impl From<&Quiet<TargetId>> for QuietNow {
    fn from(quiet: &Quiet<TargetId>) -> Self {
        let (scope, group) = match &quiet.scope {
            Scope::Machine(_) => ("machine", None),
            Scope::Group(name) => ("group", Some(name.clone())),
            Scope::Fleet => ("fleet", None),
        };
        Self {
            instance: quiet.first.0.clone(),
            scope,
            group,
            shape: quiet.shape,
            until: quiet.until,
            unless_score: quiet.worse(),
        }
    }
}

impl<C: Cpu + Scores, O: Objects + Clone, A: Alerts + Inventory> Detection<C, O, A> {
    /// Labels an incident, and stores that. Where it fails, all is as before.
    ///
    /// # Errors
    /// [`RunError::NotPaged`], [`RunError::LabelLost`]; [`RunError::List`] with several shards.
    pub async fn label(&mut self, label: &Label, now: Timestamp) -> Result<Labelled, RunError> {
        // The whole fleet is one part, whatever its instances.
        let named = (label.shard == Shard::WHOLE).then(BTreeSet::new);
        let (part, _) = self.part(label.shard, named.as_ref(), now).await?;
        let (mut state, loaded) = self.store.state(&part).await;
        if loaded == Origin::Unreachable {
            self.store.remember(state);
            return Err(RunError::LabelLost("the stored state cannot be read"));
        }
        let before = state.incidents.labels().clone();
        let labels = state.incidents.labels_mut();
        let now = now.as_second();
        let labelled = match label.is {
            Verdict::NotAnAnomaly => {
                labels.label(&label.incident, now).map(|quiet| Some(QuietNow::from(quiet)))
            }
            Verdict::Anomaly => labels.take_back(&label.incident, now).map(|()| None),
        };
        let quiet = match labelled {
            Ok(quiet) => quiet,
            Err(error) => {
                self.store.remember(state);
                let (incident, shard) = (label.id(), label.shard);
                return Err(RunError::NotPaged { incident, shard, error });
            }
        };
        let saved = match before == *labels {
            true => Saved::Yes,
            false => self.store.save(&state).await,
        };
        if saved == Saved::No {
            *state.incidents.labels_mut() = before;
        }
        self.store.remember(state);
        match saved {
            Saved::Yes => {}
            Saved::No => return Err(RunError::LabelLost("the state could not be written")),
            Saved::Superseded => {
                return Err(RunError::LabelLost("a run has stored its state meanwhile"));
            }
        }
        let labelled = Labelled { incident: label.id(), is: label.is, quiet };
        info!(label = %serde_json::json!(labelled), "an incident is labelled");
        Ok(labelled)
    }
}
