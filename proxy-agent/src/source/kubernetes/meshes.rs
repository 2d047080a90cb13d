//! Which service meshes are installed, by the API groups that are served.
//!
//! Every user may read the groups, but nobody can watch them. The objects that define a mesh's resources could be watched, with a right
//! that a Service proxy does not have.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIGroupList;
use kube::runtime::{utils::Backoff, watcher::DefaultBackoff};
use tokio::time::sleep;

use super::{Client, Outage};
use crate::{
    model::{ClusterEvent, Mesh},
    source::EventSender,
};

const PERIOD: Duration = Duration::from_secs(60);

/// Sends which API groups of service meshes are served, as soon as it is known and then when it changes. Ends only when nobody
/// receives any more: what fails is logged and tried again, with growing pauses.
pub async fn follow_meshes(client: Client, events: EventSender) {
    let mut outage = Outage::new("asking which API groups there are".to_owned());
    let mut backoff = DefaultBackoff::default();
    let mut told = None;
    loop {
        let pause = match client.kube.list_api_groups().await {
            Ok(list) => {
                outage.is_over();
                backoff.reset();
                if let Some(event) = news(&mut told, list)
                    && events.send(event).is_err()
                {
                    return;
                }
                PERIOD
            }
            Err(error) => {
                outage.note(&error);
                backoff.next().unwrap_or(PERIOD)
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = events.closed() => return,
        }
    }
}

/// What was not told before.
fn news(told: &mut Option<BTreeSet<String>>, list: APIGroupList) -> Option<ClusterEvent> {
    let names = list.groups.into_iter().map(|group| group.name);
    let groups: BTreeSet<String> = names.filter(|name| Mesh::of_group(name).is_some()).collect();
    if told.as_ref() == Some(&groups) {
        return None;
    }
    *told = Some(groups.clone());
    Some(ClusterEvent::MeshGroups(groups))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIGroup;

    use super::*;

    #[test]
    fn the_groups_of_meshes_are_told_when_they_are_others_than_before() {
        let mut told = None;
        for (served, expected) in [
            ("apps", Some("")),
            ("apps batch", None),
            (
                "apps security.istio.io networking.istio.io",
                Some("networking.istio.io security.istio.io"),
            ),
            ("networking.istio.io security.istio.io batch", None),
            ("networking.istio.io", Some("networking.istio.io")),
            ("apps", Some("")),
        ] {
            let group = |name: &str| APIGroup {
                name: name.to_owned(),
                ..APIGroup::default()
            };
            let list = APIGroupList {
                groups: served.split(' ').map(group).collect(),
            };
            let groups = |names: &str| names.split_terminator(' ').map(str::to_owned).collect();
            let expected = expected.map(|names| ClusterEvent::MeshGroups(groups(names)));
            assert_eq!(news(&mut told, list), expected, "{served}");
        }
    }
}
