//! Ending UDP sockets that are connected to an endpoint which is gone: their process is told by an error and connects again. What is sent
//! by an unconnected socket finds another endpoint by itself, and TCP connections are never ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use anyhow::{Context as _, Result};
use aya::{Ebpf, Pod, maps::HashMap};
use proxy_common::{Addr4, Addr6, Address, Cookie, Socket};

use crate::{
    dataplane::{bpf::flows::socket, udp::Wanted},
    model::{Desired, Family, FrontendKey, Protocol},
    node::sock_diag,
};

/// Frontends whose sockets are to be looked at.
#[derive(Debug, Default)]
pub(in crate::dataplane::bpf) struct Misled {
    /// A socket may have been connected by what the maps said a moment before.
    once_more: BTreeSet<FrontendKey>,
}

impl Misled {
    /// Ends those of UDP frontends that are connected to none of their endpoints; those of `changed` and of the time before.
    pub(in crate::dataplane::bpf) fn end(
        &mut self,
        object: &Ebpf,
        desired: &Desired,
        changed: impl Iterator<Item = FrontendKey>,
    ) -> Result<()> {
        let changed: BTreeSet<_> = changed.filter(|key| key.protocol == Protocol::Udp).collect();
        let before = std::mem::replace(&mut self.once_more, changed);
        let keys: BTreeSet<_> = self.once_more.union(&before).cloned().collect();
        end::<Addr4>(
            object,
            "UDP_SOCKETS4",
            &Wanted::of_those(desired, Family::V4, &keys),
        )?;
        end::<Addr6>(
            object,
            "UDP_SOCKETS6",
            &Wanted::of_those(desired, Family::V6, &keys),
        )
    }
}

fn end<A: Address>(object: &Ebpf, map: &str, wanted: &Wanted) -> Result<()>
where
    Socket<A>: Pod,
{
    if wanted.is_empty() {
        return Ok(());
    }
    let map = object
        .map(map)
        .with_context(|| format!("the BPF object lacks map {map}"))?;
    let sockets: HashMap<_, Cookie, Socket<A>> = HashMap::try_from(map)?;
    let misled = sockets.iter().flatten().filter(|(_, known)| {
        let [asked, endpoint]: [SocketAddr; 2] = [socket(known.asked()), socket(known.endpoint())];
        wanted.is_misled(asked, endpoint)
    });
    let misled: BTreeMap<u64, SocketAddr> = misled
        .map(|(cookie, known)| (cookie.get(), socket(known.endpoint())))
        .collect();
    let ended = sock_diag::end_udp(&misled.keys().copied().collect())
        .context("UDP sockets that are connected to endpoints which are gone cannot be ended; their processes have to notice by themselves")?;
    if ended > 0 {
        let endpoints: BTreeSet<_> = misled.values().collect();
        tracing::info!(
            ended,
            ?endpoints,
            "ended UDP sockets that were connected to endpoints which are gone"
        );
    }
    Ok(())
}
