//! Every test that this machine can run, one binary after the other, each with a time limit.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::geteuid;
use serde_json::Value;

use crate::{
    apiserver,
    build::{self, Built},
    exec,
    runner::{self, LIMIT},
    setup,
    summary::Summary,
};

/// The package whose tests need root and the BPF object.
pub(crate) const KERNEL_TESTS: &str = "kube-portal-tests";
/// What of it needs neither.
const PURE_TESTS: [&str; 4] = ["--package", KERNEL_TESTS, "--test", "model"];
/// The test binaries that need kube-apiserver and etcd; [`KUBE_PROXY_TESTS`] need kube-proxy too.
const API_SERVER_TESTS: [&str; 3] = ["tests/apiserver", "tests/bench", KUBE_PROXY_TESTS];
const KUBE_PROXY_TESTS: &str = "tests/kube_proxy";

/// Runs the tests whose name contains `filter`, and all tests of the binary of that name, building what they need.
pub(crate) fn run(filter: Option<&str>) -> Result<Summary> {
    if why_no_kernel_tests().is_some() {
        return Ok(all(None, filter));
    }
    setup::packages()?;
    Ok(all(Some(&build::run(true)?), filter))
}

/// Runs them with what was built before.
pub(crate) fn all(built: Option<&Built>, filter: Option<&str>) -> Summary {
    let mut summary = host(built, filter);
    exec::headline("tests that need root and the kernel");
    match why_no_kernel_tests() {
        Some(reason) => {
            summary.merge(binaries(&PURE_TESTS, built, filter));
            summary.skip(format!("all other tests of {KERNEL_TESTS}: {reason}"));
        }
        None => summary.merge(binaries(&["--package", KERNEL_TESTS], built, filter)),
    }
    summary
}

/// Why the tests that need the kernel cannot run, if so.
pub(crate) fn why_no_kernel_tests() -> Option<&'static str> {
    (!geteuid().is_root()).then_some("network namespaces and BPF need root; run `cargo xtask test` as root")
}

/// Unit tests, integration tests and examples in the documentation of all other crates.
fn host(built: Option<&Built>, filter: Option<&str>) -> Summary {
    let packages = ["--workspace", "--exclude", KERNEL_TESTS];
    exec::headline("tests of each crate");
    let mut summary = binaries(&packages, built, filter);
    exec::headline("examples in the documentation");
    let mut cargo = exec::cargo(&["test", "--locked", "--doc", "--no-fail-fast"]);
    prepare(cargo.args(packages), built);
    cargo.arg("--").args(filter);
    count(
        &mut summary,
        "documentation",
        runner::run("documentation", &mut cargo, LIMIT),
    );
    summary
}

fn count(summary: &mut Summary, name: &str, outcome: Result<Summary>) {
    match outcome {
        Ok(counted) => summary.merge(counted),
        Err(error) => summary.add(name, Err(error)),
    }
}

fn binaries(packages: &[&str], built: Option<&Built>, filter: Option<&str>) -> Summary {
    let mut summary = Summary::default();
    match compile(packages, built) {
        Ok(binaries) => {
            for binary in binaries {
                let filter = filter.filter(|filter| !binary.is_called(filter));
                let mut command = binary.command(filter);
                prepare(&mut command, built);
                if API_SERVER_TESTS.contains(&binary.name.as_str()) && binary.has_tests(filter) {
                    add_api_server(&binary, &mut command, &mut summary);
                }
                count(
                    &mut summary,
                    &binary.name,
                    runner::run(&binary.name, &mut command, LIMIT),
                );
            }
        }
        Err(error) => summary.add("building the tests", Err(error)),
    }
    summary
}

/// Tells the agent's build script and the tests what was built before.
fn prepare(command: &mut Command, built: Option<&Built>) {
    if let Some(Built { object, agent }) = built {
        command.env(build::OBJECT, object).env(build::AGENT, agent);
    }
}

/// Tells the tests where kube-apiserver is; without it they skip themselves.
fn add_api_server(binary: &Binary, command: &mut Command, summary: &mut Summary) {
    let built = match binary.name.as_str() {
        KUBE_PROXY_TESTS => apiserver::build_with_kube_proxy(),
        _ => apiserver::build(),
    };
    match built {
        Ok(Some(folder)) => drop(command.env(apiserver::DIRECTORY, folder)),
        Ok(None) => eprintln!("go is not installed: there is no API server to test against"),
        Err(error) => summary.add("building the API server", Err(error)),
    }
}

/// A compiled test binary.
#[derive(Debug, PartialEq, Eq)]
struct Binary {
    /// Package and target.
    name: String,
    path: PathBuf,
    /// The package's folder, where cargo runs tests too.
    folder: PathBuf,
}

impl Binary {
    /// Whether `name` is the target's name.
    fn is_called(&self, name: &str) -> bool {
        self.name.rsplit('/').next() == Some(name)
    }

    /// Whether it has tests whose name contains `filter`. If that cannot be found out, running it will say why.
    fn has_tests(&self, filter: Option<&str>) -> bool {
        let mut command = Command::new(&self.path);
        command.args(["--list", "--format", "terse"]).args(filter);
        exec::output(&mut command, "").is_ok_and(|list| list.contains(": test"))
    }

    fn command(&self, filter: Option<&str>) -> Command {
        let mut command = Command::new(&self.path);
        // The output of passed tests holds their `SKIPPED` lines.
        command
            .arg("--show-output")
            .args(filter)
            .current_dir(&self.folder);
        command.env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}

fn compile(packages: &[&str], built: Option<&Built>) -> Result<Vec<Binary>> {
    let mut cargo = exec::cargo(&[
        "test",
        "--locked",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    prepare(cargo.args(packages), built);
    exec::announce(&cargo);
    let output = cargo
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "the messages above say why the tests do not build"
    );
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(test_binary)
        .collect())
}

/// Reads one of cargo's JSON messages.
fn test_binary(message: &str) -> Option<Binary> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_test = message["profile"]["test"].as_bool()?;
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
    let package = folder.file_name()?.to_string_lossy();
    let target = message["target"]["name"].as_str()?;
    let path = message["executable"].as_str()?.into();
    is_test.then(|| Binary {
        name: format!("{package}/{target}"),
        path,
        folder: folder.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_binary_is_read_from_cargos_messages() {
        let message = r#"{"reason":"compiler-artifact","manifest_path":"/w/tests/Cargo.toml",
            "target":{"name":"flows","kind":["test"]},"profile":{"test":true},"executable":"/w/target/debug/deps/flows-1"}"#;
        let expected = Binary {
            name: "tests/flows".to_owned(),
            path: "/w/target/debug/deps/flows-1".into(),
            folder: "/w/tests".into(),
        };
        assert_eq!(test_binary(message), Some(expected));
    }

    #[test]
    fn a_binary_is_called_by_its_target_and_knows_its_tests() {
        let own = Binary {
            name: "xtask/xtask".to_owned(),
            path: std::env::current_exe().unwrap(),
            folder: exec::root(),
        };
        assert!(own.is_called("xtask") && !own.is_called("task"));
        assert!(own.has_tests(None) && own.has_tests(Some("a_binary_is_called")));
        assert!(!own.has_tests(Some("no test has this name")));
    }

    #[test]
    fn libraries_and_other_messages_are_no_test_binaries() {
        let library = r#"{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","target":{"name":"a"},
            "profile":{"test":false},"executable":"/w/target/debug/a"}"#;
        for message in [
            library,
            r#"{"reason":"build-finished","success":true}"#,
            "",
            "not JSON",
        ] {
            assert_eq!(test_binary(message), None, "{message}");
        }
    }
}
