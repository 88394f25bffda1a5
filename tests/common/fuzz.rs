//! Makes wrong input of every kind from right input: bytes are altered, cut, doubled, moved and
//! mixed.
//!
//! `FUZZ_SECONDS` sets the duration (`make fuzz`: ten minutes each), one second by default.
//! `FUZZ_SEED` sets the first seed. An input that makes a check panic is stored in
//! `tests/fuzz/<name>/` and is tried first from then on.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// More memory than any input of these sizes may take, in kilobytes.
const MOST_KILOBYTES: u64 = 512 * 1024;
/// Numbers that often break code.
const EDGES: [&[u8]; 12] = [
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"-1",
    b"1e999",
    b"NaN",
    b"9223372036854775807",
    b"\"",
    b"{",
];

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Checks inputs made from `seeds` until the time is over.
pub(crate) fn fuzz(name: &str, seeds: &[Vec<u8>], check: impl Fn(&[u8])) {
    let number = |variable: &str| std::env::var(variable).ok().and_then(|value| value.parse().ok());
    let time = Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(1));
    let mut random = Random(number("FUZZ_SEED").unwrap_or(1));
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let project = above
        .find(|folder| folder.join("tests/common/fuzz.rs").is_file())
        .expect("this file is in there");
    let folder = project.join("tests/fuzz").join(name);
    let kept = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| std::fs::read(entry.path()));
    let kept: Vec<Vec<u8>> = kept.map(|bytes| bytes.expect("a kept input can be read")).collect();
    kept.iter().chain(seeds).for_each(|input| check(input));

    let before = peak_kilobytes();
    let (started, mut inputs) = (Instant::now(), 0u64);
    while started.elapsed() < time {
        let mut input = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut input, seeds, &mut random);
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&input))) {
            std::fs::create_dir_all(&folder).expect("a folder for the input");
            let file = folder.join(format!("{:016x}", random.next()));
            std::fs::write(&file, &input).expect("the input is kept");
            eprintln!("this input panics: {}", file.display());
            resume_unwind(panic);
        }
        inputs += 1;
    }
    let grown = peak_kilobytes().saturating_sub(before);
    assert!(grown < MOST_KILOBYTES, "{grown} kB for inputs of a few");
    println!(
        "{name}: {inputs} inputs in {} s, {grown} kB more at the most",
        started.elapsed().as_secs()
    );
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len());
    let to = (at + 1 + random.below(64)).min(input.len());
    match random.below(8) {
        0 if !input.is_empty() => input[at] ^= 1 << random.below(8),
        1 if !input.is_empty() => input[at] = random.next() as u8,
        2 => {
            let edge = EDGES[random.below(EDGES.len())];
            input.splice(at..to, edge.iter().copied());
        }
        3 => {
            let edge = EDGES[random.below(EDGES.len())];
            input.splice(at..at, edge.iter().copied());
        }
        4 => drop(input.drain(at..to)),
        5 => {
            let part = input[at..to].to_vec();
            let place = random.below(input.len());
            input.splice(place..place, part);
        }
        6 => input.truncate(at),
        _ => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
}

/// The most memory this process has held at once; 0 where the system does not tell.
fn peak_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}
