//! CloudWatch: where CPU comes from and where scores go.
//!
//! [`limits`] holds its limits, and [`plan`] plans calls within them. `read` and `publish` make the
//! calls, as fast as [`pace`] lets them.

pub mod limits;
pub mod pace;
pub mod plan;
mod publish;
mod read;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::error::{ProvideErrorMetadata, SdkError};
use pace::{Pace, Rates};

use crate::client::{failed, is_throttled};
use crate::ids::Targets;
use crate::ports::CallError;

/// How often a throttled call starts anew, beside the tries that the SDK makes each time. The run's
/// deadline may end it before.
const THROTTLED: usize = 6;

/// CloudWatch in one Region and account, publishing into one namespace.
#[derive(Debug)]
pub struct CloudWatch {
    client: Client,
    namespace: String,
    pace: Pace,
    targets: Targets,
}

impl CloudWatch {
    /// Reads and publishes through `client`, the latter into `namespace`, no faster than `rates`.
    pub fn new(client: Client, namespace: impl Into<String>, rates: Rates) -> Self {
        let targets = Targets::Instances;
        Self { client, namespace: namespace.into(), pace: Pace::new(rates), targets }
    }

    /// The same, with the CPU of these targets.
    #[must_use]
    pub fn of(self, targets: Targets) -> Self {
        Self { targets, ..self }
    }

    /// Makes a call in its turn, and again, more slowly, where it is throttled.
    async fn paced<T, E, R, F>(
        &self,
        datapoints: usize,
        operation: &'static str,
        call: impl Fn() -> F,
    ) -> Result<T, CallError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
        F: Future<Output = Result<T, SdkError<E, R>>>,
    {
        let mut throttled = 0;
        loop {
            self.pace.turn(datapoints).await;
            match call().await {
                Ok(answer) => {
                    self.pace.recover();
                    return Ok(answer);
                }
                Err(error) if is_throttled(&error) && throttled < THROTTLED => {
                    throttled += 1;
                    self.pace.slow_down();
                }
                Err(error) => return Err(failed(operation, &error)),
            }
        }
    }
}
