//! The facts against a real kernel, each test in a network namespace of its own.

use std::{
    fs::File,
    future::Future,
    io::{Write as _, stdout},
    os::fd::AsRawFd as _,
    process::{self, Command},
    thread,
    time::Duration,
};

use nix::{
    sched::{CloneFlags, setns, unshare},
    unistd::geteuid,
};
use tokio::{
    runtime::{self, Runtime},
    sync::watch::{self as channel, Receiver},
    time::timeout,
};

use super::*;

/// Runs `test` on a thread that has a network namespace of its own; the namespace ends with the thread.
pub(crate) fn in_own_namespace(name: &str, test: impl FnOnce(&Runtime) + Send + 'static) {
    if !geteuid().is_root() {
        // Not println, which the test harness keeps to itself.
        writeln!(stdout(), "SKIPPED {name}: network namespaces need root").unwrap();
        return;
    }
    let run = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        // Not more than this thread: the others are in another namespace.
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        test(&runtime);
    };
    thread::spawn(run).join().unwrap();
}

/// Another namespace, held by the returned file. The thread stays where it was.
fn other_namespace() -> File {
    let own = File::open("/proc/thread-self/ns/net").unwrap();
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let other = File::open("/proc/thread-self/ns/net").unwrap();
    setns(own, CloneFlags::CLONE_NEWNET).unwrap();
    other
}

fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn named<'a>(facts: &'a NodeFacts, name: &str) -> &'a Link {
    facts
        .links
        .values()
        .find(|link| link.name == name)
        .unwrap_or_else(|| panic!("no {name} in {facts:?}"))
}

#[test]
fn a_dump_tells_devices_apart() {
    in_own_namespace("a_dump_tells_devices_apart", |runtime| {
        let pod = other_namespace();
        ip(&format!(
            "link add pod type veth peer name eth0 netns /proc/{}/fd/{}",
            process::id(),
            pod.as_raw_fd()
        ));
        ip("link add bridge type bridge");
        ip("link add port type veth peer name far");
        ip("link set port master bridge");
        ip("link add overlay type vxlan id 7 dev far dstport 4789");
        ip("tuntap add dev tunnel mode tun");

        let facts = runtime.block_on(dump()).unwrap();

        assert!(named(&facts, "lo").is_loopback());
        assert!(named(&facts, "pod").is_pod_side());
        assert!(!named(&facts, "far").is_pod_side());
        assert_eq!(named(&facts, "port").master, Some(named(&facts, "bridge").index));
        assert_eq!(named(&facts, "port").master_kind.as_deref(), Some("bridge"));
        let attached: BTreeMap<_, _> = facts
            .attachments()
            .into_iter()
            .map(|(index, layer)| (facts.links[&index].name.as_str(), layer))
            .collect();
        let expected = [
            ("far", Layer::Ethernet),
            ("overlay", Layer::Ethernet),
            ("pod", Layer::Ethernet),
            ("port", Layer::Ethernet),
            ("tunnel", Layer::Ip),
        ];
        assert_eq!(attached, BTreeMap::from(expected));
    });
}

#[test]
fn a_dump_reads_addresses_and_default_routes() {
    in_own_namespace("a_dump_reads_addresses_and_default_routes", |runtime| {
        ip("link set lo up");
        ip("link add up0 type veth peer name up1");
        ip("link set up0 up");
        ip("link set up1 up");
        ip("address add 192.0.2.7/24 dev up0");
        ip("address add 2001:db8::7/64 dev up0 nodad");
        ip("address add 203.0.113.1 peer 203.0.113.2 dev up1");
        ip("address add 2001:db8:1::7/64 dev up1 nodad preferred_lft 0");
        ip("route add default via 203.0.113.2 dev up1 metric 200");
        ip("route add default via 192.0.2.1 dev up0 metric 100");
        ip("-6 route add default via 2001:db8::1 dev up0");
        ip("-6 route add default dev up1 metric 10 table 100");

        let facts = runtime.block_on(dump()).unwrap();

        let (up0, up1) = (named(&facts, "up0").index, named(&facts, "up1").index);
        assert_eq!(
            facts.default_route_ifindex,
            BTreeMap::from([(Family::V4, up0), (Family::V6, up0)])
        );
        let local = facts.local_addresses();
        for address in ["192.0.2.7", "2001:db8::7", "203.0.113.1", "2001:db8:1::7"] {
            assert!(
                local.contains(&address.parse().unwrap()),
                "{address} in {local:?}"
            );
        }
        // The far end of a point-to-point device is not ours, and loopback serves no NodePorts.
        for address in ["203.0.113.2", "127.0.0.1", "::1"] {
            assert!(
                !local.contains(&address.parse().unwrap()),
                "{address} in {local:?}"
            );
        }
        assert_eq!(
            facts.snat_address(up1, Family::V4),
            Some("203.0.113.1".parse().unwrap())
        );
        // up1's own IPv6 address is deprecated.
        assert_eq!(
            facts.snat_address(up1, Family::V6),
            Some("2001:db8::7".parse().unwrap())
        );
    });
}

/// Runs `change`, then waits until the watched facts satisfy `condition`.
async fn after(
    facts: &mut Receiver<NodeFacts>,
    change: impl FnOnce(),
    condition: impl FnMut(&NodeFacts) -> bool,
) {
    change();
    let reached = timeout(Duration::from_secs(10), facts.wait_for(condition)).await;
    drop(
        reached
            .expect("the facts follow the change")
            .expect("the watch runs"),
    );
}

async fn while_watching(body: impl AsyncFnOnce(&mut Receiver<NodeFacts>)) {
    let (sender, mut receiver) = channel::channel(NodeFacts::default());
    let body: std::pin::Pin<Box<dyn Future<Output = ()>>> =
        Box::pin(async move { body(&mut receiver).await });
    tokio::select! {
        ended = watch(sender) => panic!("the watch ended: {ended:?}"),
        () = body => {}
    }
}

#[test]
fn a_watch_follows_links_addresses_and_routes() {
    in_own_namespace("a_watch_follows_links_addresses_and_routes", |runtime| {
        runtime.block_on(while_watching(async |facts| {
            let has = |facts: &NodeFacts, name: &str| facts.links.values().any(|link| link.name == name);
            after(facts, || {}, |facts| has(facts, "lo")).await;
            after(
                facts,
                || ip("link add up0 type veth peer name up1"),
                |facts| has(facts, "up0"),
            )
            .await;
            let address = "192.0.2.7".parse().unwrap();
            let add = || ip("address add 192.0.2.7/24 dev up0");
            after(facts, add, |facts| facts.local_addresses().contains(&address)).await;
            ip("link set up1 up");
            after(
                facts,
                || ip("link set up0 up"),
                |facts| named(facts, "up0").is_up(),
            )
            .await;
            let add = || ip("route add default via 192.0.2.1");
            after(facts, add, |facts| {
                facts.default_route_ifindex.contains_key(&Family::V4)
            })
            .await;
            // The kernel tells of the link only: address and route go with it.
            let gone = |facts: &NodeFacts| {
                !has(facts, "up0")
                    && facts.local_addresses().is_empty()
                    && facts.default_route_ifindex.is_empty()
            };
            after(facts, || ip("link delete up0"), gone).await;
        }));
    });
}
