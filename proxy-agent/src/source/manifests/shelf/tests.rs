//! What remains of good documents when their neighbours, or they themselves, break.

use super::*;

fn service(name: &str, ip: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  clusterIP: {ip}\n  ports:\n  - port: 80\n"
    )
}

fn broken_service(name: &str) -> String {
    service(name, "10.96.0.1").replace("port: 80", "port: eighty")
}

fn file(name: &str, content: &str) -> File {
    File {
        name: format!("manifests/{name}"),
        content: Ok(content.to_owned()),
    }
}

fn one(content: &str) -> Vec<File> {
    vec![file("a.yaml", content)]
}

fn join(documents: &[String]) -> String {
    documents.join("---\n")
}

/// `+kind name address` or `-kind name`.
fn show(reading: &Reading) -> Vec<String> {
    let describe = |object: &Object| match object {
        Object::Service(service) => format!("{} {}", object.reference(), service.cluster_ips[0]),
        _ => object.reference().to_string(),
    };
    let line = |event: &ClusterEvent| match event {
        ClusterEvent::Apply(object) => format!("+{}", describe(object)),
        ClusterEvent::Delete(reference) => format!("-{reference}"),
        ClusterEvent::MeshGroups(groups) => format!("{groups:?}"),
        ClusterEvent::Replace(kind, objects) => {
            format!(
                "={kind} {}",
                objects.iter().map(describe).collect::<Vec<_>>().join(",")
            )
        }
    };
    reading.events.iter().map(line).collect()
}

/// The events that a second reading sends.
fn second(first: &[File], second: &[File]) -> (Vec<String>, Vec<DocumentError>) {
    let mut shelf = Shelf::default();
    shelf.read(first);
    let reading = shelf.read(second);
    (show(&reading), reading.errors)
}

#[test]
fn the_first_reading_lists_every_kind_even_if_there_is_none() {
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: here}\n".to_owned();
    let reading = Shelf::default().read(&one(&join(&[service("a", "10.96.0.1"), node])));
    let expected = [
        "=Service Service default/a 10.96.0.1",
        "=EndpointSlice ",
        "=Node Node here",
        "=ServiceCIDR ",
    ];
    assert_eq!(show(&reading), expected);
    assert_eq!(reading.errors, []);
}

#[test]
fn later_readings_send_only_differences() {
    let before = join(&[
        service("same", "10.96.0.1"),
        service("moved", "10.96.0.2"),
        service("gone", "10.96.0.3"),
    ]);
    let after = join(&[
        service("moved", "10.96.0.9"),
        service("new", "10.96.0.4"),
        service("same", "10.96.0.1"),
    ]);
    let (events, errors) = second(&one(&before), &one(&after));
    assert_eq!(
        events,
        [
            "-Service default/gone",
            "+Service default/moved 10.96.0.9",
            "+Service default/new 10.96.0.4"
        ]
    );
    assert_eq!(errors, []);
}

#[test]
fn a_deleted_file_takes_its_objects_with_it() {
    let files = [
        file("a.yaml", &service("a", "10.96.0.1")),
        file("b.yaml", &service("b", "10.96.0.2")),
    ];
    assert_eq!(second(&files, &files[..1]).0, ["-Service default/b"]);
}

#[test]
fn a_broken_document_keeps_its_last_good_version_and_does_not_stop_the_others() {
    let before = join(&[service("a", "10.96.0.1"), service("b", "10.96.0.2")]);
    let after = join(&[broken_service("a"), service("b", "10.96.0.3")]);
    let (events, errors) = second(&one(&before), &one(&after));
    assert_eq!(events, ["+Service default/b 10.96.0.3"]);
    assert_eq!(
        errors[0].to_string(),
        "manifests/a.yaml, document 1 (Service default/a), line 8: spec.ports[0].port: invalid i32 in \
         \"- port: eighty\"; fix it, until then the last good version, if any, stays in use"
    );
}

#[test]
fn a_broken_document_keeps_its_object_at_every_later_reading_until_it_is_removed() {
    let mut shelf = Shelf::default();
    shelf.read(&one(&service("a", "10.96.0.1")));
    for _ in 0..3 {
        assert_eq!(show(&shelf.read(&one(&broken_service("a")))), [""; 0]);
    }
    assert_eq!(show(&shelf.read(&one(""))), ["-Service default/a"]);
}

#[test]
fn a_document_that_cannot_tell_its_name_keeps_what_stood_there() {
    let before = join(&[service("a", "10.96.0.1"), service("b", "10.96.0.2")]);
    let after = join(&["kind: [\n".to_owned(), service("b", "10.96.0.2")]);
    let mut shelf = Shelf::default();
    shelf.read(&one(&before));
    for _ in 0..2 {
        let reading = shelf.read(&one(&after));
        assert_eq!(show(&reading), [""; 0]);
        assert_eq!((reading.errors.len(), &reading.errors[0].object), (1, &None));
        assert_eq!(reading.duplicates, [""; 0]);
    }
}

#[test]
fn a_broken_document_put_in_front_of_others_removes_and_duplicates_nothing() {
    let before = join(&[service("a", "10.96.0.1"), service("b", "10.96.0.2")]);
    let after = join(&[
        "kind: [\n".to_owned(),
        service("a", "10.96.0.5"),
        service("b", "10.96.0.2"),
    ]);
    let mut shelf = Shelf::default();
    shelf.read(&one(&before));
    let reading = shelf.read(&one(&after));
    assert_eq!(show(&reading), ["+Service default/a 10.96.0.5"]);
    assert_eq!(reading.duplicates, [""; 0]);
}

#[test]
fn a_file_that_cannot_be_read_keeps_its_objects() {
    let unreadable = File {
        name: "manifests/a.yaml".to_owned(),
        content: Err("no permission".to_owned()),
    };
    let (events, errors) = second(&one(&service("a", "10.96.0.1")), &[unreadable]);
    assert_eq!(events, [""; 0]);
    assert!(
        errors[0]
            .to_string()
            .starts_with("manifests/a.yaml: no permission; "),
        "{}",
        errors[0]
    );
}

#[test]
fn of_two_documents_with_one_object_the_last_file_counts_and_that_is_told() {
    let files = [
        file("a.yaml", &service("a", "10.96.0.1")),
        file("b.yaml", &service("a", "10.96.0.2")),
    ];
    let reading = Shelf::default().read(&files);
    assert_eq!(show(&reading)[0], "=Service Service default/a 10.96.0.2");
    assert_eq!(
        reading.duplicates,
        [
            "Service default/a is in manifests/a.yaml, document 1, and in manifests/b.yaml, document 1: the latter is used"
        ]
    );
}

#[test]
fn other_kinds_are_no_errors_even_if_they_are_called_service() {
    let knative =
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: x}\n";
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n";
    let reading = Shelf::default().read(&one(&join(&[knative.to_owned(), deployment.to_owned()])));
    assert_eq!(reading.errors, []);
    let kinds: Vec<_> = reading.other_kinds.into_iter().collect();
    assert_eq!(kinds, ["apps/v1 Deployment", "serving.knative.dev/v1 Service"]);
}

#[test]
fn a_service_that_becomes_headless_goes() {
    let (events, errors) = second(&one(&service("a", "10.96.0.1")), &one(&service("a", "None")));
    assert_eq!(
        (events, errors),
        (vec!["-Service default/a".to_owned()], Vec::new())
    );
}

#[test]
fn the_items_of_a_list_are_read_one_by_one() {
    let item = |name: &str, port: &str| {
        serde_json::json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": port.parse::<i32>().unwrap()}]},
        })
    };
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [item("a", "80"), item("b", "70000")]});
    for name in ["list.json", "list.yaml"] {
        let reading = Shelf::default().read(&[file(name, &list.to_string())]);
        assert_eq!(show(&reading)[0], "=Service Service default/a 10.96.0.1");
        let expected = format!(
            "manifests/{name}, document 1 (Service default/b): items[1].spec.ports[0].port: is \"70000\": write a port \
             number from 1 to 65535; fix it, until then the last good version, if any, stays in use"
        );
        assert_eq!(
            reading.errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [expected]
        );
    }
}

#[test]
fn a_slice_is_read_with_its_ports_and_endpoints() {
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: a-1\n  labels:\n    \
                 kubernetes.io/service-name: a\naddressType: IPv4\nports:\n- port: 8080\nendpoints:\n- addresses: [10.0.0.1]\n";
    let reading = Shelf::default().read(&one(slice));
    let ClusterEvent::Replace(_, slices) = &reading.events[1] else {
        panic!("{:?}", reading.events)
    };
    let Object::EndpointSlice(slice) = &slices[0] else {
        panic!("{slices:?}")
    };
    assert_eq!(slice.service_name().to_string(), "default/a");
    assert_eq!((slice.ports[0].port, slice.endpoints.len()), (8080, 1));
}

#[test]
fn a_service_that_lacks_what_an_api_server_assigns_is_an_error() {
    let no_address = service("a", "10.96.0.1").replace("  clusterIP: 10.96.0.1\n", "");
    let no_node_port = service("a", "10.96.0.1").replace("spec:\n", "spec:\n  type: NodePort\n");
    let external_name = no_address.replace("spec:\n", "spec:\n  type: ExternalName\n");
    for (content, field) in [
        (no_address, Some("spec.clusterIP")),
        (no_node_port, Some("spec.ports[0].nodePort")),
        (external_name, None),
        (service("a", "None"), None),
    ] {
        let reading = Shelf::default().read(&one(&content));
        assert_eq!(
            reading.errors.first().map(|error| error.field.as_str()),
            field,
            "{content}"
        );
    }
}
