//! What is wrong with a file, for the person who edits it.

use std::{fmt, io, path::PathBuf};

use thiserror::Error;

use super::super::convert::FieldError;
use crate::model::ObjectRef;

/// Why the manifests cannot be used at all.
#[derive(Debug, Error)]
pub enum ManifestsError {
    /// The directory does not exist or cannot be listed.
    #[error("--manifests {}: {source}; create the directory or correct the flag", dir.display())]
    Directory {
        /// The flag's value.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system refuses to tell of changes.
    #[error(
        "--manifests {}: cannot be watched for changes: {source}; raise fs.inotify.max_user_instances and \
         fs.inotify.max_user_watches",
        dir.display()
    )]
    Watch {
        /// The flag's value.
        dir: PathBuf,
        /// What the system says.
        source: notify::Error,
    },
}

/// A document that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub struct DocumentError {
    /// The file, with its directory as the flag names it.
    pub file: String,
    /// Which of the file's documents, counted from 1 without empty ones; `None` if the file cannot be read.
    pub document: Option<usize>,
    /// The object, if the document can tell.
    pub object: Option<ObjectRef>,
    /// Line in the file, counted from 1, if known.
    pub line: Option<u64>,
    /// Path of the field, such as `spec.ports[0].port`; empty if the fault is in no field.
    pub field: String,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(document) = self.document {
            write!(f, ", document {document}")?;
        }
        if let Some(object) = &self.object {
            write!(f, " ({object})")?;
        }
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        let what = FieldError {
            field: self.field.clone(),
            reason: self.reason.clone(),
        };
        write!(
            f,
            ": {what}; fix it, until then the last good version, if any, stays in use"
        )
    }
}
