//! Many conversations at once, and strangers that come meanwhile: what a change of the proxy must not cut.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use proxy_agent::model::Protocol;

use super::{Answer, Client, Conversation};
use crate::netns::NetNs;

/// Time between two strangers.
const PAUSE: Duration = Duration::from_millis(2);

/// Conversations that have begun and stay open.
#[derive(Debug, Default)]
pub struct Crowd {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    target: SocketAddr,
    conversation: Conversation,
    first: Answer,
}

impl Crowd {
    /// Opens `count` more conversations, each with an answer.
    ///
    /// # Errors
    ///
    /// One does not begin.
    pub fn join(
        &mut self,
        client: &Client<'_>,
        protocol: Protocol,
        target: SocketAddr,
        count: usize,
    ) -> Result<()> {
        for number in 0..count {
            let open = || -> io::Result<Member> {
                let mut conversation = client.talk(protocol, target)?;
                let first = conversation.ask("first")?;
                Ok(Member {
                    target,
                    conversation,
                    first,
                })
            };
            let member = open().with_context(|| format!("conversation {number} with {protocol} {target}"))?;
            self.members.push(member);
        }
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is there.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whom the servers have seen.
    pub fn clients(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.members.iter().map(|member| member.first.client)
    }

    /// Asks everybody once more.
    ///
    /// # Errors
    ///
    /// How many are cut, or have another server or another source than at first, and the first of them.
    pub fn goes_on(&mut self, when: &str) -> Result<()> {
        let total = self.members.len();
        let cut: Vec<String> = self.members.iter_mut().filter_map(Member::complaint).collect();
        ensure!(
            cut.is_empty(),
            "{when}: {} of {total} conversations are cut, the first: {}",
            cut.len(),
            cut[0]
        );
        Ok(())
    }
}

impl Member {
    fn complaint(&mut self) -> Option<String> {
        let (target, first) = (self.target, &self.first);
        match self.conversation.ask("again") {
            Ok(answer) if answer == *first => None,
            Ok(answer) => Some(format!("{target}: {first:?} has become {answer:?}")),
            Err(error) => Some(format!("{target} ({first:?}): {error}")),
        }
    }
}

/// Strangers, who ask once and leave, one after the other, until they are stopped.
#[derive(Debug)]
pub struct Strangers {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    ended: AtomicBool,
    served: AtomicUsize,
}

impl Strangers {
    /// Asks these Services in turn from `ns`.
    #[must_use]
    pub fn come(ns: Arc<NetNs>, services: Vec<(Protocol, SocketAddr)>) -> Self {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = thread::spawn(move || ask_in_turn(&own, &ns, &services));
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// Sends the last one home, and tells how many there were.
    ///
    /// # Errors
    ///
    /// One was not answered.
    ///
    /// # Panics
    ///
    /// When the thread did.
    pub fn stop(mut self) -> Result<usize> {
        self.shared.ended.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("stopped once");
        thread.join().expect("strangers do not panic")?;
        Ok(self.shared.served.load(Ordering::Relaxed))
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

fn ask_in_turn(shared: &Shared, ns: &NetNs, services: &[(Protocol, SocketAddr)]) -> Result<()> {
    for (protocol, target) in services.iter().cycle() {
        if shared.ended.load(Ordering::Relaxed) {
            break;
        }
        let number = shared.served.fetch_add(1, Ordering::Relaxed);
        Client::new(ns)
            .ask(*protocol, *target)
            .with_context(|| format!("stranger {number} at {protocol} {target}"))?;
        thread::sleep(PAUSE);
    }
    Ok(())
}
