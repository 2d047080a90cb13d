//! The way to the API server around its own Service.
//!
//! A pod is told the Service's address. Who serves that Service cannot rely on it: before the first pass nobody does, and from the
//! node's own network namespace perhaps nobody ever. So connections go to the Service's endpoints, as last known.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

use crate::model::{ClusterEvent, EndpointSlice, Object};

/// Where the API server is, best first. Its clones are the same list.
#[derive(Clone, Debug)]
pub(super) struct Servers(Arc<Mutex<Vec<SocketAddr>>>);

impl Servers {
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        Self(Arc::new(Mutex::new(servers)))
    }

    /// Follows the slices of `default/kubernetes`. What no address is left in changes nothing.
    pub(super) fn note(&self, event: &ClusterEvent) {
        let objects = match event {
            ClusterEvent::Apply(object) => std::slice::from_ref(object),
            ClusterEvent::Replace(_, objects) => objects,
            ClusterEvent::Delete(_) | ClusterEvent::MeshGroups(_) => return,
        };
        let slices = objects.iter().filter_map(|object| match object {
            Object::EndpointSlice(slice) if slice.is_api_server() => Some(slice),
            _ => None,
        });
        let servers: Vec<SocketAddr> = slices.flat_map(addresses).collect();
        if !servers.is_empty() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = servers;
        }
    }

    fn list(&self) -> Vec<SocketAddr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn addresses(slice: &EndpointSlice) -> impl Iterator<Item = SocketAddr> {
    let usable = slice.endpoints.iter().filter(|endpoint| endpoint.ready);
    usable.flat_map(|endpoint| {
        let ports = slice.ports.iter();
        ports.map(|port| SocketAddr::new(endpoint.address, port.port))
    })
}

/// Whatever the name, it leads to them.
impl Service<Name> for Servers {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(self.list().into_iter()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        ObjectKind,
        samples::{self, slice},
    };

    fn apply(slice: EndpointSlice) -> ClusterEvent {
        ClusterEvent::Apply(Object::EndpointSlice(slice))
    }

    #[test]
    fn the_ready_endpoints_of_the_api_servers_own_service_are_used_and_never_none() {
        let service: SocketAddr = "10.96.0.1:443".parse().unwrap();
        let servers = Servers::new(vec![service]);
        servers.note(&apply(slice("default/web-1", "web", &["10.0.0.1"])));
        assert_eq!(servers.list(), [service]);
        let all = slice(
            "default/kubernetes",
            "kubernetes",
            &["192.168.0.1", "192.168.0.2 unready"],
        );
        servers.note(&apply(all.clone()));
        let expected: SocketAddr = "192.168.0.1:8080".parse().unwrap();
        assert_eq!(servers.list(), [expected]);
        servers.note(&apply(slice("default/kubernetes", "kubernetes", &[])));
        assert_eq!(servers.list(), [expected]);
        let list = vec![
            Object::Service(samples::service("default/a", "10.96.0.9")),
            Object::EndpointSlice(slice("default/kubernetes", "kubernetes", &["192.168.0.3"])),
        ];
        servers.note(&ClusterEvent::Replace(ObjectKind::EndpointSlice, list));
        assert_eq!(servers.list()[0].to_string(), "192.168.0.3:8080");
    }
}
