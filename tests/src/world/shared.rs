//! One world of each kind for all tests of a binary that only send traffic: building it takes longer than most of them.

use std::{ops::Deref, sync::Arc, thread};

use super::World;
use crate::{agent::TcAttach, once::Once};

static WORLD: Once<World> = Once::new();
static WITH_SOCKETS: Once<World> = Once::new();

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
    in_hands(WORLD.get(tear_down, || World::start(TcAttach::Auto)))
}

/// As [`shared`], the world of this process whose agents see sockets, too.
///
/// # Panics
///
/// When it cannot be built.
#[must_use]
pub fn shared_with_sockets() -> Shared {
    let build = || World::start_with_sockets(&[]);
    in_hands(WITH_SOCKETS.get(tear_down_with_sockets, build))
}

fn in_hands(world: Result<Arc<World>, String>) -> Shared {
    match world {
        Ok(world) => Shared(world),
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

extern "C" fn tear_down() {
    WORLD.clear();
}

extern "C" fn tear_down_with_sockets() {
    WITH_SOCKETS.clear();
}
