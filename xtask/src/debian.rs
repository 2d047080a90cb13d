//! Packages of Debian suites that the machine's own apt sources do not name, from the mirrors that those name. Nothing of apt's is changed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::exec;

/// The lists of one suite of one mirror, in a folder of their own.
pub(crate) struct Suite {
    folder: TempDir,
}

/// The suite at each mirror that has it.
pub(crate) fn suites(name: &str) -> Result<impl Iterator<Item = Result<Suite>>> {
    ensure!(exec::is_installed("apt-get"), "this is no Debian machine");
    let mirrors = mirrors()?.into_iter();
    Ok(mirrors.filter_map(move |mirror| Suite::read(&mirror, name).transpose()))
}

impl Suite {
    fn read(mirror: &str, name: &str) -> Result<Option<Self>> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let list =
            format!("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} {name} main\n");
        fs::write(folder.path().join("list"), list).context("cannot write a list of apt sources")?;
        fs::create_dir_all(folder.path().join("lists/partial"))
            .context("cannot make a folder for apt's lists")?;
        let suite = Self { folder };
        let mut update = suite.apt("apt-get");
        let asked = exec::quiet(update.args(["update", "-qq"]), &format!("asking for {name}"), "");
        Ok(asked.is_ok().then_some(suite))
    }

    /// What `apt-cache` says of this suite alone.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<String> {
        exec::output(self.apt("apt-cache").args(arguments), "")
    }

    /// Downloads a package, `name` or `name=version`, and unpacks it into `to`.
    pub(crate) fn unpack(&self, package: &str, to: &Path) -> Result<()> {
        let mut download = self.apt("apt-get");
        download.args(["download", "-qq", package]);
        let doing = format!("downloading {package}");
        exec::quiet(&mut download, &doing, "check the network")?;
        let archive = self.archive()?;
        let mut dpkg = exec::command("dpkg-deb", &["-x"]);
        dpkg.arg(&archive).arg(to);
        exec::quiet(&mut dpkg, "unpacking", "check the space that is left")?;
        fs::remove_file(archive).context("cannot remove a package")
    }

    fn archive(&self) -> Result<PathBuf> {
        let is_deb = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
        let files = fs::read_dir(self.folder.path()).context("cannot list the download")?;
        let mut paths = files.flatten().map(|file| file.path());
        paths.find(is_deb).context("apt-get downloaded no package")
    }

    fn apt(&self, program: &str) -> Command {
        let folder = self.folder.path();
        let mut apt = exec::command(
            program,
            &["-o", "Dir::Etc::sourceparts=-", "-o", "APT::Get::List-Cleanup=0"],
        );
        for (option, path) in [
            ("Dir::Etc::sourcelist", "list"),
            ("Dir::State::lists", "lists"),
            ("Dir::Cache", "cache"),
        ] {
            apt.arg("-o")
                .arg(format!("{option}={}", folder.join(path).display()));
        }
        apt.current_dir(folder);
        apt
    }
}

fn mirrors() -> Result<Vec<String>> {
    let mut targets = exec::command(
        "apt-get",
        &["indextargets", "--format", "$(SITE)", "Created-By: Packages"],
    );
    let text = exec::output(&mut targets, "check the machine's apt sources")?;
    let is_debian = |site: &&str| !site.contains("security");
    let mut mirrors: Vec<_> = text.lines().filter(is_debian).map(str::to_owned).collect();
    mirrors.sort();
    mirrors.dedup();
    Ok(mirrors)
}
