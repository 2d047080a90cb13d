//! When the next pass is due. Pure: the time is an argument.

use std::time::{Duration, Instant};

/// How far apart passes are.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// At least this long between two passes, so that many changes make one pass.
    pub min: Duration,
    /// This long after a pass that failed.
    pub retry: Duration,
    /// At most this long between two passes, so that whatever went unnoticed is repaired.
    pub full: Duration,
}

/// The schedule of one kind of pass.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    intervals: Intervals,
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Schedule {
    /// Nothing is due before the first request.
    #[must_use]
    pub const fn new(intervals: Intervals) -> Self {
        Self {
            intervals,
            last: None,
            due: None,
        }
    }

    /// Something changed: the next pass is due as soon as the last one is long enough ago.
    pub fn request(&mut self, now: Instant) {
        let at = self.last.map_or(now, |last| now.max(last + self.intervals.min));
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// When the next pass is due, if any is.
    #[must_use]
    pub const fn next(&self) -> Option<Instant> {
        self.due
    }

    /// Whether a pass is due.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// A pass has ended well; `again_in` asks for another one.
    pub fn succeeded(&mut self, now: Instant, again_in: Option<Duration>) {
        self.last = Some(now);
        self.due = Some(now + again_in.unwrap_or(self.intervals.full));
    }

    /// A pass has failed.
    pub fn failed(&mut self, now: Instant) {
        self.last = Some(now);
        self.due = Some(now + self.intervals.retry);
    }
}

#[cfg(test)]
mod tests {
    use super::{Intervals, Schedule};
    use std::time::{Duration, Instant};

    const MS: Duration = Duration::from_millis(1);

    fn schedule() -> (Schedule, Instant) {
        (
            Schedule::new(Intervals {
                min: 50 * MS,
                retry: 1_000 * MS,
                full: 3_600_000 * MS,
            }),
            Instant::now(),
        )
    }

    #[test]
    fn the_first_change_is_applied_at_once() {
        let (mut schedule, start) = schedule();
        assert!(!schedule.is_due(start));
        schedule.request(start);
        assert!(schedule.is_due(start));
    }

    #[test]
    fn changes_soon_after_a_pass_wait_for_the_minimum_interval_together() {
        let (mut schedule, start) = schedule();
        schedule.request(start);
        schedule.succeeded(start, None);
        schedule.request(start + 10 * MS);
        schedule.request(start + 20 * MS);
        assert_eq!(schedule.next(), Some(start + 50 * MS));
    }

    #[test]
    fn a_failed_pass_is_retried_and_a_change_does_not_wait_for_that() {
        let (mut schedule, start) = schedule();
        schedule.failed(start);
        assert_eq!(schedule.next(), Some(start + 1_000 * MS));
        schedule.request(start + 100 * MS);
        assert_eq!(schedule.next(), Some(start + 100 * MS));
    }

    #[test]
    fn a_quiet_node_has_a_full_pass_every_hour() {
        let (mut schedule, start) = schedule();
        schedule.succeeded(start, None);
        assert_eq!(schedule.next(), Some(start + 3_600_000 * MS));
    }

    #[test]
    fn a_pass_that_left_something_for_later_comes_back_for_it() {
        let (mut schedule, start) = schedule();
        schedule.succeeded(start, Some(1_000 * MS));
        assert!(schedule.is_due(start + 1_000 * MS));
    }
}
