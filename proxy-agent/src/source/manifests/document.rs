//! What a document holds.

use serde::Deserialize;
use serde_json::Value;

use super::super::convert::ApiKind;
use super::{
    DocumentError,
    text::{Source, Text, TextError},
};
use crate::model::{Object, ObjectKind, ObjectName, ObjectRef};

/// Something that a document holds: one thing, or several if it is a List.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// An object for the model.
    Object(Object),
    /// An object of our kinds that a Service proxy has no use for, such as a headless Service.
    NotOurs,
    /// An object of this kind, which is someone else's.
    OtherKind(String),
    /// An object that cannot be used.
    Bad(DocumentError),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    api_version: String,
    kind: String,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
}

#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Value>,
}

enum Kind {
    Ours(ObjectKind),
    List,
    Other,
}

impl Header {
    /// A Service of `serving.knative.dev` is not a Service.
    fn kind(&self) -> Kind {
        match (self.api_version.as_str(), self.kind.as_str()) {
            ("v1", "Service") => Kind::Ours(ObjectKind::Service),
            ("discovery.k8s.io/v1", "EndpointSlice") => Kind::Ours(ObjectKind::EndpointSlice),
            ("v1", "Node") => Kind::Ours(ObjectKind::Node),
            ("networking.k8s.io/v1", "ServiceCIDR") => Kind::Ours(ObjectKind::ServiceCIDR),
            ("v1", "List" | "ServiceList" | "NodeList") | ("discovery.k8s.io/v1", "EndpointSliceList") => {
                Kind::List
            }
            _ => Kind::Other,
        }
    }

    fn reference(&self, kind: ObjectKind) -> Option<ObjectRef> {
        let name = self.metadata.name.as_deref().filter(|name| !name.is_empty())?;
        let namespace = self
            .metadata
            .namespace
            .as_deref()
            .filter(|namespace| !namespace.is_empty());
        let name = match kind {
            ObjectKind::Node | ObjectKind::ServiceCIDR => ObjectName::cluster_scoped(name),
            _ => ObjectName::new(namespace.unwrap_or("default"), name),
        };
        Some(ObjectRef { kind, name })
    }
}

/// Reads a document.
pub(super) fn read(file: &str, text: Text<'_>) -> Vec<Entry> {
    let place = Place {
        file,
        document: text.number,
    };
    let source = Source::Text(text);
    match source.read::<Header>() {
        Ok(header) if matches!(header.kind(), Kind::List) => list(place, source),
        Ok(header) => vec![object(place, source, &header)],
        Err(error) => vec![place.bad(None, error)],
    }
}

fn list(place: Place<'_>, source: Source<'_>) -> Vec<Entry> {
    let list: List = match source.read() {
        Ok(list) => list,
        Err(error) => return vec![place.bad(None, error)],
    };
    let items = list
        .items
        .iter()
        .enumerate()
        .map(|(index, value)| Source::Item(value, index));
    let read = |item: Source<'_>| match item.read::<Header>() {
        Ok(header) => object(place, item, &header),
        Err(error) => place.bad(None, error),
    };
    items.map(read).collect()
}

fn object(place: Place<'_>, source: Source<'_>, header: &Header) -> Entry {
    let Kind::Ours(kind) = header.kind() else {
        return Entry::OtherKind(format!("{} {}", header.api_version, header.kind));
    };
    let converted = source.read_seed(ApiKind(kind)).and_then(|object| {
        object.convert_incomplete().map_err(|error| TextError {
            line: None,
            what: source.locate(error.into()),
        })
    });
    match converted {
        Ok(Some(object)) => Entry::Object(object),
        Ok(None) => Entry::NotOurs,
        Err(error) => place.bad(header.reference(kind), error),
    }
}

#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a str,
    document: usize,
}

impl Place<'_> {
    fn bad(self, object: Option<ObjectRef>, error: TextError) -> Entry {
        Entry::Bad(DocumentError {
            file: self.file.to_owned(),
            document: Some(self.document),
            object,
            line: error.line,
            field: error.what.field,
            reason: error.what.reason,
        })
    }
}
