//! A Service goes, or all its endpoints, while a client talks, and comes back.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::ensure;
use harness::{
    traffic::{Client, Conversation, Talker},
    wait,
    world::{Published, Variant, shared},
};
use proxy_agent::model::Protocol;

for_each_tcp!(a_connection_outlives_its_service);
for_each_udp!(
    a_socket_that_never_stops_sending_is_served_again_once_its_service_is_back,
    a_socket_that_never_stops_sending_is_served_again_once_there_is_an_endpoint,
);

/// From the agent's word that it serves to the first answer.
const LIMIT: Duration = Duration::from_secs(1);
/// How long a datagram is waited for before the next one is sent: shorter than every timeout of a UDP flow.
const PAUSE: Duration = Duration::from_millis(20);
/// Unanswered datagrams that go out while nobody serves: enough for some to meet each table.
const UNANSWERED: u64 = 10;

fn a_connection_outlives_its_service(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    for endpoint in [&one.pods[0], &two.pods[0]] {
        let service = world.publish(variant, &[endpoint]).unwrap();
        let open = |ns, target| Talker::start(Client::new(ns).talk(Protocol::Tcp, target).unwrap());
        let talkers = [
            open(&one.pods[2].ns, service.vip()),
            open(&world.topology.client.ns, service.node_port(&one.host)),
        ];
        service.withdraw().unwrap();
        for talker in talkers {
            talker.keeps_talking(50).unwrap();
            assert_eq!(talker.stop().unwrap().server, endpoint.name);
        }
    }
}

fn a_socket_that_never_stops_sending_is_served_again_once_its_service_is_back(variant: Variant) {
    let world = shared();
    let pod = &world.topology.nodes[1].pods[0];
    let mut service = world.publish(variant, &[pod]).unwrap();
    through_outages(&mut service, |service, is_served| {
        if is_served {
            service.come_back().unwrap();
        } else {
            service.withdraw().unwrap();
        }
    });
}

fn a_socket_that_never_stops_sending_is_served_again_once_there_is_an_endpoint(variant: Variant) {
    let world = shared();
    let pod = &world.topology.nodes[1].pods[0];
    let mut service = world.publish(variant, &[pod]).unwrap();
    through_outages(&mut service, |service, is_served| {
        let endpoints: &[_] = if is_served { &[pod] } else { &[] };
        service.set_endpoints(endpoints).unwrap();
    });
}

/// Answered and unanswered datagrams of a sender that does not stop.
#[derive(Debug, Default)]
struct Sender {
    answered: AtomicU64,
    unanswered: AtomicU64,
    is_over: AtomicBool,
}

impl Sender {
    fn send(&self, mut talk: Conversation) {
        while !self.is_over.load(Ordering::Relaxed) {
            let count = match talk.ask("hello") {
                Ok(_) => &self.answered,
                Err(_) => {
                    // A refusal comes at once, and more of them than are answered in a second would be silence.
                    thread::sleep(PAUSE / 4);
                    &self.unanswered
                }
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Waits until `count` has grown by so many.
fn grows(what: &str, count: &AtomicU64, by: u64) {
    let before = count.load(Ordering::Relaxed);
    wait::until(what, LIMIT, || {
        let grown = count.load(Ordering::Relaxed) - before;
        ensure!(grown >= by, "{grown} of {by}");
        Ok(())
    })
    .unwrap();
}

/// A pod and the client outside send from one socket each while the Service goes and comes back, twice.
fn through_outages(service: &mut Published<'_>, serve: impl Fn(&mut Published<'_>, bool)) {
    let world = shared();
    let node = &world.topology.nodes[0];
    let targets = [
        (&node.pods[2], service.vip()),
        (&world.topology.client, service.node_port(&node.host)),
    ];
    let senders = targets.map(|(host, target)| {
        let client = Client::new(&host.ns).patience(PAUSE);
        (Sender::default(), client.talk(Protocol::Udp, target).unwrap())
    });
    let (senders, talks): (Vec<_>, Vec<_>) = senders.into_iter().unzip();
    thread::scope(|scope| {
        let over = Over(&senders);
        for (sender, talk) in senders.iter().zip(talks) {
            scope.spawn(|| sender.send(talk));
        }
        for is_served in [false, true, false, true] {
            serve(service, is_served);
            for sender in &senders {
                if is_served {
                    grows("answers once it is served", &sender.answered, 5);
                } else {
                    grows("silence while nobody serves", &sender.unanswered, UNANSWERED);
                }
            }
        }
        drop(over);
    });
}

/// Stops the senders, whatever happens.
struct Over<'s>(&'s [Sender]);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        for sender in self.0 {
            sender.is_over.store(true, Ordering::Relaxed);
        }
    }
}
