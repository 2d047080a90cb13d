//! Conditions that a slice does not say.

use super::{
    objects::{service, slice},
    table::check,
};

#[test]
fn conditions_that_are_not_said_mean_ready() {
    let unsaid = |conditions: &str| {
        service(&[])
            + &slice(
                "svc1-1",
                &[&format!(
                    "{{addresses: [10.180.0.1], conditions: {{{conditions}}}}}"
                )],
            )
    };
    for (conditions, expected) in [
        ("", "10.180.0.1:80"),
        ("serving: false", "10.180.0.1:80"),
        ("terminating: true", "10.180.0.1:80"),
        ("ready: false", "REJECT"),
        ("ready: false, terminating: true", "10.180.0.1:80"),
    ] {
        check(&unsaid(conditions), &format!("pod  172.30.0.41:80  {expected}"));
    }
}
