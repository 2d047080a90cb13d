//! Something that all tests of a process use, because building it takes longer than most of them.

use std::{
    panic::catch_unwind,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use nix::libc;

/// A static's place for it: built by the first who asks, removed when the process ends.
#[derive(Debug)]
pub(crate) struct Once<T>(Mutex<Option<Result<Arc<T>, String>>>);

impl<T> Once<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// It, or why it could not be built: the next one need not wait for the same failure again. `at_exit` has to
    /// [`clear`](Self::clear) this.
    pub(crate) fn get(
        &self,
        at_exit: extern "C" fn(),
        build: impl FnOnce() -> Result<T>,
    ) -> Result<Arc<T>, String> {
        let mut built = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let built = built.get_or_insert_with(|| {
            // SAFETY: `at_exit` is a plain function that does not unwind.
            let refused = unsafe { libc::atexit(at_exit) };
            assert_eq!(refused, 0, "atexit has room for 32 functions");
            build().map(Arc::new).map_err(|error| format!("{error:#}"))
        });
        built.clone()
    }

    /// Statics are never dropped, so the end of the process has to do it. Ends the process at once if that fails.
    pub(crate) fn clear(&self) {
        let removed = catch_unwind(std::panic::AssertUnwindSafe(|| {
            drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
        }));
        if removed.is_err() {
            // SAFETY: ends the process at once; every other function of atexit has nothing to do with us.
            unsafe { libc::_exit(1) };
        }
    }
}
