//! Endpoints of no node are local to none.

use super::{
    objects::{service, slice},
    table::check,
};

#[test]
fn an_endpoint_of_no_node_is_here_for_nobody() {
    let elsewhere = slice("svc1-1", &["{addresses: [10.180.3.1]}"]);
    check(
        &(service(&["externalTrafficPolicy: Local"]) + &elsewhere),
        "
        # from    to              goes to
        external  1.2.3.4:80      DROP
        external  node:3001       DROP
        pod       1.2.3.4:80      10.180.3.1:80
        ",
    );
    check(
        &(service(&["internalTrafficPolicy: Local"]) + &elsewhere),
        "pod  172.30.0.41:80  DROP",
    );
}
