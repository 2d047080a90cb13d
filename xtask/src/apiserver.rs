//! Builds what tests and benchmarks start of Kubernetes, from the versions that the Go modules below `tests/apiserver` pin.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result};

use crate::exec;

/// Where tests find the programs.
pub(crate) const DIRECTORY: &str = "KUBE_PORTAL_APISERVER_DIR";
/// An API server.
const API_SERVER: [Tool; 2] = [
    Tool {
        name: "etcd",
        module: "etcd",
        package: "go.etcd.io/etcd/server/v3",
    },
    Tool {
        name: "kube-apiserver",
        module: "kubernetes",
        package: "k8s.io/kubernetes/cmd/kube-apiserver",
    },
];
/// Whom kube-portal is compared with.
const KUBE_PROXY: Tool = Tool {
    name: "kube-proxy",
    module: "kubernetes",
    package: "k8s.io/kubernetes/cmd/kube-proxy",
};

/// Something written in Go.
#[derive(Clone, Copy)]
struct Tool {
    /// Of the program.
    name: &'static str,
    /// Folder of the module that pins its version.
    module: &'static str,
    package: &'static str,
}

/// Builds etcd and kube-apiserver if they are not up to date, which takes minutes the first time, and gives the folder that
/// both are in; `None` without Go.
pub(crate) fn build() -> Result<Option<PathBuf>> {
    build_all(&API_SERVER)
}

/// As [`build`], kube-proxy too.
pub(crate) fn build_with_kube_proxy() -> Result<Option<PathBuf>> {
    Ok(build()?.and(build_all(&[KUBE_PROXY])?))
}

fn build_all(tools: &[Tool]) -> Result<Option<PathBuf>> {
    let folder = exec::target_dir().join("apiserver");
    for tool in tools {
        let program = Program::new(*tool, &folder)?;
        if program.is_built() {
            continue;
        }
        if !exec::is_installed("go") {
            return Ok(None);
        }
        program.build()?;
    }
    Ok(Some(folder))
}

struct Program {
    package: &'static str,
    module: PathBuf,
    binary: PathBuf,
    /// Says what the binary was built from.
    stamp: PathBuf,
    pins: String,
}

impl Program {
    fn new(tool: Tool, folder: &Path) -> Result<Self> {
        let Tool {
            name,
            module,
            package,
        } = tool;
        let module = exec::root().join("tests/apiserver").join(module);
        Ok(Self {
            package,
            pins: pins(&module)?,
            module,
            binary: folder.join(name),
            stamp: folder.join(format!("{name}.pins")),
        })
    }

    fn is_built(&self) -> bool {
        self.binary.is_file() && fs::read_to_string(&self.stamp).is_ok_and(|stamp| stamp == self.pins)
    }

    fn build(&self) -> Result<()> {
        eprintln!(
            "building {} from source, to test against: some minutes the first time, with gigabytes in Go's caches",
            self.package
        );
        let begin = Instant::now();
        let mut go = exec::command("go", &["build", "-mod=readonly", "-trimpath", "-buildvcs=false"]);
        // Without symbols it is half as large.
        go.args(["-ldflags", "-s -w", "-o"])
            .args([self.binary.as_os_str(), self.package.as_ref()])
            .current_dir(&self.module)
            // Another module's flags or a workspace around ours would change what is built.
            .env("GOFLAGS", "")
            .env("GOWORK", "off");
        exec::quiet(
            &mut go,
            &format!("building {}", self.package),
            "Go 1.26 or newer and its module proxy are needed; without go on the PATH the tests that need it are skipped",
        )?;
        fs::write(&self.stamp, &self.pins)
            .with_context(|| format!("cannot write {}", self.stamp.display()))?;
        eprintln!(
            "built {} in {} s",
            self.binary.display(),
            begin.elapsed().as_secs()
        );
        Ok(())
    }
}

/// The files that decide what is built, as one text.
fn pins(module: &Path) -> Result<String> {
    let read = |name| {
        let path = module.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    Ok(read("go.mod")? + &read("go.sum")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etcd(folder: &Path) -> Program {
        Program::new(API_SERVER[0], folder).unwrap()
    }

    #[test]
    fn a_program_is_built_again_when_its_pins_change_or_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let program = etcd(folder.path());
        fs::write(&program.stamp, &program.pins).unwrap();
        assert!(!program.is_built(), "there is no binary");
        fs::write(&program.binary, "").unwrap();
        assert!(program.is_built());
        fs::write(&program.stamp, "older pins").unwrap();
        assert!(!program.is_built());
    }

    #[test]
    fn each_module_pins_one_version_of_what_is_built() {
        for tool in API_SERVER.into_iter().chain([KUBE_PROXY]) {
            let program = Program::new(tool, Path::new("/nowhere")).unwrap();
            let (module, _) = tool.package.split_once("/cmd/").unwrap_or((tool.package, ""));
            let require = format!("require {module} v");
            let lines = program.pins.lines().filter(|line| line.starts_with(&require));
            assert_eq!(lines.count(), 1, "{}", tool.name);
        }
    }
}
