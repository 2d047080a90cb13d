//! A conversation that never pauses, to see whether something cuts it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{Answer, Conversation, PATIENCE};
use crate::wait;

/// Asks again and again on one conversation until it is stopped or an answer fails to come.
#[derive(Debug)]
pub struct Talker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<Answer>>>,
}

#[derive(Debug, Default)]
struct Shared {
    ended: AtomicBool,
    rounds: AtomicU64,
}

impl Talker {
    /// Starts to talk.
    #[must_use]
    pub fn start(conversation: Conversation) -> Self {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        Self {
            shared,
            thread: Some(thread::spawn(move || talk(&own, conversation))),
        }
    }

    /// Waits until `rounds` more questions have been answered.
    ///
    /// # Errors
    ///
    /// The conversation is cut or stuck.
    pub fn keeps_talking(&self, rounds: u64) -> Result<()> {
        let goal = self.rounds() + rounds;
        let cut = wait::until("the conversation", 2 * PATIENCE, || {
            let (rounds, cut) = (self.rounds(), self.is_cut());
            // No use in waiting for one that has ended.
            ensure!(cut || rounds >= goal, "it stands at {rounds} of {goal} answers");
            Ok(cut)
        })?;
        ensure!(!cut, "the conversation was cut after {} answers", self.rounds());
        Ok(())
    }

    /// Ends the conversation and gives its last answer.
    ///
    /// # Errors
    ///
    /// Some question was not answered, or the answers came from different servers or a different client.
    ///
    /// # Panics
    ///
    /// When the thread did.
    pub fn stop(mut self) -> Result<Answer> {
        self.shared.ended.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("stopped once");
        let rounds = self.rounds();
        thread
            .join()
            .expect("the talker does not panic")
            .with_context(|| format!("cut after {rounds} answers"))
    }

    fn is_cut(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    fn rounds(&self) -> u64 {
        self.shared.rounds.load(Ordering::Relaxed)
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

fn talk(shared: &Shared, mut conversation: Conversation) -> io::Result<Answer> {
    let first = conversation.ask("first")?;
    while !shared.ended.load(Ordering::Relaxed) {
        let round = shared.rounds.fetch_add(1, Ordering::Relaxed);
        let answer = conversation.ask(&round.to_string())?;
        if answer != first {
            return Err(io::Error::other(format!(
                "it began as {first:?} and became {answer:?}"
            )));
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(first)
}
