//! Slots that are still filling: instances with one-minute monitoring, whose minutes come late.

use scripted_aws::Fleet;

use super::*;

const MACHINES: usize = 10;
const DAYS: i64 = 4;
/// A minute arrives this many seconds after its end at the earliest, and twice that at the latest.
const ARRIVAL: u64 = 60;

/// Machines with a job in the fourth minute of every five. CloudWatch's value of a slot is the mean
/// of the minutes that have arrived.
struct Minutes;

impl Minutes {
    /// The minute that ends at `end`: when it arrives, and its CPU.
    fn minute(number: usize, end: i64) -> (i64, f64) {
        let dice = Dice(number as u64 * 1_000_003 + end as u64 / 60).roll();
        let arrives = end + (ARRIVAL + dice % (ARRIVAL + 1)) as i64;
        let noise = (dice >> 32) as f64 / f64::from(u32::MAX);
        let day = (end as f64 / DAY as f64 * std::f64::consts::TAU).sin();
        let job = if end.rem_euclid(SLOT) == 240 { 30.0 } else { 0.0 };
        (arrives, 20.0 + 5.0 * day + 2.0 * noise + job)
    }
}

impl Fleet for Minutes {
    fn instances(&self, _: i64) -> Vec<String> {
        (0..MACHINES).map(Generated::id).collect()
    }

    fn datapoints(&self, instance: &str, from: i64, to: i64, now: i64) -> Vec<(i64, f64)> {
        let number = Generated::number(instance).expect("one of ours");
        let slot = |start: i64| {
            let minutes = (1..=5).map(|minute| Self::minute(number, start + 60 * minute));
            let here: Vec<f64> =
                minutes.filter(|(arrives, _)| *arrives <= now).map(|(_, value)| value).collect();
            (!here.is_empty()).then(|| (start, here.iter().sum::<f64>() / here.len() as f64))
        };
        let first = from + (-from).rem_euclid(SLOT);
        (first..to).step_by(SLOT as usize).filter_map(slot).collect()
    }
}

/// The episodes of four days, of runs `after` seconds after the end of each slot.
async fn pages(settle_minutes: &str, after: impl Fn(i64) -> i64) -> usize {
    let aws = start_aws(Minutes, MIDNIGHT);
    let mut world = World::new(aws, settings(&[("SETTLE_MINUTES", settle_minutes)]));
    let mut began = 0;
    for slot in slots(MIDNIGHT, MIDNIGHT + DAYS * DAY) {
        if let Some(time) = calibrator_before(slot) {
            world.calibrate(time).await.expect("baselines");
        }
        began += world.run(slot + after(slot)).await.expect("a run").episodes.began;
    }
    began
}

#[tokio::test]
async fn a_slot_that_is_still_filling_is_not_scored() {
    // At any time from 10 to 70 seconds after the slot, as a schedule gives it.
    let at_once = |slot: i64| 10 + (Dice(slot as u64).roll() % 61) as i64;
    let unsettled = pages("0", at_once).await;
    let settled = pages("2", at_once).await;
    let scheduled = pages("2", |_| 180).await;
    println!("pages in {DAYS} days: {unsettled} unsettled, {settled} settled, {scheduled} by cron");
    assert!(unsettled >= 9, "{unsettled}: the machines do not show the fault");
    assert!(settled <= 1 && scheduled <= 1, "{settled}, {scheduled}");
}
