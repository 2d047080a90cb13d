//! Runs command-line tools so that a failure names the command and what it printed.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// Runs a command to its end and gives its standard output.
///
/// # Errors
///
/// The command could not be started, or ended with a failure; its standard error is in the message.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{shown} failed ({}): {}", output.status, stderr.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{shown} printed something that is not UTF-8"))
}

/// Feeds `lines` to one `ip -batch -`, in the named namespace if one is given: a process for each line would take
/// most of the time of building a topology.
///
/// # Errors
///
/// `ip` is missing or refused a line.
pub fn ip_batch(namespace: Option<&str>, lines: &str) -> Result<()> {
    let mut command = Command::new("ip");
    if let Some(name) = namespace {
        command.args(["-n", name]);
    }
    let mut child = command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run `ip`: install iproute2")?;
    // Dropped at the end of the statement, which is what tells `ip` that the batch ends.
    child
        .stdin
        .take()
        .context("`ip` has no standard input")?
        .write_all(lines.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`ip -batch` in namespace {} failed: {}\n{lines}",
            namespace.unwrap_or("-"),
            stderr.trim()
        );
    }
    Ok(())
}
