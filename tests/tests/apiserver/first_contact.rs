//! What is there by itself.

use harness::apiserver::shared;

#[test]
fn the_service_of_the_api_server_itself_is_served() {
    let Some(cluster) = shared("the_service_of_the_api_server_itself_is_served") else {
        return;
    };
    cluster
        .expect(
            "default",
            &["kubernetes:https ClusterIP 10.96.0.1:443/TCP > 192.168.50.12:6443"],
        )
        .unwrap();
}
