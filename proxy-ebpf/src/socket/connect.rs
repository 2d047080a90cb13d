//! `connect`: the socket gets the endpoint for its peer, and keeps it.

use aya_ebpf::{bindings::BPF_ANY, programs::SockAddrContext};
use proxy_common::{Address as _, Cookie, Counter, Port, Socket, TCP};

use super::{
    Ruling,
    ask::{Asker, Reply},
    canary, connected,
    place::Place,
    protocol,
    release::forget,
    socket,
};
use crate::{Family, count, hints::note_led};

/// A socket is to be connected.
#[inline(always)]
pub(crate) fn connect<P: Place>(ctx: &SockAddrContext) -> Ruling {
    let Some(protocol) = protocol(ctx) else {
        return Ruling::Allow;
    };
    let asked = P::peer(ctx);
    if canary::is_one::<P::Family>(ctx, asked.0) {
        return Ruling::Refuse;
    }
    match reply::<P>(ctx, asked, protocol) {
        Reply::Endpoint(endpoint, _, service) => {
            note::<P::Family>(protocol, socket(ctx), &Socket::new(asked, endpoint, service));
            P::put(ctx, endpoint);
            Ruling::Allow
        }
        Reply::Refused => {
            count::add(Counter::SocketsRefused);
            Ruling::Refuse
        }
        Reply::Pass => {
            // It may have been connected before, and have failed without a trace: the kernel asks for the way first.
            forget(protocol, socket(ctx));
            Ruling::Allow
        }
    }
}

#[inline(always)]
fn reply<P: Place>(
    ctx: &SockAddrContext,
    asked: (<P::Family as Family>::Address, Port),
    protocol: u8,
) -> Reply<<P::Family as Family>::Address> {
    let Some(asker) = Asker::of(ctx, protocol) else {
        return Reply::Pass;
    };
    match asker.frontend::<P::Family>(asked, protocol) {
        Some(found) => asker.reply::<P>(ctx, &found, asked),
        None => Reply::Pass,
    }
}

/// Not inlined: with a stack frame of its own it fits beside the hook's.
#[inline(never)]
fn note<F: Family>(protocol: u8, cookie: Cookie, socket: &Socket) {
    count::add(Counter::SocketsConnected);
    if protocol == TCP {
        let (address, port) = socket.endpoint();
        note_led::<F>((F::Address::of_v6(address), port));
    }
    if connected(protocol)
        .insert(cookie, socket, BPF_ANY.into())
        .is_err()
    {
        count::add(Counter::SocketTableFull);
    }
}
