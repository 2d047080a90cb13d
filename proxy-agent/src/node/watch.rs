//! Keeps the node's facts true while links, addresses and default routes come and go.

use std::{convert::Infallible, time::Duration};

use futures::{FutureExt as _, Stream, StreamExt as _};
use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::RouteNetlinkMessage,
};
use tokio::{sync::watch::Sender, time};

use super::{NodeError, NodeFacts, dump};

const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];
/// A new pod raises a dozen events; they are answered with one dump.
const SETTLE: Duration = Duration::from_millis(20);
/// Heals whatever no event told of.
const RESYNC: Duration = Duration::from_secs(30);

/// Sends the facts at once and again after every change, never the same twice in a row. Watches the network namespace of the thread
/// that first polls it.
///
/// # Errors
///
/// Ends only with an error: netlink cannot be opened, does not answer or was closed.
pub async fn watch(facts: Sender<NodeFacts>) -> Result<Infallible, NodeError> {
    // Subscribed before the first dump: what changes in between raises an event.
    let (connection, _handle, messages) =
        rtnetlink::new_multicast_connection(&GROUPS).map_err(NodeError::Socket)?;
    let events = messages.map(|(message, _)| message);
    tokio::select! {
        () = connection => Err(NodeError::Closed),
        ended = follow(events, &facts) => ended,
    }
}

/// Every event leads to a full dump: an overrun, which loses events, is then no special case.
async fn follow(
    mut events: impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Unpin,
    facts: &Sender<NodeFacts>,
) -> Result<Infallible, NodeError> {
    loop {
        publish(dump().await?, facts);
        if let Ok(changed) = time::timeout(RESYNC, next_change(&mut events)).await {
            changed?;
            time::sleep(SETTLE).await;
            drain(&mut events);
        }
    }
}

fn publish(new: NodeFacts, facts: &Sender<NodeFacts>) {
    facts.send_if_modified(|current| {
        let changed = *current != new;
        *current = new;
        changed
    });
}

async fn next_change(
    events: &mut (impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Unpin),
) -> Result<(), NodeError> {
    while let Some(message) = events.next().await {
        if is_change(&message) {
            return Ok(());
        }
    }
    Err(NodeError::Closed)
}

/// All but the routes that are no default routes: a node that speaks BGP sees thousands of them.
fn is_change(message: &NetlinkMessage<RouteNetlinkMessage>) -> bool {
    match &message.payload {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
        ) => route.header.destination_prefix_length == 0,
        NetlinkPayload::InnerMessage(_) | NetlinkPayload::Overrun(_) => true,
        _ => false,
    }
}

/// Forgets what has already arrived: the dump that follows knows it.
fn drain(events: &mut (impl Stream + Unpin)) {
    while let Some(Some(_)) = events.next().now_or_never() {}
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::{link::LinkMessage, route::RouteMessage};
    use tokio::sync::watch::channel;

    use super::*;
    use crate::node::Link;

    fn route(prefix_length: u8) -> RouteNetlinkMessage {
        let mut route = RouteMessage::default();
        route.header.destination_prefix_length = prefix_length;
        RouteNetlinkMessage::NewRoute(route)
    }

    #[test]
    fn links_default_routes_and_overruns_are_changes_and_other_routes_are_not() {
        let cases = [
            (
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(LinkMessage::default())),
                true,
            ),
            (NetlinkPayload::InnerMessage(route(0)), true),
            (NetlinkPayload::InnerMessage(route(24)), false),
            (NetlinkPayload::Overrun(Vec::new()), true),
            (NetlinkPayload::Noop, false),
        ];
        for (payload, expected) in cases {
            let message = NetlinkMessage::new(Default::default(), payload);
            assert_eq!(is_change(&message), expected, "{message:?}");
        }
    }

    #[test]
    fn facts_that_have_not_changed_wake_nobody() {
        let (sender, mut receiver) = channel(NodeFacts::default());
        let one_link = NodeFacts {
            links: [(1, Link::default())].into(),
            ..NodeFacts::default()
        };
        publish(one_link.clone(), &sender);
        assert!(receiver.has_changed().unwrap());
        receiver.mark_unchanged();
        publish(one_link, &sender);
        assert!(!receiver.has_changed().unwrap());
    }
}
