//! Objects of the three kinds on their way from text to the model.

use std::fmt;

use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery, networking::v1 as networking};
use serde::{Deserializer, de::DeserializeSeed};

use super::{ConvertError, endpoint_slice, node, pruned, service, service::check_assigned, service_cidr};
use crate::model::{Object, ObjectKind};

/// An object as the API spells it.
#[derive(Clone, Debug)]
pub(crate) enum ApiObject {
    Service(Box<core::Service>),
    EndpointSlice(Box<discovery::EndpointSlice>),
    Node(Box<core::Node>),
    ServiceCIDR(Box<networking::ServiceCIDR>),
}

impl ApiObject {
    /// The object in the model's types, `None` if it is not ours.
    pub(crate) fn convert(&self) -> Result<Option<Object>, ConvertError> {
        Ok(match self {
            Self::Service(object) => service(object)?.map(Object::Service),
            Self::EndpointSlice(object) => endpoint_slice(object)?.map(Object::EndpointSlice),
            Self::Node(object) => node(object)?.map(Object::Node),
            Self::ServiceCIDR(object) => service_cidr(object)?.map(Object::ServiceCIDR),
        })
    }

    /// The same for an object that no API server has completed.
    ///
    /// # Errors
    /// Also if it lacks what an API server would have assigned.
    pub(crate) fn convert_incomplete(&self) -> Result<Option<Object>, ConvertError> {
        if let Self::Service(object) = self {
            check_assigned(object)?;
        }
        self.convert()
    }
}

/// Deserializes an object of a kind that is known beforehand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ApiKind(pub(crate) ObjectKind);

impl<'de> DeserializeSeed<'de> for ApiKind {
    type Value = ApiObject;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ApiObject, D::Error> {
        Ok(match self.0 {
            ObjectKind::Service => ApiObject::Service(Box::new(pruned::service(deserializer)?)),
            ObjectKind::EndpointSlice => {
                ApiObject::EndpointSlice(Box::new(pruned::endpoint_slice(deserializer)?))
            }
            ObjectKind::Node => ApiObject::Node(Box::new(pruned::node(deserializer)?)),
            ObjectKind::ServiceCIDR => ApiObject::ServiceCIDR(Box::new(pruned::service_cidr(deserializer)?)),
        })
    }
}

/// What is wrong, and in which field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FieldError {
    /// Path of the field; empty for the whole object.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) reason: String,
}

impl FieldError {
    /// `.` is how `serde_path_to_error` spells the whole object.
    pub(crate) fn new(path: &serde_path_to_error::Path, reason: impl fmt::Display) -> Self {
        let field = path.to_string();
        let field = if field == "." { String::new() } else { field };
        Self {
            field,
            reason: reason.to_string(),
        }
    }
}

impl From<ConvertError> for FieldError {
    fn from(error: ConvertError) -> Self {
        let ConvertError {
            field, value, remedy, ..
        } = error;
        Self {
            field,
            reason: format!("is {value:?}: {remedy}"),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)
    }
}

/// Deserializes what `seed` says and, on failure, tells where.
pub(crate) fn deserialize_with_path<'de, S, D>(
    seed: S,
    deserializer: D,
) -> Result<S::Value, (serde_path_to_error::Path, D::Error)>
where
    S: DeserializeSeed<'de>,
    D: Deserializer<'de>,
{
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(deserializer, &mut track);
    seed.deserialize(deserializer)
        .map_err(|error| (track.path(), error))
}
