//! The pace of calls to CloudWatch: within the account's limits per second, and slower where
//! CloudWatch throttles.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// The rates of a run. The account's own limits are higher, because others call, too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Calls a second.
    pub calls: f64,
    /// Datapoints a second.
    pub datapoints: f64,
}

/// After a throttled call, the rates are multiplied by this ...
const SLOWER: f64 = 0.5;
/// ... and after each other call, they grow by this part of the set rates.
const RECOVERY: f64 = 0.05;
/// The lower bound of the part of the rates in use.
const SLOWEST: f64 = 1.0 / 64.0;

/// Lets calls begin one after another, no faster than the rates.
#[derive(Debug)]
pub(super) struct Pace {
    rates: Rates,
    /// When the next call may begin. The call in turn holds the lock until then. The next one
    /// counts from the real beginning of that call. So calls that waited together for something
    /// else do not begin at once.
    next: Mutex<Option<Instant>>,
    /// The part of the rates in use.
    part: Cell<f64>,
    /// How many concurrent runs share them.
    shared: Cell<f64>,
}

impl Pace {
    pub(super) fn new(rates: Rates) -> Self {
        Self { rates, next: Mutex::new(None), part: Cell::new(1.0), shared: Cell::new(1.0) }
    }

    /// Waits until a call for this number of datapoints may begin.
    pub(super) async fn turn(&self, datapoints: usize) {
        let mut next = self.next.lock().await;
        if let Some(next) = *next {
            sleep_until(next).await;
        }
        let takes = f64::max(1.0 / self.rates.calls, datapoints as f64 / self.rates.datapoints);
        *next = Some(
            Instant::now() + Duration::from_secs_f64(takes * self.shared.get() / self.part.get()),
        );
    }

    /// Divides the rates among this number of concurrent runs.
    pub(super) fn share(&self, parts: u32) {
        self.shared.set(f64::from(parts.max(1)));
    }

    /// A call was throttled.
    pub(super) fn slow_down(&self) {
        self.part.set((self.part.get() * SLOWER).max(SLOWEST));
    }

    /// A call was answered.
    pub(super) fn recover(&self) {
        self.part.set((self.part.get() + RECOVERY).min(1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds at which each of `calls` began.
    async fn begins(pace: &Pace, calls: &[usize]) -> Vec<f64> {
        let started = Instant::now();
        let mut begins = Vec::new();
        for &datapoints in calls {
            pace.turn(datapoints).await;
            begins.push((started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0);
        }
        begins
    }

    #[tokio::test(start_paused = true)]
    async fn neither_rate_is_exceeded() {
        let pace = Pace::new(Rates { calls: 10.0, datapoints: 1000.0 });
        assert_eq!(begins(&pace, &[0, 50, 500, 100, 0]).await, [0.0, 0.1, 0.2, 0.7, 0.8]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_shared_is_divided() {
        let pace = Pace::new(Rates { calls: 10.0, datapoints: 1000.0 });
        pace.share(4);
        assert_eq!(begins(&pace, &[0, 200, 0]).await, [0.0, 0.4, 1.2]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_slower_after_throttling_and_recovers() {
        let pace = Pace::new(Rates { calls: 10.0, datapoints: 1000.0 });
        pace.slow_down();
        pace.slow_down();
        assert_eq!(begins(&pace, &[0, 0, 0]).await, [0.0, 0.4, 0.8]);
        (0..20).for_each(|_| pace.recover());
        assert_eq!(begins(&pace, &[0, 0, 0]).await, [0.4, 0.5, 0.6]);
        (0..100).for_each(|_| pace.slow_down());
        pace.turn(0).await;
        assert_eq!(begins(&pace, &[0]).await, [6.4]);
    }

    #[tokio::test]
    async fn calls_that_had_to_wait_do_not_begin_at_once() {
        let pace = Pace::new(Rates { calls: 50.0, datapoints: 1000.0 });
        let started = std::time::Instant::now();
        let turn = async || {
            pace.turn(0).await;
            started.elapsed()
        };
        // Another task has the thread for as long as three calls take.
        let blocked = async {
            tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_millis(60));
        };
        let (a, b, c, ()) = futures_util::join!(turn(), turn(), turn(), blocked);
        let least = Duration::from_millis(19);
        assert!(b - a >= least && c - b >= least, "{a:?} {b:?} {c:?}");
    }
}
