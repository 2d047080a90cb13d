//! Connections that netfilter translates, by kube-proxy's rules or by those of iptables mode, when the programs begin.
//!
//! TCP connections stay there: packets of flows that the programs do not know pass, and conntrack needs no rules for what it has begun.
//! What the programs have to know are the source ports that MASQUERADE has given away, or they would give them away again.
//!
//! UDP has no beginning that the programs could wait for, so its flows become theirs, with the endpoint and the source port that they have.

use std::{collections::BTreeSet, net::IpAddr};

use anyhow::Result;
use aya::Pod;
use proxy_common::{
    Address, Flow, FlowFlags, FlowKey, Frontend, FrontendKey, MemberKey, NODE_PORTS, Port, TCP, UDP,
    tcp_state::{Direction, State, TcpFlags},
};

use super::{
    attach::Hook,
    flows::{Entry, FlowTables},
    reconcile::FamilyMaps,
};
use crate::{
    model::Family,
    netfilter::conntrack::{self, Table},
};

/// What has been taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// UDP flows that are the programs' now.
    pub(super) flows: usize,
    /// Source ports that MASQUERADE has given to TCP connections.
    pub(super) ports: usize,
}

/// A flow as the programs will have it: the entry for requests at ingress, and what it needs to be there before.
#[derive(Debug)]
struct Moved<'a, A> {
    from: &'a conntrack::Flow,
    request: Entry<A>,
    others: Vec<Entry<A>>,
}

/// Takes over what conntrack knows of one family, except flows from `local` addresses, which never meet the programs. They must not
/// open flows yet.
///
/// # Errors
/// When conntrack or a map cannot be read.
pub(super) fn take_over<A: Address>(
    maps: &FamilyMaps<A>,
    tables: &mut FlowTables<A>,
    local: &BTreeSet<IpAddr>,
    now: u32,
) -> Result<Taken>
where
    FlowKey<A>: Pod,
    Flow<A>: Pod,
{
    let table = Table::open(Family::of(A::ANY.to_ip()))?;
    let flows = table.flows(|flow| match flow.protocol {
        TCP => flow.has_another_destination() && flow.is_masqueraded(),
        UDP => flow.has_another_destination() && !local.contains(&flow.request.source.ip()),
        _ => false,
    })?;
    let ports: Vec<_> = flows.iter().filter_map(|flow| taken_port(flow, now)).collect();
    let moves: Vec<_> = flows.iter().filter_map(|flow| moved(flow, maps, now)).collect();
    let of_moves = moves
        .iter()
        .flat_map(|moved| moved.others.iter().chain([&moved.request]));
    tables.announce(ports.iter().chain(of_moves))?;
    let ports = ports.iter().filter(|entry| tables.add(entry)).count();
    let mut taken = Taken { flows: 0, ports };
    for moved in moves {
        taken.flows += usize::from(move_flow(&table, tables, &moved)?);
    }
    Ok(taken)
}

/// Conntrack forgets the flow first: if it still knew it when it meets the programs' packets, which have the same answer, it would give them
/// another source port. A datagram that comes between the two is a new flow for the rules.
fn move_flow<A: Address>(table: &Table, tables: &mut FlowTables<A>, moved: &Moved<'_, A>) -> Result<bool>
where
    FlowKey<A>: Pod,
    Flow<A>: Pod,
{
    if !moved.others.iter().all(|entry| tables.add(entry)) {
        return Ok(false);
    }
    table.delete(moved.from)?;
    Ok(tables.add(&moved.request))
}

/// The answers of a masqueraded connection keep their destination, and nobody else gets it.
fn taken_port<A: Address>(flow: &conntrack::Flow, now: u32) -> Option<Entry<A>> {
    if flow.protocol != TCP {
        return None;
    }
    let (endpoint, node) = (end(flow.reply.source)?, end(flow.reply.destination)?);
    Some(Entry {
        hook: Hook::Ingress,
        key: FlowKey::new(endpoint, node, TCP),
        flow: seen(
            Flow::new(node, endpoint.1, FlowFlags::REPLY.with(FlowFlags::DIRECT), now),
            flow,
            now,
        ),
    })
}

/// None if the flow is not to a Service of today, or its endpoint is none of its any more.
fn moved<'a, A: Address>(flow: &'a conntrack::Flow, maps: &FamilyMaps<A>, now: u32) -> Option<Moved<'a, A>> {
    if flow.protocol != UDP {
        return None;
    }
    let (client, vip) = (end::<A>(flow.request.source)?, end(flow.request.destination)?);
    let (endpoint, answered) = (end::<A>(flow.reply.source)?, end(flow.reply.destination)?);
    let (frontend, node_port) = frontend(maps, vip)?;
    let (list, in_list) = list_of(maps, frontend, endpoint)?;
    let (key, is_masqueraded) = (FlowKey::new(client, vip, UDP), flow.is_masqueraded());
    let mut flags = FlowFlags::REQUEST.with(node_port).with(in_list);
    if is_masqueraded {
        flags = flags.with(FlowFlags::MASQUERADED);
    }
    // Masquerading is a binding of its own.
    let port = if is_masqueraded { client.1 } else { answered.1 };
    let to = Flow::new(endpoint, port, flags, now).of(frontend.service(), list);
    let to = seen(to, flow, now);
    let (reply_key, reply) = to.egress_twin(&key);
    let mut others = vec![Entry {
        hook: Hook::Egress,
        key: reply_key,
        flow: reply,
    }];
    if is_masqueraded {
        others.extend(source_binding(&key.with_destination(&to), &to, answered));
    }
    Some(Moved {
        from: flow,
        request: Entry {
            hook: Hook::Ingress,
            key,
            flow: to,
        },
        others,
    })
}

/// Both entries of what puts `node` at the source of packets of `key`, which is as egress sees it.
fn source_binding<A: Address>(key: &FlowKey<A>, to: &Flow<A>, node: (A, Port)) -> [Entry<A>; 2] {
    let binding = Flow::new(node, key.destination().1, FlowFlags::REQUEST, to.last_seen());
    let mut binding = binding.of(to.service(), to.list());
    binding.note(to.state(), to.last_seen());
    let (reply_key, reply) = binding.ingress_twin(key);
    [
        Entry {
            hook: Hook::Ingress,
            key: reply_key,
            flow: reply,
        },
        Entry {
            hook: Hook::Egress,
            key: *key,
            flow: binding,
        },
    ]
}

fn frontend<A: Address>(maps: &FamilyMaps<A>, (address, port): (A, Port)) -> Option<(&Frontend, FlowFlags)> {
    let frontends = maps.frontends.known();
    if let Some(frontend) = frontends.get(&FrontendKey::new(address, port, UDP)) {
        return Some((frontend, FlowFlags::REPLY));
    }
    let serves = |bits: &u32| bits & NODE_PORTS != 0;
    maps.node_addresses
        .known()
        .get(&address)
        .filter(|bits| serves(bits))?;
    Some((
        frontends.get(&FrontendKey::node_port(port, UDP))?,
        FlowFlags::NODE_PORT,
    ))
}

/// The list that has the endpoint, that of clients from outside first.
fn list_of<A: Address>(
    maps: &FamilyMaps<A>,
    frontend: &Frontend,
    endpoint: (A, Port),
) -> Option<(u32, FlowFlags)> {
    let first = frontend.list_for(false);
    let lists = [first, frontend.list(!first.is_local)];
    let has = |id| {
        maps.members
            .known()
            .contains_key(&MemberKey::new(id, endpoint.0, endpoint.1))
    };
    let list = lists.into_iter().find(|list| has(list.id))?;
    let flags = if list.is_local {
        FlowFlags::LOCAL_LIST
    } else {
        FlowFlags::REPLY
    };
    Some((list.id, flags))
}

fn end<A: Address>(end: std::net::SocketAddr) -> Option<(A, Port)> {
    Some((A::from_ip(end.ip())?, Port::new(end.port())))
}

/// With what conntrack has seen of the flow.
fn seen<A: Address>(mut entry: Flow<A>, flow: &conntrack::Flow, now: u32) -> Flow<A> {
    if flow.has_answer() {
        entry.note(State::NEW.after(TcpFlags(0), Direction::Reply), now);
    }
    entry
}

#[cfg(test)]
mod tests;
