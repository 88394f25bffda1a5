//! The read calls of a run: several at once, in progress while other instances are scored.

use std::collections::VecDeque;
use std::pin::Pin;

use deepguard_aws::ids::TargetId;
use deepguard_aws::ports::{Batch, CallError, Cpu, Read};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

/// The maximum number of answers under way or waiting to be scored, all held in memory.
const AT_ONCE: usize = 8;

/// A batch, and the datapoints read of each of its instances.
type Answer = (Batch, Vec<(TargetId, Result<Read, CallError>)>);
type Reading<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// The answers to planned calls, as they come.
pub(crate) struct Reads<'a, C> {
    cloudwatch: &'a C,
    planned: std::vec::IntoIter<Batch>,
    under_way: FuturesUnordered<Reading<'a>>,
    done: VecDeque<Answer>,
}

impl<'a, C: Cpu> Reads<'a, C> {
    pub(crate) fn new(cloudwatch: &'a C, planned: Vec<Batch>) -> Self {
        let (planned, under_way) = (planned.into_iter(), FuturesUnordered::new());
        Self { cloudwatch, planned, under_way, done: VecDeque::new() }
    }

    fn fill(&mut self) {
        while self.under_way.len() + self.done.len() < AT_ONCE
            && let Some(batch) = self.planned.next()
        {
            let cloudwatch = self.cloudwatch;
            self.under_way.push(Box::pin(async move {
                let answers = cloudwatch.read(&batch).await;
                (batch, answers)
            }));
        }
    }

    /// The next answer; `None` when all have come.
    pub(crate) async fn next(&mut self) -> Option<Answer> {
        self.fill();
        match self.done.pop_front() {
            Some(done) => Some(done),
            None => self.under_way.next().await,
        }
    }

    /// Lets pending calls make progress, between two instances that are scored. Scoring occupies
    /// the thread, and a call that is not polled for long would look as if it hangs.
    pub(crate) async fn go_on(&mut self) {
        tokio::task::yield_now().await;
        while let Some(Some(done)) = self.under_way.next().now_or_never() {
            self.done.push_back(done);
        }
    }
}
