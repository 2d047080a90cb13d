//! Which part of the project may use what: a pure function over the files' text.

mod paths;

use paths::Path;

/// A file with its path from the workspace's folder.
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Files in these folders, apart from the exceptions, must not name these paths.
struct Rule {
    within: &'static str,
    except: &'static [&'static str],
    forbidden: &'static [&'static str],
    why: &'static str,
}

const RULES: [Rule; 8] = [
    Rule {
        within: "proxy-agent/",
        except: &["proxy-agent/src/dataplane/bpf"],
        forbidden: &["aya", "aya_obj"],
        why: "only dataplane::bpf talks to the kernel's BPF",
    },
    Rule {
        within: "",
        except: &[
            "proxy-agent/src/source/kubernetes",
            "tests/src/apiserver",
            "tests/src/bin/bench",
        ],
        forbidden: &["kube"],
        why: "only source::kubernetes, and the harness that plays the cluster's users, talk to the API server",
    },
    Rule {
        within: "",
        except: &["proxy-agent/src/source"],
        forbidden: &["k8s_openapi"],
        why: "Kubernetes types end where sources convert them",
    },
    Rule {
        within: "proxy-agent/src/model",
        except: &[],
        forbidden: &[
            "tokio",
            "kube",
            "k8s_openapi",
            "aya",
            "std::fs",
            "std::time::Instant",
            "std::time::SystemTime",
        ],
        why: "the model is pure",
    },
    Rule {
        within: "proxy-agent/src/source",
        except: &[],
        forbidden: &["crate::dataplane"],
        why: "a source never sees a dataplane",
    },
    Rule {
        within: "proxy-agent/src/dataplane",
        except: &[],
        forbidden: &["crate::source"],
        why: "a dataplane never sees a source",
    },
    Rule {
        within: "proxy-agent/src/metrics",
        except: &[],
        forbidden: &["crate::dataplane", "crate::source", "crate::sync"],
        why: "whoever knows a number tells the metrics, which ask nobody",
    },
    Rule {
        within: "xtask/",
        except: &[],
        forbidden: &["proxy_common", "proxy_ebpf", "proxy_agent", "harness"],
        why: "xtask must work when the project does not build",
    },
];

/// What breaks a rule, each with its place.
pub(crate) fn violations(files: &[SourceFile]) -> Vec<String> {
    files
        .iter()
        .flat_map(|file| {
            if is_manifest(file) {
                manifest(file)
            } else {
                source(file)
            }
        })
        .collect()
}

fn is_manifest(file: &SourceFile) -> bool {
    file.path.ends_with("Cargo.toml")
}

fn source(file: &SourceFile) -> Vec<String> {
    let rules: Vec<_> = RULES.iter().filter(|rule| rule.covers(&file.path)).collect();
    let mut found = no_std(file);
    for path in paths::in_source(&file.text) {
        let path = path.relative_to_crate();
        let broken = rules
            .iter()
            .filter(|rule| rule.forbidden.iter().any(|name| path.reaches(name)));
        found.extend(
            broken.map(|rule| format!("{}:{}: uses {}: {}", file.path, path.line, path.text, rule.why)),
        );
    }
    found
}

impl Rule {
    fn covers(&self, path: &str) -> bool {
        is_in(path, self.within) && !self.except.iter().any(|room| is_in(path, room))
    }
}

/// Whether a file is a module, `room.rs`, or in its folder, `room/…`.
fn is_in(path: &str, room: &str) -> bool {
    let rest = path.strip_prefix(room);
    rest.is_some_and(|rest| room.is_empty() || room.ends_with('/') || rest.starts_with('/') || rest == ".rs")
}

fn no_std(file: &SourceFile) -> Vec<String> {
    if file.path != "proxy-common/src/lib.rs" || file.text.contains("no_std") {
        return Vec::new();
    }
    vec![format!("{}:1: is not no_std: BPF programs use it", file.path)]
}

/// Dependencies that the workspace's manifests must not declare.
fn manifest(file: &SourceFile) -> Vec<String> {
    let forbidden: &[&str] = match file.path.as_str() {
        "xtask/Cargo.toml" => &["proxy-common", "proxy-ebpf", "proxy-agent", "kube-portal-tests"],
        "proxy-common/Cargo.toml" => &["proxy-ebpf", "proxy-agent"],
        "proxy-ebpf/Cargo.toml" => &["proxy-agent"],
        "proxy-agent/Cargo.toml" => &["proxy-ebpf"],
        _ => &[],
    };
    let name = |line: &'_ str| line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned();
    let lines = file
        .text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, name(line)));
    let broken = lines.filter(|(_, name)| forbidden.contains(&name.as_str()));
    broken
        .map(|(line, name)| format!("{}:{line}: depends on {name}: wrong direction", file.path))
        .collect()
}

impl Path {
    /// `super::…` as if it began at the crate's root: near enough to tell one room from another.
    fn relative_to_crate(mut self) -> Self {
        let rest = self.text.trim_start_matches("super::").to_owned();
        if rest.len() < self.text.len() {
            self.text = format!("crate::{rest}");
        }
        self
    }

    /// Whether the path is `name`, something in it, or an import of a module that `name` is in.
    fn reaches(&self, name: &str) -> bool {
        let is_below =
            |path: &str, of: &str| path.strip_prefix(of).is_some_and(|rest| rest.starts_with("::"));
        let module = self.text.trim_end_matches("::*").trim_end_matches("::self");
        let imports_parent = self.is_import && module.contains("::") && is_below(name, module);
        self.text == name || is_below(&self.text, name) || imports_parent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str) -> Vec<String> {
        violations(&[SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }])
    }

    #[test]
    fn each_rule_catches_what_breaks_it() {
        let cases = [
            ("proxy-agent/src/sync/mod.rs", "use aya::Ebpf;"),
            (
                "proxy-agent/src/dataplane/mod.rs",
                "fn f() { aya::maps::loaded() }",
            ),
            ("proxy-agent/src/dataplane/bpfish.rs", "use aya::Ebpf;"),
            ("proxy-agent/src/source/manifests.rs", "use kube::Client;"),
            (
                "proxy-agent/src/sync/mod.rs",
                "use k8s_openapi::api::core::v1::Service;",
            ),
            ("proxy-agent/src/model/compute.rs", "use tokio::sync::watch;"),
            (
                "proxy-agent/src/model/compute.rs",
                "use std::{collections::BTreeMap, fs};",
            ),
            (
                "proxy-agent/src/model/compute.rs",
                "use std::time::{Duration, Instant};",
            ),
            ("proxy-agent/src/model/compute.rs", "use std::time;"),
            ("proxy-agent/src/model/compute.rs", "use std::time::*;"),
            (
                "proxy-agent/src/model/compute.rs",
                "let now = std::time::SystemTime::now();",
            ),
            (
                "proxy-agent/src/source/convert.rs",
                "use crate::{dataplane::Dataplane, model};",
            ),
            ("proxy-agent/src/source/mod.rs", "use super::dataplane;"),
            ("proxy-agent/src/dataplane/fake.rs", "use crate::source::Source;"),
            ("proxy-agent/src/metrics/mod.rs", "use crate::sync::Pass;"),
            ("xtask/src/main.rs", "use proxy_common::wire;"),
            ("proxy-common/src/lib.rs", "pub mod wire;"),
            (
                "xtask/Cargo.toml",
                "[dependencies]\nproxy-common.workspace = true",
            ),
            (
                "proxy-agent/Cargo.toml",
                "proxy-ebpf = { path = \"../proxy-ebpf\" }",
            ),
        ];
        for (path, text) in cases {
            assert_eq!(check(path, text).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn what_keeps_the_rules_is_left_alone() {
        let cases = [
            ("proxy-agent/src/dataplane/bpf/maps.rs", "use aya::maps::HashMap;"),
            ("proxy-agent/src/dataplane/bpf.rs", "use aya::maps::HashMap;"),
            ("proxy-common/src/wire.rs", "unsafe impl aya::Pod for X {}"),
            ("tests/src/bpf.rs", "use aya::Ebpf;"),
            (
                "proxy-agent/src/source/kubernetes/watch.rs",
                "use kube::Client; use k8s_openapi::api;",
            ),
            ("proxy-agent/src/source/manifests.rs", "use k8s_openapi::api;"),
            (
                "proxy-agent/src/model/compute.rs",
                "use std::{time::Duration, collections::BTreeMap};",
            ),
            (
                "proxy-agent/src/model/compute.rs",
                "// see kube::Client\n/// [tokio::spawn]\nlet x = \"aya::x\";",
            ),
            (
                "proxy-agent/src/model/compute.rs",
                "use my_aya::x; use super::kube_like::y; let kube = 1;",
            ),
            (
                "proxy-agent/src/source/convert.rs",
                "use crate::model; use super::kubernetes;",
            ),
            ("proxy-common/src/lib.rs", "#![no_std]"),
            ("xtask/src/rules.rs", "const X: &str = \"proxy_common\";"),
            (
                "xtask/Cargo.toml",
                "# proxy-common is not for us\nobject.workspace = true",
            ),
        ];
        for (path, text) in cases {
            assert_eq!(check(path, text), Vec::<String>::new(), "{path}: {text}");
        }
    }

    #[test]
    fn a_violation_names_file_line_and_reason() {
        let found = check(
            "proxy-agent/src/model/types.rs",
            "//! Types.\n\nuse tokio::time;\n",
        );
        assert_eq!(
            found,
            ["proxy-agent/src/model/types.rs:3: uses tokio::time: the model is pure"]
        );
    }
}
