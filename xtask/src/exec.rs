//! Runs other programs: prints each command before it runs, and keeps it in the error with what to do about it.

use std::{
    env,
    ffi::OsStr,
    io::{IsTerminal as _, stderr},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use indicatif::ProgressBar;

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the workspace")
        .to_owned()
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// A command that runs in the workspace's folder.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// The cargo that runs us, without what it has told us of our own package: build scripts that ask for the like of it would run again, and
/// all that depends on them, after each cargo that somebody has called by hand.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = command(
        &env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()),
        arguments,
    );
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_about_our_package) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// What `cargo run` sets for the program that it runs.
fn is_about_our_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"]
        .iter()
        .any(|prefix| variable.starts_with(prefix))
}

/// Runs a command with its output on the terminal.
pub(crate) fn run(command: &mut Command, remedy: &str) -> Result<()> {
    announce(command);
    let status = command.status().with_context(|| not_started(command, remedy))?;
    ensure!(
        status.success(),
        "`{}` failed ({status}): {remedy}",
        line(command)
    );
    Ok(())
}

/// Runs a command that has nothing to say unless it fails, with a spinner on a terminal.
pub(crate) fn quiet(command: &mut Command, doing: &str, remedy: &str) -> Result<String> {
    announce(command);
    let spinner = ProgressBar::new_spinner().with_message(doing.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(100));
    let output = output(command, remedy);
    spinner.finish_and_clear();
    output
}

/// What a command prints on its standard output.
pub(crate) fn output(command: &mut Command, remedy: &str) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| not_started(command, remedy))?;
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    let said = String::from_utf8_lossy(&stderr);
    ensure!(
        status.success(),
        "`{}` failed ({status}): {remedy}\n{}",
        line(command),
        said.trim_end()
    );
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// Whether a program can be found, also in the folders that only root's path has.
pub(crate) fn is_installed(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program is, also in the folders that only root's path has.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(sbin)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Prints a command before it runs.
pub(crate) fn announce(command: &Command) {
    eprintln!("{} {}", bold("+"), shown(command));
}

/// Prints what begins now.
pub(crate) fn headline(text: &str) {
    eprintln!("\n{}", bold(&format!("== {text}")));
}

/// The command as one would type it, with the environment that differs from ours.
pub(crate) fn shown(command: &Command) -> String {
    let set = |(name, value): (&OsStr, Option<&OsStr>)| {
        Some(format!(
            "{}={} ",
            name.to_string_lossy(),
            quoted(&value?.to_string_lossy())
        ))
    };
    command.get_envs().filter_map(set).collect::<String>() + &line(command)
}

/// Program and arguments.
fn line(command: &Command) -> String {
    // As short as it can be typed: what we built from the workspace's folder, the rest by name.
    let program = Path::new(command.get_program());
    let built = program.strip_prefix(root()).ok();
    let short = built
        .or_else(|| program.file_name().map(Path::new))
        .unwrap_or(program);
    let words = [short.as_os_str()].into_iter().chain(command.get_args());
    words
        .map(|word| quoted(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_=/.,:+@%~".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn not_started(command: &Command, remedy: &str) -> String {
    format!("cannot start `{}`: {remedy}", line(command))
}

pub(crate) fn bold(text: &str) -> String {
    styled(text, "1")
}

pub(crate) fn red(text: &str) -> String {
    styled(text, "1;31")
}

fn styled(text: &str, style: &str) -> String {
    if stderr().is_terminal() && env::var_os("NO_COLOR").is_none() {
        return format!("\x1b[{style}m{text}\x1b[0m");
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_the_remedy() {
        let mut command = command("false", &["a b", "c"]);
        let error = output(command.env("X", "1 2"), "do something").unwrap_err();
        assert_eq!(shown(&command), "X='1 2' false 'a b' c");
        let text = format!("{error:#}");
        assert!(text.starts_with("`false 'a b' c` failed"), "{text}");
        assert!(text.contains("do something"), "{text}");
    }

    #[test]
    fn a_program_that_does_not_exist_is_named_with_the_remedy() {
        let error = run(&mut command("no-such-program", &[]), "install it").unwrap_err();
        assert_eq!(error.to_string(), "cannot start `no-such-program`: install it");
    }

    #[test]
    fn what_cargo_says_of_our_own_package_is_kept_from_the_next_one() {
        for name in [
            "CARGO_PKG_VERSION_MAJOR",
            "CARGO_MANIFEST_DIR",
            "CARGO_MANIFEST_LINKS",
        ] {
            assert!(is_about_our_package(name), "{name}");
        }
        for name in ["CARGO", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_INCREMENTAL"] {
            assert!(!is_about_our_package(name), "{name}");
        }
    }

    #[test]
    fn an_apostrophe_survives_quoting() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("-Zbuild-std=core"), "-Zbuild-std=core");
    }
}
