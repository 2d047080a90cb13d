//! Runs one test binary to its end or to its time limit, and shows its output as it comes.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{
    exec,
    summary::Summary,
    test_output::{Ending, TestOutput},
};

/// How long a test binary may take: many times what the slowest does, so that only one that hangs meets it.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);
/// How often a silent binary is looked at.
const POLL: Duration = Duration::from_millis(100);

/// Runs `command`, which prints as Rust's test harness does.
pub(crate) fn run(name: &str, command: &mut Command, limit: Duration) -> Result<Summary> {
    exec::announce(command);
    run_showing(name, command, limit, |line| eprintln!("{line}"))
}

fn run_showing(name: &str, command: &mut Command, limit: Duration, show: impl Fn(&str)) -> Result<Summary> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{}`", exec::shown(command)))?;
    let lines = lines(&mut child);
    let mut output = TestOutput::new(name);
    let ending = follow(&mut child, &lines, limit, &mut |line: &str| {
        if output.line(line) {
            show(line);
        }
    })?;
    Ok(output.finish(ending))
}

/// Both streams in one: a skip may be printed on either.
fn lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|out| Box::new(out) as _),
        child.stderr.take().map(|err| Box::new(err) as _),
    ];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || forward(stream, &sender));
    }
    receiver
}

fn forward(stream: impl Read, sender: &Sender<String>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    // Not `lines`, which ends at the first byte that is no UTF-8.
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
        if sender.send(text).is_err() {
            return;
        }
        line.clear();
    }
}

fn follow(
    child: &mut Child,
    lines: &Receiver<String>,
    limit: Duration,
    show: &mut dyn FnMut(&str),
) -> Result<Ending> {
    let deadline = Instant::now() + limit;
    loop {
        let next = lines.recv_timeout(POLL);
        match &next {
            Ok(line) => show(line),
            // The streams may also end before the binary does.
            Err(RecvTimeoutError::Disconnected) => thread::sleep(POLL.min(Duration::from_millis(5))),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // Only once it is silent: a process that outlives the binary may hold its streams open for ever.
        if next.is_err()
            && let Some(status) = child.try_wait().context("cannot wait for a test binary")?
        {
            lines.try_iter().for_each(|line| show(&line));
            return Ok(Ending::Exited {
                success: status.success(),
                status: status.to_string(),
            });
        }
        if Instant::now() > deadline {
            return kill(child, limit);
        }
    }
}

fn kill(child: &mut Child, limit: Duration) -> Result<Ending> {
    child.kill().context("cannot kill a test binary that hangs")?;
    child.wait().context("cannot wait for a killed test binary")?;
    Ok(Ending::Killed(format!(
        "did not finish within {} s and was killed; the tests without a result above are the ones that hang",
        limit.as_secs()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Summary {
        // Shown to nobody: in the output of a test it would be counted by who runs this test.
        run_showing("binary", &mut exec::command("sh", &["-c", script]), limit, |_| {}).unwrap()
    }

    const RESULT: &str = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured";

    #[test]
    fn both_streams_are_read() {
        let summary = shell(&format!("echo '{RESULT}'; echo 'SKIPPED x: why' >&2"), LIMIT);
        assert_eq!((summary.passed, summary.skipped.len()), (1, 1));
    }

    #[test]
    fn a_binary_that_hangs_is_killed_and_named() {
        let summary = shell("echo 'test a ... ok'; exec sleep 60", Duration::from_millis(300));
        assert!(
            summary.failed[0].starts_with("binary: did not finish within"),
            "{summary:?}"
        );
    }

    #[test]
    fn a_process_left_behind_does_not_hold_up_the_end() {
        let begin = Instant::now();
        let summary = shell(&format!("sleep 20 & echo '{RESULT}'"), LIMIT);
        assert_eq!(summary.passed, 2);
        assert!(begin.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn bytes_that_are_no_text_do_not_end_the_reading() {
        let summary = shell(&format!(r"printf '\377\n'; echo '{RESULT}'"), LIMIT);
        assert_eq!(summary.passed, 2);
    }
}
