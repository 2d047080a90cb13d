//! Named counters of packets, which rules of iptables count into (`linux/netfilter/nfnetlink_acct.h`). Both IP families share them.

use std::{io, thread, time::Duration};

use nix::{errno::Errno, libc::AF_UNSPEC};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE};

use super::nfnetlink::{Nfnetlink, Request, attribute, find};

/// `NFNL_SUBSYS_ACCT << 8`, with `NFNL_MSG_ACCT_NEW`, `NFNL_MSG_ACCT_GET` and `NFNL_MSG_ACCT_DEL`.
const NEW: u16 = 7 << 8;
const GET: u16 = 7 << 8 | 1;
const DELETE: u16 = 7 << 8 | 3;
/// `NFACCT_NAME`, `NFACCT_PKTS`.
const NAME: u16 = 1;
const PACKETS: u16 = 2;
/// The kernel lets go of what a deleted rule has counted into a moment after the rule.
const LETS_GO: (u32, Duration) = (20, Duration::from_millis(10));

/// Makes a counter, unless there is one of this name.
///
/// # Errors
/// When the kernel has no such counters.
pub(crate) fn make(name: &str) -> io::Result<()> {
    match ask(NEW, NLM_F_CREATE, name, |_| ()) {
        Err(error) if is(&error, &[Errno::EBUSY]) => Ok(()),
        made => made,
    }
}

/// How many packets a counter has seen; `None` if it is not there.
pub(crate) fn packets(name: &str) -> Option<u64> {
    let mut packets = None;
    let answered = ask(GET, 0, name, |attributes| {
        let value = find(attributes, PACKETS).and_then(|value| value.try_into().ok());
        packets = value.map(u64::from_be_bytes);
    });
    answered.ok().and(packets)
}

/// Deletes a counter, unless a rule counts into it. None of this name, or a kernel without any, is no error.
///
/// # Errors
/// When it has to stay for another reason.
pub(crate) fn remove(name: &str) -> io::Result<()> {
    let (looks, pause) = LETS_GO;
    for _ in 0..looks {
        match ask(DELETE, 0, name, |_| ()) {
            Err(error) if is(&error, &[Errno::EBUSY]) => thread::sleep(pause),
            Err(error) if is(&error, &[Errno::ENOENT, Errno::EINVAL]) => break,
            removed => return removed,
        }
    }
    Ok(())
}

fn ask(kind: u16, flags: u16, name: &str, answer: impl FnMut(&[u8])) -> io::Result<()> {
    let request = Request {
        kind,
        flags: flags | NLM_F_ACK,
        family: AF_UNSPEC,
        attributes: &attribute(NAME, &[name.as_bytes(), b"\0"].concat()),
    };
    Nfnetlink::open()?.ask(request, answer)
}

fn is(error: &io::Error, errors: &[Errno]) -> bool {
    errors
        .iter()
        .any(|known| error.raw_os_error() == Some(*known as i32))
}
