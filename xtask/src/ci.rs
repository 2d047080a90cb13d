//! Everything that decides whether a change lands, in the order of what fails soonest.

use std::time::Instant;

use anyhow::Result;

use crate::{
    build::{self, Built},
    demo, exec, kernels, lint, setup,
    summary::Summary,
    test,
};

/// Runs all steps; one that failed stops only those that need it.
pub(crate) fn run() -> Summary {
    let mut ci = Ci::default();
    let ready = ci.step("setup", setup::all);
    ci.counted("lint", lint::run);
    let built = ready.and_then(|()| ci.step("build", || build::run(true)));
    match built {
        Some(built) => ci.tests(&built),
        None => ci
            .summary
            .skip("test, kernels and demo: there is nothing to test without setup and build"),
    }
    ci.report();
    ci.summary
}

#[derive(Default)]
struct Ci {
    summary: Summary,
    durations: Vec<(&'static str, u64)>,
}

impl Ci {
    /// A step that the later ones need.
    fn step<T>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Option<T> {
        match self.timed(name, step) {
            Ok(value) => {
                self.summary.passed += 1;
                Some(value)
            }
            Err(error) => {
                self.summary.add(name, Err(error));
                None
            }
        }
    }

    fn counted(&mut self, name: &'static str, step: impl FnOnce() -> Summary) {
        let counted = self.timed(name, step);
        self.summary.merge(counted);
    }

    fn tests(&mut self, built: &Built) {
        self.counted("test", || test::all(Some(built), None));
        self.counted("kernels", || kernels::all(&built.agent, &[]));
        match test::why_no_kernel_tests() {
            Some(reason) => self.summary.skip(format!("demo: {reason}")),
            None => drop(self.step("demo", || demo::check(built))),
        }
    }

    fn timed<T>(&mut self, name: &'static str, step: impl FnOnce() -> T) -> T {
        exec::headline(name);
        let begin = Instant::now();
        let value = step();
        self.durations.push((name, begin.elapsed().as_secs()));
        value
    }

    fn report(&self) {
        exec::headline("durations");
        for (name, seconds) in &self.durations {
            eprintln!("{name:<8} {:>3} min {:>2} s", seconds / 60, seconds % 60);
        }
    }
}
