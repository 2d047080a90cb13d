//! The table against a real kernel, in a network namespace of its own.

use super::{Ends, Table};
use crate::{model::Family, node::netns_tests::in_own_namespace};

const TCP: u8 = 6;

#[test]
fn a_source_port_that_is_reserved_stands_in_the_table_until_it_is_released() {
    in_own_namespace("a_source_port_that_is_reserved", |_| {
        for (family, source, destination) in [
            (Family::V4, "192.168.0.2:61000", "10.1.0.2:8080"),
            (Family::V6, "[fd00::2]:61000", "[fd00:1::2]:8080"),
        ] {
            let ends = Ends {
                source: source.parse().unwrap(),
                destination: destination.parse().unwrap(),
            };
            let table = Table::open(family).unwrap();
            let flows = || table.flows(|flow| flow.request == ends).unwrap();
            // Whoever goes on with it says it again.
            for _ in 0..2 {
                table.reserve(TCP, ends, 600).unwrap();
                assert_eq!(table.find(TCP, ends).unwrap().as_ref(), flows().first());
                let [flow] = &flows()[..] else {
                    panic!("{:?}", flows())
                };
                assert!(flow.has_answer() && !flow.has_another_destination() && !flow.is_masqueraded());
            }
            table.release(TCP, ends).unwrap();
            assert_eq!(flows(), []);
            assert_eq!(table.find(TCP, ends).unwrap(), None);
            table.release(TCP, ends).unwrap();
        }
    });
}
