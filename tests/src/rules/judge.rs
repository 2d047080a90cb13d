//! Whether a packet is what a rule asks for.

use super::{
    Match, Node, Rule, Side, State, Test,
    walk::{Place, Traveller},
};

/// The traveller that the rule takes, and those that it lets go on: chance may split one in two.
pub(super) fn split(
    rule: &Rule,
    traveller: Traveller,
    place: Place<'_>,
) -> (Option<Traveller>, Vec<Traveller>) {
    let mut taken = traveller;
    let mut missed = Vec::new();
    for Match { negated, test } in &rule.matches {
        let holds = chance(test, &mut taken, place);
        let holds = if *negated { 1.0 - holds } else { holds };
        if holds < 1.0 {
            missed.push(taken.with_chance(1.0 - holds));
        }
        if holds <= 0.0 {
            return (None, missed);
        }
        taken = taken.with_chance(holds);
    }
    (Some(taken), missed)
}

/// How probable it is that the test holds: 0 or 1 for all but chance.
fn chance(test: &Test, traveller: &mut Traveller, place: Place<'_>) -> f64 {
    if let Test::Random(probability) = test {
        return *probability;
    }
    if let Test::Remember(list) = test {
        traveller.remembered_in.insert(list.clone());
        return 1.0;
    }
    f64::from(u8::from(holds(test, traveller, place)))
}

fn holds(test: &Test, traveller: &Traveller, place: Place<'_>) -> bool {
    let packet = &traveller.packet;
    let end = |side| match side {
        Side::Source => packet.source,
        Side::Destination => packet.destination,
    };
    match test {
        Test::Address(side, net) => net.contains(&end(*side).ip()),
        Test::Protocol(protocol) => packet.protocol == *protocol,
        Test::Interface(side, name) => is_interface(name, place.interface(*side, packet)),
        Test::Ports(side, ports) => ports.contains(&end(*side).port()),
        Test::Mark { value, mask } => traveller.mark & mask == *value,
        Test::Local(side) => place.node.is_local(end(*side).ip()),
        Test::States(states) => states.iter().any(|state| is_state(*state, traveller)),
        Test::RecentlySeen { list, seconds } => is_recent(list, *seconds, traveller, place.node),
        Test::FromBridgePort => packet.from_bridge_port,
        Test::FirstDirection | Test::Random(_) | Test::Remember(_) => true,
    }
}

fn is_interface(pattern: &str, name: Option<&str>) -> bool {
    match (pattern.strip_suffix('+'), name) {
        (_, None) => false,
        (Some(prefix), Some(name)) => name.starts_with(prefix),
        (None, Some(name)) => name == pattern,
    }
}

fn is_state(state: State, traveller: &Traveller) -> bool {
    match state {
        State::New => true,
        State::Dnat => traveller.endpoint.is_some(),
        State::Snat => traveller.masqueraded_by.is_some(),
        State::Established | State::Related | State::Invalid | State::Untracked => false,
    }
}

fn is_recent(list: &str, seconds: Option<u32>, traveller: &Traveller, node: &Node) -> bool {
    let seen = node.recent.get(list);
    let age = seen.and_then(|seen| seen.get(&traveller.packet.source.ip()));
    traveller.remembered_in.contains(list)
        || age.is_some_and(|age| seconds.is_none_or(|seconds| *age <= seconds))
}
