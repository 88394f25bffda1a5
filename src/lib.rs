//! The usual CPU of one EC2 instance, and how far its newest datapoints are from it.
//!
//! This crate is the domain of DeepGuard. It has no AWS, no async and no clock. Datapoints and
//! bytes go in, scores come out, and the same input always gives the same output.
//!
//! # The way of a datapoint
//!
//! 1. [`series`]: datapoints become a [`Series`], regular at five minutes. Gaps stay gaps.
//! 2. [`baseline`]: two weeks of a series become a [`Baseline`], once a day. It has median and
//!    spread, a daily and a weekly profile, as it is and averaged over 20 minutes, and a
//!    [forecast](baseline::forecast) of its own. All distances are taken of [compressed](compress)
//!    values.
//! 3. [`window`]: series and baseline become the windows `[batch, time, features]` that the network
//!    sees.
//! 4. [`model`]: an LSTM autoencoder, a Burn module, reconstructs each window with its newest slots
//!    hidden. That is a forecast of five minutes, half an hour and two hours, and corrects the
//!    instance's own. Its weights, the threshold and the record of its training are one checked
//!    file, the [`Artifact`].
//! 5. [`baseline`] again: an error in each [channel]. It is how far the observed CPU is from its
//!    forecasts, up and down apart, and from its usual place.
//! 6. [`memory`]: the state of an instance between datapoints: its newest ones, and the largest
//!    errors of its last days.
//! 7. [`score`]: the errors against those that are usual for that instance. A [`Score`] of exactly
//!    1.0 is the threshold.
//! 8. [`episode`]: scores become alerts for a person, one at the beginning and one at the end;
//!    [`shape`] says what the anomaly looks like, and [`band`] keeps what a graph of it shows.
//!
//! [`detector`] runs these steps. [`Detector::score`] takes new datapoints, a baseline and a
//! memory, and gives scores. [`Detector::follow`] does so along a series, with a new baseline each
//! midnight, for evaluation and pictures. [`Detector::advance`] does so from run to run, late
//! datapoints included, for the Lambda function: see [`track`].
//!
//! # An example
//!
//! Two weeks of a machine with a daily rhythm end with a spike:
//!
//! ```
//! use deepguard::model::{artifact::BUILTIN, device};
//! use deepguard::series::{DAY, PERIOD};
//! use deepguard::{Artifact, Datapoint, Detector, Series, Watch};
//!
//! let last = 15 * DAY - 1;
//! let cpu = |slot: usize| match slot {
//!     _ if slot == last => 93.0,
//!     _ => {
//!         let day = (slot as f64 * std::f64::consts::TAU / DAY as f64).sin();
//!         30.0 + 15.0 * day + (slot * 7919 % 101) as f64 / 25.0
//!     }
//! };
//! let points = (0..=last).map(|slot| Datapoint { time: slot as i64 * PERIOD, value: cpu(slot) });
//! let (series, _) = Series::from_datapoints(points)?;
//! let detector = Detector::new(Artifact::from_bytes(BUILTIN)?, &device());
//! let scored = detector.follow(&series, &mut Watch::default(), series.end());
//! let newest = scored.last().expect("a score");
//! assert!(newest.score.value() > 1.0 && newest.is_alarm());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod band;
pub mod baseline;
pub mod budget;
pub mod channel;
pub mod compress;
pub mod detector;
pub mod episode;
pub mod holidays;
pub mod incident;
pub mod judge;
pub mod memory;
pub mod model;
pub mod newborn;
pub mod peers;
pub mod score;
pub mod scored;
pub mod series;
pub mod shape;
pub mod track;
pub mod window;
pub mod zone;

pub use baseline::{Baseline, Phase};
pub use detector::{Detector, Watch};
pub use holidays::Holidays;
pub use memory::Memory;
pub use model::artifact::{Artifact, ArtifactError};
pub use score::{Score, Sensitivity};
pub use scored::Scored;
pub use series::{Datapoint, Series};
pub use track::Track;
pub use zone::{Clocks, Zone};
