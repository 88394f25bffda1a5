//! The daily digest: made when it is due, and one of all parts where the fleet is divided.

use deepguard_aws::ports::{Alerts, Cpu, Inventory, Objects, Scores};

use crate::alert::ledger::Digest;
use crate::alert::together::{Kept, Shared, Told};
use crate::run::Detection;
use crate::state::State;
use crate::state::part::Part;
use crate::trigger::shard::Shard;

/// How long, in seconds, the first part waits for the digests of the others, ...
const GRACE: i64 = 30 * 60;
/// ... and how long they wait for its answer: then they send their own.
const PATIENCE: i64 = 2 * 3600;

impl<C: Cpu + Scores, O: Objects + Clone, A: Alerts + Inventory> Detection<C, O, A> {
    /// Takes in what is due at `now` (seconds since 1970). Gives whether the state has changed.
    pub(super) async fn digest(
        &self,
        state: &mut State,
        part: &Part,
        now: i64,
        made: Option<Digest>,
    ) -> bool {
        let has_new = made.is_some();
        if let Some(digest) = made {
            let is_whole = part.shard() == Shard::WHOLE;
            match is_whole {
                true if self.is_wanted(&digest) => state.ledger.wait(digest),
                true => {}
                // A quiet one, too: the first part need not wait for it then.
                false => {
                    let shared = shared(state, digest, part.shard().number(), now);
                    state.together.keep(shared);
                }
            }
        }
        let before = state.together.clone();
        for kept in std::mem::take(&mut state.together.kept) {
            match part.shard().number() {
                0 => self.join(state, part, now, kept).await,
                _ => self.give(state, part, now, kept).await,
            }
        }
        has_new || before != state.together
    }

    /// Whether people want this digest.
    fn is_wanted(&self, digest: &Digest) -> bool {
        !digest.is_quiet() || self.digest.is_some_and(|daily| daily.quiet)
    }

    /// The first part: makes one digest of those of all parts.
    async fn join(&self, state: &mut State, part: &Part, now: i64, kept: Kept) {
        let due = kept.shared.digest.until;
        let mut given = self.store.given_digests(part, due).await;
        match self.store.told_digests(part, due).await {
            // It has told, and lost its state.
            Ok(Some(told)) => given.retain(|number, _| told.parts.contains(number)),
            // By now they send their own.
            Ok(None) if now >= due + PATIENCE => given.clear(),
            Ok(None) if now >= due + GRACE || !self.store.keeps() => {}
            Ok(None) if given.len() + 1 >= part.shard().of() as usize => {}
            _ => return state.together.kept.push(kept),
        }
        let all = given.into_values().flatten().fold(kept.shared, Shared::merge);
        state.together.told.push(Told { due, parts: all.parts.clone() });
        self.send(state, all);
    }

    /// Another part: gives its digest to the first one, until that has it. It sends its own where
    /// the first one has decided without it, or does not run.
    async fn give(&self, state: &mut State, part: &Part, now: i64, mut kept: Kept) {
        let due = kept.shared.digest.until;
        let number = part.shard().number();
        kept.given = kept.given || self.store.give_digest(part, due, Some(&kept.shared)).await;
        let is_alone = match self.store.told_digests(part, due).await {
            Ok(Some(told)) if told.parts.contains(&number) => return,
            Ok(Some(_)) => true,
            // It takes its digest back, so that the first part does not tell of it later.
            Ok(None) if self.store.keeps() => {
                now >= due + PATIENCE && self.store.give_digest(part, due, None).await
            }
            Ok(None) => true,
            Err(_) => false,
        };
        match is_alone {
            true => self.send(state, kept.shared),
            false => state.together.kept.push(kept),
        }
    }

    /// The first part: tells the others whose digests it has, once that is stored.
    pub(super) async fn tell(&self, part: &Part, state: &mut State) {
        for told in std::mem::take(&mut state.together.told) {
            if !self.store.tell_digests(part, &told).await && self.store.keeps() {
                state.together.told.push(told);
            }
        }
    }

    fn send(&self, state: &mut State, shared: Shared) {
        if self.is_wanted(&shared.digest) {
            state.together.ready.push(shared);
        }
    }
}

/// A digest with what else it says of the part with this number, at `now` (seconds since 1970).
pub(super) fn shared(state: &State, digest: Digest, number: u32, now: i64) -> Shared {
    let quiet = state.incidents.labels().quiet(now).into_iter().cloned().collect();
    Shared { digest, quiet, parts: [number].into(), used: state.spent.used(now) }
}
