//! Timing in turns: contenders run in many short batches, one after the other, so that what else the machine does falls
//! on all of them alike.
//!
//! On a shared machine absolute times drift by tens of percent within seconds; the ratio of the least times of
//! contenders that took turns is good to a few percent.

use std::time::{Duration, Instant};

/// A batch runs for at least this long: well above what reading the clock costs, well below a time slice.
const SHORTEST_BATCH: Duration = Duration::from_micros(40);

/// At least this many turns, however long a batch takes.
const FEWEST_TURNS: usize = 7;

/// Something to be timed.
pub struct Contender<'a> {
    pub name: String,
    run: Box<dyn FnMut() + 'a>,
    calls: u32,
    samples: Vec<f64>,
}

impl<'a> Contender<'a> {
    pub fn new(name: impl Into<String>, run: impl FnMut() + 'a) -> Contender<'a> {
        Contender { name: name.into(), run: Box::new(run), calls: 1, samples: Vec::new() }
    }

    fn batch(&mut self) -> Duration {
        let start = Instant::now();
        for _ in 0..self.calls {
            (self.run)();
        }
        start.elapsed()
    }

    fn calibrate(&mut self) {
        self.batch();
        while self.batch() < SHORTEST_BATCH && self.calls < 1 << 24 {
            self.calls *= 2;
        }
    }

    /// The least time of a call, in nanoseconds.
    pub fn least(&self) -> f64 {
        self.samples.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The median time of a call, in nanoseconds.
    pub fn median(&self) -> f64 {
        median(self.samples.clone())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs contenders in turns for about `budget`.
pub fn take_turns(contenders: &mut [Contender<'_>], budget: Duration) {
    for contender in contenders.iter_mut() {
        contender.calibrate();
    }
    let start = Instant::now();
    let mut turns = 0;
    while turns < FEWEST_TURNS || start.elapsed() < budget {
        for contender in contenders.iter_mut() {
            let time = contender.batch();
            contender.samples.push(time.as_secs_f64() * 1e9 / f64::from(contender.calls));
        }
        turns += 1;
    }
}

/// How many times longer `slow` takes than `fast`: by the least times, and the median over turns.
pub fn ratio(slow: &Contender<'_>, fast: &Contender<'_>) -> (f64, f64) {
    let turns = slow.samples.iter().zip(&fast.samples).map(|(slow, fast)| slow / fast).collect();
    (slow.least() / fast.least(), median(turns))
}
