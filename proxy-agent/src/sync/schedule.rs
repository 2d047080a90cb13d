//! When the next pass is due. Pure: the time is an argument.

use std::time::{Duration, Instant};

/// How far apart passes are.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// At least this long between two passes, so that many changes make one pass.
    pub min: Duration,
    /// This long after a pass that failed.
    pub retry: Duration,
    /// At most this long between two full passes, so that whatever went unnoticed is repaired.
    pub full: Duration,
    /// This long between two looks at what the kernel holds.
    pub drift: Duration,
    /// This long until it is seen to again that the programs are attached: nobody tells when one is detached.
    pub attached: Duration,
}

/// How much a pass does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// What has changed since the last one.
    Changes,
    /// Everything.
    Full,
}

/// The schedule of one kind of work.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    intervals: Intervals,
    last: Option<Instant>,
    due: Option<Instant>,
    /// When the next pass has to be a full one.
    full: Option<Instant>,
    is_in_doubt: bool,
}

impl Schedule {
    /// Nothing is due before the first request, which leads to a full pass.
    #[must_use]
    pub const fn new(intervals: Intervals) -> Self {
        Self {
            intervals,
            last: None,
            due: None,
            full: None,
            is_in_doubt: true,
        }
    }

    /// Something changed: the next pass is due as soon as the last one is long enough ago.
    pub fn request(&mut self, now: Instant) {
        let at = self.last.map_or(now, |last| now.max(last + self.intervals.min));
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// As [`Self::request`], and it has to be a full one.
    pub fn request_full(&mut self, now: Instant) {
        self.is_in_doubt = true;
        self.request(now);
    }

    /// When the next pass is due, if any is.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.full).min()
    }

    /// The pass that is due, if any is.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> Option<Pass> {
        let is_past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match () {
            () if is_past(self.full) => Some(Pass::Full),
            () if is_past(self.due) && self.is_in_doubt => Some(Pass::Full),
            () if is_past(self.due) => Some(Pass::Changes),
            () => None,
        }
    }

    /// A pass has ended well; `again_in` asks for another one.
    pub fn succeeded(&mut self, now: Instant, pass: Pass, again_in: Option<Duration>) {
        self.last = Some(now);
        self.due = again_in.map(|time| now + time);
        self.is_in_doubt = false;
        if pass == Pass::Full {
            self.full = Some(now + self.intervals.full);
        }
    }

    /// A pass has failed: the next one has to be full.
    pub fn failed(&mut self, now: Instant) {
        self.last = Some(now);
        self.due = Some(now + self.intervals.retry);
        self.full = None;
        self.is_in_doubt = true;
    }
}

#[cfg(test)]
mod tests {
    use super::{Intervals, Pass, Schedule};
    use std::time::{Duration, Instant};

    const MS: Duration = Duration::from_millis(1);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn schedule() -> (Schedule, Instant) {
        (
            Schedule::new(Intervals {
                min: 50 * MS,
                retry: 1_000 * MS,
                full: HOUR,
                drift: 300_000 * MS,
                attached: HOUR,
            }),
            Instant::now(),
        )
    }

    #[test]
    fn the_first_change_is_applied_at_once_and_in_full() {
        let (mut schedule, start) = schedule();
        assert_eq!(schedule.is_due(start), None);
        schedule.request(start);
        assert_eq!(schedule.is_due(start), Some(Pass::Full));
    }

    #[test]
    fn a_change_after_a_quiet_time_is_applied_at_once_and_alone() {
        let (mut schedule, start) = schedule();
        schedule.succeeded(start, Pass::Full, None);
        schedule.request(start + 60 * MS);
        assert_eq!(schedule.is_due(start + 60 * MS), Some(Pass::Changes));
    }

    #[test]
    fn changes_soon_after_a_pass_wait_for_the_minimum_interval_together() {
        let (mut schedule, start) = schedule();
        schedule.request(start);
        schedule.succeeded(start, Pass::Full, None);
        schedule.request(start + 10 * MS);
        schedule.request(start + 20 * MS);
        assert_eq!(schedule.next(), Some(start + 50 * MS));
        assert_eq!(schedule.is_due(start + 49 * MS), None);
        assert_eq!(schedule.is_due(start + 50 * MS), Some(Pass::Changes));
    }

    #[test]
    fn a_failed_pass_is_retried_in_full_and_a_change_does_not_wait_for_that() {
        let (mut schedule, start) = schedule();
        schedule.succeeded(start, Pass::Full, None);
        schedule.failed(start);
        assert_eq!(schedule.next(), Some(start + 1_000 * MS));
        schedule.request(start + 100 * MS);
        assert_eq!(schedule.next(), Some(start + 100 * MS));
        assert_eq!(schedule.is_due(start + 100 * MS), Some(Pass::Full));
        schedule.succeeded(start + 100 * MS, Pass::Full, None);
        schedule.request(start + 200 * MS);
        assert_eq!(schedule.is_due(start + 200 * MS), Some(Pass::Changes));
    }

    #[test]
    fn a_full_pass_comes_every_hour_however_many_changes_there_were() {
        let (mut schedule, start) = schedule();
        schedule.succeeded(start, Pass::Full, None);
        assert_eq!(schedule.next(), Some(start + HOUR));
        schedule.succeeded(start + HOUR / 2, Pass::Changes, None);
        assert_eq!(schedule.next(), Some(start + HOUR));
        assert_eq!(schedule.is_due(start + HOUR), Some(Pass::Full));
    }

    #[test]
    fn a_pass_that_left_something_for_later_comes_back_for_it() {
        let (mut schedule, start) = schedule();
        schedule.succeeded(start, Pass::Full, Some(1_000 * MS));
        assert_eq!(schedule.is_due(start + 1_000 * MS), Some(Pass::Changes));
    }

    #[test]
    fn what_somebody_else_changed_is_repaired_by_a_full_pass() {
        let (mut schedule, start) = schedule();
        schedule.succeeded(start, Pass::Full, None);
        schedule.request_full(start + 60 * MS);
        assert_eq!(schedule.is_due(start + 60 * MS), Some(Pass::Full));
    }
}
