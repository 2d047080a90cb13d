//! `kube-portal inspect`.

use anyhow::Result;
use clap::{Args, ValueEnum};
use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;

use super::{Output, Pins};
use crate::dataplane::bpf::dump::{self, Row};

/// Flags of `inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// What to show.
    #[arg(value_enum)]
    what: What,

    #[command(flatten)]
    pins: Pins,

    /// A table for people or JSON for programs.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Where traffic is caught, and the endpoints that it goes to.
    Services,
    /// The Service ports that are not served, and why.
    Limits,
    /// The endpoints of each Service port.
    Endpoints,
    /// Who talks to whom, as the programs see it.
    Flows,
    /// Sockets that were led to an endpoint at `connect` or `sendmsg`.
    Sockets,
    /// What the programs have counted.
    Counters,
}

impl Inspect {
    pub(super) fn execute(&self) -> Result<()> {
        let pins = self.pins.dir();
        if dump::is_draining(&pins)? {
            eprintln!("the programs drain: they serve the flows that they have, and rules the new ones");
        }
        match self.what {
            What::Services => self.print(&dump::services(&pins)?),
            What::Limits => self.print(&dump::limits(&pins)?),
            What::Endpoints => self.print(&dump::endpoints(&pins)?),
            What::Flows => self.print(&dump::flows(&pins)?),
            What::Sockets => self.print(&dump::sockets(&pins)?),
            What::Counters => self.print(&dump::counters(&pins)?),
        }
    }

    fn print<R: Row + Serialize>(&self, rows: &[R]) -> Result<()> {
        match self.output {
            Output::Json => println!("{}", serde_json::to_string_pretty(rows)?),
            Output::Table => {
                let mut table = Table::new();
                table
                    .load_style(NOTHING)
                    .set_header(R::HEADER.iter().map(|name| name.to_uppercase()));
                table.add_rows(rows.iter().map(Row::cells));
                println!("{}", table.trim_fmt());
            }
        }
        Ok(())
    }
}
