//! `sendmsg` of UDP sockets that are not connected: each keeps its endpoint of a frontend until that endpoint goes.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    programs::SockAddrContext,
};
use proxy_common::{Asked, Cookie, Counter, Frontend, List, Peer, PeerKey, Port, UDP};

use super::{
    Ruling,
    ask::{Asker, Reply},
    place::Place,
    socket,
};
use crate::{Family, count, lookup};

type End<P> = (<<P as Place>::Family as Family>::Address, Port);

/// A datagram is to be sent.
#[inline(always)]
pub(crate) fn send<P: Place>(ctx: &SockAddrContext) -> Ruling {
    let Some(asker) = Asker::of(ctx, UDP) else {
        return Ruling::Allow;
    };
    let (socket, asked) = (socket(ctx), P::peer(ctx));
    let Some(found) = asker.frontend::<P::Family>(asked, UDP) else {
        // It may be an endpoint that has answered for a frontend: from now on it answers for itself.
        let back = PeerKey::endpoint(socket, asked);
        // SAFETY: only tested for presence.
        if unsafe { P::Family::datagrams().get(back) }.is_some() {
            let _ = P::Family::datagrams().remove(back);
        }
        return Ruling::Allow;
    };
    let list = found.frontend.list_for(asker.is_internal::<P::Family>());
    if let Some(endpoint) = known::<P::Family>(socket, &asked, found.frontend, &list) {
        P::put(ctx, endpoint);
        return Ruling::Allow;
    }
    match asker.reply::<P>(ctx, &found, asked) {
        Reply::Endpoint(endpoint, list, service) => {
            remember::<P>(socket, &asked, &Peer::new(endpoint, service, list.id));
            P::put(ctx, endpoint);
            Ruling::Allow
        }
        Reply::Refused => {
            count::add(Counter::SocketsRefused);
            Ruling::Refuse
        }
        Reply::Pass => Ruling::Allow,
    }
}

/// The endpoint that the socket has for it, if that is still served.
#[inline(never)]
fn known<F: Family>(
    socket: Cookie,
    asked: &(F::Address, Port),
    frontend: &Frontend,
    list: &List,
) -> Option<(F::Address, Port)> {
    let peer = F::datagrams().get_ptr_mut(PeerKey::asked(socket, *asked))?;
    // SAFETY: the element stays allocated while the program runs. Another thread may write it at the same time; each of its
    // endpoints is one that the frontend has or had.
    let peer = unsafe { &mut *peer };
    let endpoint = peer.end();
    let back = PeerKey::endpoint(socket, endpoint);
    if peer.list() != list.id {
        if !lookup::is_member::<F>(list.id, endpoint) {
            count::add(Counter::SocketPeersMoved);
            let _ = F::datagrams().remove(back);
            return None;
        }
        peer.note_list(list.id);
    }
    // SAFETY: as above. Another of the socket's Services may have the same endpoint: who was asked last is answered.
    if unsafe { F::datagrams().get(back) }.is_none_or(|known| known.end() != *asked) {
        answers::<F>(&back, asked, frontend.service());
    }
    Some(endpoint)
}

#[inline(never)]
fn remember<P: Place>(socket: Cookie, asked: &End<P>, peer: &Peer<<P::Family as Family>::Address>) {
    count::add(Counter::SocketPeers);
    answers::<P::Family>(&PeerKey::endpoint(socket, peer.end()), asked, peer.service());
    let key = PeerKey::asked(socket, *asked);
    if P::Family::datagrams().insert(key, peer, BPF_ANY.into()).is_err() {
        count::add(Counter::SocketTableFull);
    }
    is_to_be_forgotten::<P::Family>(socket, asked);
}

/// What comes from the endpoint is from whom the socket has asked for.
#[inline(always)]
fn answers<F: Family>(endpoint: &PeerKey<F::Address>, asked: &(F::Address, Port), service: u32) {
    let back = Peer::new(*asked, service, 0);
    if F::datagrams().insert(endpoint, back, BPF_ANY.into()).is_err() {
        count::add(Counter::SocketTableFull);
    }
}

#[inline(never)]
fn is_to_be_forgotten<F: Family>(socket: Cookie, asked: &(F::Address, Port)) {
    if let Some(all) = F::unconnected().get_ptr_mut(socket) {
        // SAFETY: as in `known`; one that two threads overwrite is forgotten when the table needs the room.
        unsafe { (*all).add(*asked) };
    } else {
        let _ = F::unconnected().insert(socket, Asked::one(*asked), BPF_NOEXIST.into());
    }
}
