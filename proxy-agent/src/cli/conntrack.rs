//! Flags about conntrack, named and meant as kube-proxy's.

use std::time::Duration;

use clap::{ArgAction, Args};

use crate::netfilter::conntrack_settings::Settings;

/// Flags of `run` about conntrack.
#[derive(Debug, Args)]
pub struct ConntrackFlags {
    /// Room in conntrack's table for so many connections for each CPU; 0: as the kernel has it.
    #[arg(long, value_name = "CONNECTIONS", default_value_t = Settings::default().max_per_core)]
    conntrack_max_per_core: u32,

    /// Room in conntrack's table for at least so many connections, unless --conntrack-max-per-core is 0.
    #[arg(long, value_name = "CONNECTIONS", default_value_t = Settings::default().min)]
    conntrack_min: u32,

    /// How long conntrack remembers an idle TCP connection; 0: as the kernel has it.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "24h")]
    conntrack_tcp_timeout_established: Duration,

    /// How long conntrack remembers a TCP connection of which one end is closed; 0: as the kernel has it.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "1h")]
    conntrack_tcp_timeout_close_wait: Duration,

    /// Have conntrack take TCP packets outside of the window for part of their connection; if not: as the kernel has it.
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = false,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    conntrack_tcp_be_liberal: bool,

    /// How long conntrack remembers a UDP flow without an answer; 0: as the kernel has it.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "0s")]
    conntrack_udp_timeout: Duration,

    /// How long conntrack remembers a UDP flow with answers; 0: as the kernel has it.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "0s")]
    conntrack_udp_timeout_stream: Duration,
}

impl ConntrackFlags {
    /// What they ask for.
    pub(super) const fn settings(&self) -> Settings {
        Settings {
            max_per_core: self.conntrack_max_per_core,
            min: self.conntrack_min,
            tcp_timeout_established: self.conntrack_tcp_timeout_established,
            tcp_timeout_close_wait: self.conntrack_tcp_timeout_close_wait,
            tcp_be_liberal: self.conntrack_tcp_be_liberal,
            udp_timeout: self.conntrack_udp_timeout,
            udp_timeout_stream: self.conntrack_udp_timeout_stream,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        conntrack: ConntrackFlags,
    }

    fn settings(flags: &str) -> Result<Settings, clap::Error> {
        let line = format!("kube-portal {flags}");
        Command::try_parse_from(line.split_whitespace()).map(|command| command.conntrack.settings())
    }

    #[test]
    fn without_flags_the_settings_are_kube_proxys() {
        assert_eq!(settings("").unwrap(), Settings::default());
    }

    #[test]
    fn each_flag_is_one_setting_spelled_as_kube_proxy_takes_it() {
        let flags = "--conntrack-max-per-core=1 --conntrack-min=2 --conntrack-tcp-timeout-established=1h0m3s \
            --conntrack-tcp-timeout-close-wait=4s --conntrack-tcp-be-liberal --conntrack-udp-timeout=5s \
            --conntrack-udp-timeout-stream=6s";
        let expected = Settings {
            max_per_core: 1,
            min: 2,
            tcp_timeout_established: Duration::from_secs(3_603),
            tcp_timeout_close_wait: Duration::from_secs(4),
            tcp_be_liberal: true,
            udp_timeout: Duration::from_secs(5),
            udp_timeout_stream: Duration::from_secs(6),
        };
        assert_eq!(settings(flags).unwrap(), expected);
    }

    #[test]
    fn zero_leaves_a_setting_alone_and_a_negative_number_is_none() {
        let left =
            settings("--conntrack-tcp-timeout-established=0 --conntrack-tcp-be-liberal=false").unwrap();
        assert_eq!(left.tcp_timeout_established, Duration::ZERO);
        assert!(!left.tcp_be_liberal);
        for flag in ["conntrack-min", "conntrack-max-per-core", "conntrack-udp-timeout"] {
            settings(&format!("--{flag}=-1")).expect_err(flag);
        }
    }
}
