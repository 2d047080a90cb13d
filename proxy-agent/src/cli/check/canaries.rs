//! Sockets made for proof: here, in the cgroups of others and in other network namespaces.

use std::{
    ffi::OsStr,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    super::{Pins, canary::Heard},
    cgroups::MOUNT,
    finding::Finding,
};
use crate::explain::explain;

/// A child needs a hundredth of a second; one whose cgroup has used up its share of the processors needs more.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);
const OWN: &str = "own socket";
const CGROUPS: &str = "sockets in cgroups";
const NETNS: &str = "sockets in network namespaces";

/// What was heard in a place.
type Place = (PathBuf, Result<Heard>);

/// By a socket of this process.
pub(super) fn own(pins: &Pins) -> Finding {
    match Heard::here(pins) {
        Ok(Heard::OfNode) => Finding::ok(OWN, "IPv4 and IPv6 are caught, as the node's"),
        Ok(Heard::OfOther) => Finding::failed(
            OWN,
            "caught, but not as one of the node's network namespace",
            "run this command in the network namespace of the node (hostNetwork: true), where the agent has to run, too",
        ),
        Ok(Heard::Not) => Finding::failed(
            OWN,
            "not caught: no program is attached to the cgroup of this process or above it",
            MOUNT,
        ),
        Err(error) => unseen(OWN, explain(&error)),
    }
}

/// By a child's socket in each cgroup.
pub(super) fn in_cgroups(pins: &Pins, cgroups: Vec<PathBuf>) -> Finding {
    of_cgroups(&visit(pins, "--cgroup", cgroups))
}

/// By a child's socket in each network namespace.
pub(super) fn in_netns(pins: &Pins, netns: Vec<PathBuf>) -> Finding {
    of_netns(&visit(pins, "--netns", netns))
}

/// A place that has gone meanwhile is none.
fn visit(pins: &Pins, flag: &str, paths: Vec<PathBuf>) -> Vec<Place> {
    let heard = paths.into_iter().map(|path| {
        let heard = send(pins, flag, &path);
        (path, heard)
    });
    heard
        .filter(|(path, heard)| heard.is_ok() || path.exists())
        .collect()
}

fn of_cgroups(places: &[Place]) -> Finding {
    let deaf = those(places, Heard::Not);
    if !deaf.is_empty() {
        return Finding::failed(CGROUPS, format!("not caught in {deaf}"), MOUNT);
    }
    without_errors(CGROUPS, places, "are caught")
}

fn of_netns(places: &[Place]) -> Finding {
    let deaf = those(places, Heard::Not);
    if !deaf.is_empty() {
        return Finding::failed(NETNS, format!("not caught in {deaf}"), MOUNT);
    }
    let node = those(places, Heard::OfNode);
    if !node.is_empty() {
        let finding = format!("taken for the node's in {node}");
        return Finding::failed(
            NETNS,
            finding,
            "run the agent in the node's network namespace (hostNetwork: true)",
        );
    }
    without_errors(NETNS, places, "are caught, as those of pods")
}

fn without_errors(check: &'static str, places: &[Place], well: &str) -> Finding {
    let error =
        |(path, heard): &Place| Some(format!("{}: {}", path.display(), explain(heard.as_ref().err()?)));
    let errors: Vec<String> = places.iter().filter_map(error).collect();
    if !errors.is_empty() {
        return unseen(check, errors.join("; "));
    }
    match places.len() {
        0 => Finding::ok(check, "there is none to look at"),
        number => Finding::ok(check, format!("all {number} looked at {well}")),
    }
}

fn unseen(check: &'static str, why: String) -> Finding {
    Finding::warning(
        check,
        why,
        "it could not be looked at: this needs root, and the host's namespaces of processes and mounts",
    )
}

fn those(places: &[Place], wanted: Heard) -> String {
    let paths = places
        .iter()
        .filter(|(_, heard)| heard.as_ref().is_ok_and(|heard| *heard == wanted));
    let paths: Vec<String> = paths.map(|(path, _)| path.display().to_string()).collect();
    paths.join(", ")
}

/// This program again: whoever goes to a cgroup takes a whole process there, and that shall not be the one that goes on.
fn send(pins: &Pins, flag: &str, place: &Path) -> Result<Heard> {
    let child = Command::new("/proc/self/exe")
        .args([
            OsStr::new("canary"),
            OsStr::new("--pin-root"),
            pins.pin_root.as_os_str(),
        ])
        .args([OsStr::new(flag), place.as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.context("cannot start this program again")?;
    let status = end(&mut child, PATIENCE)?;
    if let Some(heard) = status.code().and_then(Heard::of_code) {
        return Ok(heard);
    }
    let mut complaint = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut complaint)?;
    }
    bail!("{}", complaint.trim().trim_start_matches("kube-portal: "));
}

/// Whatever happens, it does not stay behind: a cgroup may be frozen while a child is there.
fn end(child: &mut Child, patience: Duration) -> Result<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < patience {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(PAUSE);
    }
    child.kill()?;
    child.wait()?;
    bail!(
        "a process that went there did not end within {} s",
        patience.as_secs()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(heard: [Heard; 2]) -> [Place; 2] {
        [("/a".into(), Ok(heard[0])), ("/b".into(), Ok(heard[1]))]
    }

    #[test]
    fn cgroups_whose_sockets_are_not_caught_are_told_by_path_with_the_remedy() {
        let line = of_cgroups(&places([Heard::OfNode, Heard::Not])).to_string();
        assert_eq!(line, format!("failed  {CGROUPS}: not caught in /b; {MOUNT}"));
        let line = of_cgroups(&places([Heard::OfNode, Heard::OfOther])).to_string();
        assert_eq!(line, format!("ok      {CGROUPS}: all 2 looked at are caught"));
    }

    #[test]
    fn network_namespaces_are_to_be_seen_as_others_than_the_node_s() {
        let line = of_netns(&places([Heard::OfNode, Heard::OfOther])).to_string();
        assert!(
            line.starts_with(&format!("failed  {NETNS}: taken for the node's in /a;")),
            "{line}"
        );
        let line = of_netns(&places([Heard::OfOther, Heard::Not])).to_string();
        assert!(
            line.starts_with(&format!("failed  {NETNS}: not caught in /b;")),
            "{line}"
        );
        let line = of_netns(&places([Heard::OfOther; 2])).to_string();
        assert!(line.starts_with("ok"), "{line}");
    }

    #[test]
    fn a_place_that_cannot_be_looked_at_is_a_warning_and_no_success() {
        let places = [("/a".into(), Err(anyhow::anyhow!("not permitted")))];
        for finding in [of_cgroups(&places), of_netns(&places)] {
            assert!(finding.to_string().starts_with("warning"), "{finding}");
            assert_eq!(finding.finding, "/a: not permitted");
        }
    }

    #[test]
    fn a_child_that_does_not_end_is_killed() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let error = end(&mut child, Duration::from_millis(20)).unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
        assert!(child.try_wait().unwrap().is_some(), "it is still there");
    }
}
