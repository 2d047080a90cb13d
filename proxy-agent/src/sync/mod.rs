//! From events to the dataplane: collects what changed, and runs one pass for many changes.
#![forbid(unsafe_code)]

mod runner;
mod schedule;

pub use runner::{Event, Now, Runner};
pub use schedule::{Intervals, Pass, Schedule};
