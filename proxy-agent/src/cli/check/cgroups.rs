//! Where the programs of sockets are attached, and who else is there.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use super::{finding::Finding, places};
use crate::{
    dataplane::bpf::sockets::{CgroupRoot, Link, PROGRAMS, foreign},
    explain::explain,
};

/// What mends every nested root.
pub(super) const MOUNT: &str = "mount the host's cgroup v2 hierarchy where the agent sees it and name it by --cgroup-root, here and to `kube-portal run`";
const LINKS: &str = "links";
const FOREIGN: &str = "others' programs";

/// A line for the hierarchy, for the links and for the programs of others.
pub(super) fn findings(root: &CgroupRoot, links: &[Link]) -> Vec<Finding> {
    let name = |number| {
        let place = || format!("cgroup {number}, which is not below {root}");
        place_of(root.path(), number).unwrap_or_else(place)
    };
    vec![
        hierarchy(root),
        attached(links, (&root.to_string(), root.number()), name),
        others(root, links),
    ]
}

fn hierarchy(root: &CgroupRoot) -> Finding {
    if root.is_outermost() {
        return Finding::ok("cgroup", format!("{root} is the root of the hierarchy"));
    }
    let finding = format!(
        "{root} is not the root of the hierarchy: processes outside of it reach no Service at connect"
    );
    Finding::warning("cgroup", finding, MOUNT)
}

/// `name` finds a word for the number of a cgroup.
fn attached(links: &[Link], (root, number): (&str, u64), name: impl Fn(u64) -> String) -> Finding {
    let of = |program: &str, is: &dyn Fn(Option<u64>) -> bool| {
        links
            .iter()
            .any(|link| link.program == program && is(link.cgroup))
    };
    let absent = PROGRAMS
        .iter()
        .filter(|program| !of(program, &|cgroup| cgroup == Some(number)));
    let absent: Vec<&str> = absent.copied().collect();
    if absent.is_empty() {
        return Finding::ok(
            LINKS,
            format!("all {} programs are attached to {root}", PROGRAMS.len()),
        );
    }
    let lost = absent
        .iter()
        .any(|program| !of(program, &|cgroup| cgroup.is_some()));
    if lost {
        let finding = format!("not attached: {}", absent.join(", "));
        return Finding::failed(
            LINKS,
            finding,
            "somebody has detached them, or their cgroup is gone: a running agent has them back within seconds or says in its log why not",
        );
    }
    let elsewhere = links
        .iter()
        .filter_map(|link| link.cgroup)
        .find(|cgroup| *cgroup != number);
    let finding = format!(
        "attached to {}, not to {root}",
        elsewhere.map(name).unwrap_or_default()
    );
    Finding::failed(LINKS, finding, MOUNT)
}

fn others(root: &CgroupRoot, links: &[Link]) -> Finding {
    match foreign(root, links) {
        Ok(names) if names.is_empty() => Finding::ok(FOREIGN, format!("none at the same hooks of {root}")),
        Ok(names) => {
            let names: Vec<String> = names.into_iter().collect();
            let remedy = format!(
                "see that none of them translates or refuses Services, too (bpftool cgroup show {root})"
            );
            Finding::warning(
                FOREIGN,
                format!("at the same hooks of {root}: {}", names.join(", ")),
                remedy,
            )
        }
        Err(error) => Finding::warning(FOREIGN, explain(&error), "are you root?"),
    }
}

fn place_of(root: &Path, number: u64) -> Option<String> {
    let is_it = |path: &Path| fs::metadata(path).is_ok_and(|data| data.ino() == number);
    let found = places::below(root).into_iter().find(|path| is_it(path));
    found.map(|path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::{super::finding::State, *};

    const ROOT: (&str, u64) = ("/c", 1);

    fn all_at(cgroup: Option<u64>) -> Vec<Link> {
        let link = |program: &&str| Link {
            program: (*program).to_owned(),
            id: 5,
            cgroup,
        };
        PROGRAMS.iter().map(link).collect()
    }

    fn found(links: &[Link]) -> Finding {
        attached(links, ROOT, |number| format!("/c/{number}"))
    }

    #[test]
    fn all_links_at_the_root_are_well_also_beside_those_of_an_earlier_run() {
        let mut links = all_at(Some(1));
        assert_eq!(found(&links).state, State::Ok);
        links.extend(all_at(None));
        assert_eq!(found(&links).state, State::Ok);
    }

    #[test]
    fn a_link_that_is_detached_or_was_never_made_is_named() {
        let mut links = all_at(Some(1));
        links[8].cgroup = None;
        let finding = found(&links);
        assert_eq!(finding.state, State::Failed);
        assert_eq!(finding.finding, "not attached: socket_connect6");
        links.remove(8);
        assert_eq!(found(&links), finding);
    }

    #[test]
    fn links_at_another_cgroup_are_told_with_its_path_and_the_remedy() {
        let finding = found(&all_at(Some(9)));
        assert_eq!(finding.finding, "attached to /c/9, not to /c");
        assert_eq!(finding.remedy.as_deref(), Some(MOUNT));
    }
}
