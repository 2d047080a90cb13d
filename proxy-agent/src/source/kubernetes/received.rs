//! An object as it comes from the API server: taken apart at once, and malformed alone.
//!
//! Its text is kept apart from its neighbours' first, so that what is wrong in it stays in it.

use std::{borrow::Cow, fmt, marker::PhantomData};

use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
    networking::v1::ServiceCIDR,
};
use kube::{Resource, core::ObjectMeta};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::super::convert::{ApiKind, FieldError, deserialize_with_path};
use crate::model::{Object, ObjectKind, ObjectName};

/// A kind of objects that is watched.
pub(super) trait Watched: Resource<DynamicType = ()> {
    const KIND: ObjectKind;
}

impl Watched for Service {
    const KIND: ObjectKind = ObjectKind::Service;
}

impl Watched for EndpointSlice {
    const KIND: ObjectKind = ObjectKind::EndpointSlice;
}

impl Watched for Node {
    const KIND: ObjectKind = ObjectKind::Node;
}

impl Watched for ServiceCIDR {
    const KIND: ObjectKind = ObjectKind::ServiceCIDR;
}

/// An object of a kind, in the model's types; `None` if it is not ours, an error if it is malformed.
pub(super) struct Received<K> {
    metadata: ObjectMeta,
    object: Result<Option<Object>, FieldError>,
    kind: PhantomData<fn() -> K>,
}

#[derive(Default, Deserialize)]
struct Head {
    metadata: Option<HeadMetadata>,
}

/// Enough to follow a watch by.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadMetadata {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
}

impl<K> Received<K> {
    pub(super) fn name(&self) -> ObjectName {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        ObjectName {
            namespace: text(&self.metadata.namespace),
            name: text(&self.metadata.name),
        }
    }

    pub(super) fn into_object(self) -> Result<Option<Object>, FieldError> {
        self.object
    }
}

/// From JSON text only. Events of a watch begin with their type, as all API servers write them: else the object would be buffered
/// in another form before its turn.
impl<'de, K: Watched> Deserialize<'de> for Received<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        // Without a name and a version it could not be followed, so the API server never sends that.
        let head: Head = serde_json::from_str(text.get()).unwrap_or_default();
        let head = head.metadata.unwrap_or_default();
        Ok(Self {
            metadata: ObjectMeta {
                name: head.name,
                namespace: head.namespace,
                resource_version: head.resource_version,
                ..ObjectMeta::default()
            },
            object: read(K::KIND, text.get()),
            kind: PhantomData,
        })
    }
}

fn read(kind: ObjectKind, text: &str) -> Result<Option<Object>, FieldError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let object = deserialize_with_path(ApiKind(kind), &mut deserializer)
        .map_err(|(path, error)| FieldError::new(&path, without_place(&error.to_string())))?;
    Ok(object.convert()?)
}

/// The column in a line that nobody sees helps nobody.
fn without_place(error: &str) -> &str {
    error.split(" at line ").next().unwrap_or(error)
}

impl<K> Clone for Received<K> {
    fn clone(&self) -> Self {
        Self {
            metadata: self.metadata.clone(),
            object: self.object.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for Received<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name(), self.object)
    }
}

impl<K: Watched> Resource for Received<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind(_: &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
