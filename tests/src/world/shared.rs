//! One world for all tests of a binary that only send traffic: building it takes longer than most of them.

use std::{
    ops::Deref,
    panic::catch_unwind,
    sync::{Arc, Mutex, Once, PoisonError},
    thread,
};

use nix::libc;

use super::World;
use crate::agent::TcAttach;

/// `None` before the first test and after the last one.
static WORLD: Mutex<Option<Result<Arc<World>, String>>> = Mutex::new(None);

/// The shared world in a test's hands. It prints the agents' logs if the test fails.
#[derive(Debug)]
pub struct Shared(Arc<World>);

/// The world of this process, built by the first caller and removed when the process ends.
///
/// # Panics
///
/// When it cannot be built.
#[must_use]
pub fn shared() -> Shared {
    static AT_EXIT: Once = Once::new();
    AT_EXIT.call_once(|| {
        // SAFETY: `tear_down` is a plain function that does not unwind.
        let refused = unsafe { libc::atexit(tear_down) };
        assert_eq!(refused, 0, "atexit has room for 32 functions");
    });
    let mut world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    let built = world.get_or_insert_with(|| {
        // A test that is the first here must not fail alone when the others would wait for the same failure again.
        World::start(TcAttach::Auto)
            .map(Arc::new)
            .map_err(|error| format!("{error:#}"))
    });
    match built {
        Ok(world) => Shared(Arc::clone(world)),
        Err(error) => panic!("no world to test in: {error}"),
    }
}

impl Deref for Shared {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if thread::panicking() {
            for agent in &self.0.agents {
                eprintln!("--- end of the log of an agent\n{}\n---", agent.log_tail());
            }
        }
    }
}

/// Statics are never dropped, so the end of the process has to do it.
extern "C" fn tear_down() {
    let removed = catch_unwind(|| {
        let world = WORLD.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(world);
    });
    if removed.is_err() {
        // SAFETY: ends the process at once; every other function of atexit has nothing to do with us.
        unsafe { libc::_exit(1) };
    }
}
