//! What the files said last: merges documents, keeps last good versions, and tells differences. No files, no clock.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    DocumentError,
    document::{self, Entry},
    text,
};
use crate::model::{ClusterEvent, Object, ObjectKind, ObjectRef};

/// A file as it was read.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Its name, with its directory as the flag names it.
    pub(super) name: String,
    /// Its text, or why there is none.
    pub(super) content: Result<String, String>,
}

/// What one look at all files brought.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// What to tell the model.
    pub(super) events: Vec<ClusterEvent>,
    /// Every document that cannot be used.
    pub(super) errors: Vec<DocumentError>,
    /// Objects that two documents define.
    pub(super) duplicates: Vec<String>,
    /// Kinds that are someone else's.
    pub(super) other_kinds: BTreeSet<String>,
}

/// Where an object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    file: String,
    document: usize,
}

#[derive(Clone, Debug)]
struct Held {
    object: Object,
    place: Place,
    /// The text is broken now: this is what it said before.
    is_last_good: bool,
}

/// The objects of all files.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    held: BTreeMap<ObjectRef, Held>,
    has_listed: bool,
}

impl Shelf {
    /// Takes all files anew, in their order. Of two documents with one object the last one counts.
    pub(super) fn read(&mut self, files: &[File]) -> Reading {
        let mut reading = Reading::default();
        let mut next = Next {
            before: &self.held,
            held: BTreeMap::new(),
        };
        for file in files {
            match &file.content {
                Ok(content) => next.file(&file.name, content, &mut reading),
                Err(reason) => next.unreadable(&file.name, reason, &mut reading),
            }
        }
        let held = next.held;
        reading.events = if self.has_listed {
            differences(&self.held, &held)
        } else {
            lists(&held)
        };
        self.held = held;
        self.has_listed = true;
        reading
    }
}

fn lists(held: &BTreeMap<ObjectRef, Held>) -> Vec<ClusterEvent> {
    let of_kind = |kind| {
        let objects = held.iter().filter(move |(reference, _)| reference.kind == kind);
        ClusterEvent::Replace(kind, objects.map(|(_, held)| held.object.clone()).collect())
    };
    ObjectKind::ALL.into_iter().map(of_kind).collect()
}

fn differences(before: &BTreeMap<ObjectRef, Held>, after: &BTreeMap<ObjectRef, Held>) -> Vec<ClusterEvent> {
    let gone = before.keys().filter(|reference| !after.contains_key(reference));
    let changed = after
        .iter()
        .filter(|(reference, held)| before.get(reference).is_none_or(|old| old.object != held.object));
    let applied = changed.map(|(_, held)| ClusterEvent::Apply(held.object.clone()));
    gone.cloned().map(ClusterEvent::Delete).chain(applied).collect()
}

struct Next<'a> {
    before: &'a BTreeMap<ObjectRef, Held>,
    held: BTreeMap<ObjectRef, Held>,
}

impl Next<'_> {
    fn file(&mut self, name: &str, content: &str, reading: &mut Reading) {
        for text in text::split(name, content) {
            let place = Place {
                file: name.to_owned(),
                document: text.number,
            };
            for entry in document::read(name, text) {
                self.entry(&place, entry, reading);
            }
        }
    }

    fn entry(&mut self, place: &Place, entry: Entry, reading: &mut Reading) {
        match entry {
            Entry::Object(object) => self.put(place, object, reading),
            Entry::NotOurs => {}
            Entry::OtherKind(kind) => {
                reading.other_kinds.insert(kind);
            }
            Entry::Bad(error) => {
                match &error.object {
                    Some(object) => self.keep_object(place, object),
                    None => self.keep_all(|held| held.place == *place),
                }
                reading.errors.push(error);
            }
        }
    }

    fn put(&mut self, place: &Place, object: Object, reading: &mut Reading) {
        let reference = object.reference();
        let held = Held {
            object,
            place: place.clone(),
            is_last_good: false,
        };
        let earlier = self.held.insert(reference.clone(), held);
        if let Some(earlier) = earlier.filter(|earlier| !earlier.is_last_good) {
            let Place { file, document } = &earlier.place;
            reading.duplicates.push(format!(
                "{reference} is in {file}, document {document}, and in {}, document {}: the latter is used",
                place.file, place.document
            ));
        }
    }

    /// The document names its object: what that said last stays, wherever it stood.
    fn keep_object(&mut self, place: &Place, reference: &ObjectRef) {
        if let Some(held) = self.before.get(reference) {
            let kept = Held {
                place: place.clone(),
                is_last_good: true,
                ..held.clone()
            };
            self.held.insert(reference.clone(), kept);
        }
    }

    /// The document does not even tell its object's name: what stood there stays, unless it stands elsewhere now.
    fn keep_all(&mut self, stood_there: impl Fn(&Held) -> bool) {
        for (reference, held) in self.before.iter().filter(|(_, held)| stood_there(held)) {
            let kept = Held {
                is_last_good: true,
                ..held.clone()
            };
            self.held.entry(reference.clone()).or_insert(kept);
        }
    }

    fn unreadable(&mut self, file: &str, reason: &str, reading: &mut Reading) {
        self.keep_all(|held| held.place.file == file);
        reading.errors.push(DocumentError {
            file: file.to_owned(),
            document: None,
            object: None,
            line: None,
            field: String::new(),
            reason: reason.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests;
