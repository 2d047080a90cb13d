//! Where the pinned links are attached. They outlive the agent, but not their cgroup, and anybody may detach them.

use std::{fs, io, path::Path};

use anyhow::{Context as _, Result};
use aya::programs::links::{FdLink, PinnedLink};

use crate::dataplane::bpf::object::PinDir;

/// A pinned link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Name of its program.
    pub program: String,
    /// Number of that in the kernel.
    pub id: u32,
    /// Number of the cgroup that it is attached to; `None` if that is gone, or somebody has detached the link.
    pub cgroup: Option<u64>,
}

/// All of them; none where the agent could not attach.
///
/// # Errors
/// When one can't be read.
pub fn links(pins: &PinDir) -> Result<Vec<Link>> {
    let dir = pins.sockets();
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot list {}", dir.display()))?,
    };
    let mut links = entries
        .map(|entry| link(&entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    links.sort_by(|a, b| a.program.cmp(&b.program));
    Ok(links)
}

fn link(pin: &Path) -> Result<Link> {
    let name = pin.file_name().unwrap_or_default().to_string_lossy();
    let (program, _) = name.rsplit_once('-').unwrap_or((&name, ""));
    let link = PinnedLink::from_pin(pin).with_context(|| format!("cannot open {}", pin.display()))?;
    let link = FdLink::from(link);
    Ok(Link {
        program: program.to_owned(),
        id: link.info()?.program_id(),
        cgroup: cgroup(&link).with_context(|| format!("link {}", pin.display()))?,
    })
}

/// aya does not tell; the kernel writes it about every open link. The link has to be open meanwhile.
fn cgroup(link: &FdLink) -> Result<Option<u64>> {
    let id = link.info()?.id();
    let files = fs::read_dir("/proc/self/fdinfo").context("/proc/self/fdinfo")?;
    let texts = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
    let mut ours = texts.filter(|text| field(text, "link_id") == Some(id.into()));
    let text = ours
        .next()
        .context("is not among the open files of this process")?;
    Ok(field(&text, "cgroup_id").filter(|number| *number != 0))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(field, _)| *field == name)?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_of_an_open_link_are_found_by_their_whole_name() {
        let text =
            "pos:\t0\nlink_type:\tcgroup\nlink_id:\t17\nprog_id:\t5\ncgroup_id:\t1\nattach_type:\t10\n";
        assert_eq!(field(text, "link_id"), Some(17));
        assert_eq!(field(text, "cgroup_id"), Some(1));
        assert_eq!(field(text, "id"), None);
        assert_eq!(field(text, "link_type"), None);
    }
}
