//! Where an agent has its objects from.

use std::{ffi::OsStr, path::PathBuf};

/// The source of the objects that an agent serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The YAML files of a directory.
    Manifests(PathBuf),
    /// The API server that a kubeconfig names.
    Kubeconfig(PathBuf),
    /// The API server that kube-proxy's configuration file leads to.
    Config(PathBuf),
}

impl Source {
    /// The flag of `kube-portal run` and its value.
    pub(super) fn flags(&self) -> [&OsStr; 2] {
        match self {
            Self::Manifests(directory) => ["--manifests".as_ref(), directory.as_os_str()],
            Self::Kubeconfig(file) => ["--kubeconfig".as_ref(), file.as_os_str()],
            Self::Config(file) => ["--config".as_ref(), file.as_os_str()],
        }
    }
}
