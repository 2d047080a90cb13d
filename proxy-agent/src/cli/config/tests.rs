use std::collections::BTreeSet;

use clap::CommandFactory;
use ipnet::IpNet;
use tempfile::NamedTempFile;

use super::{
    super::{Cli, given},
    *,
};
use crate::model::NodePortAddresses;

/// As kubeadm writes it into the ConfigMap `kube-proxy`, for a cluster with one range of pods.
const KUBEADM: &str = r#"
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
kind: KubeProxyConfiguration
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: ""
mode: ""
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
  forwardHealthCheckVip: false
  networkName: ""
  rootHnsEndpointName: ""
  sourceVip: ""
"#;

const HEADER: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

fn read(text: &str) -> Result<Config, ConfigError> {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    Config::read(file.path())
}

fn config(fields: &str) -> Config {
    read(&format!("{HEADER}{fields}")).unwrap()
}

fn cidrs(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn the_file_that_kubeadm_writes_is_taken_without_a_warning() {
    let config = read(KUBEADM).unwrap();
    assert_eq!(config.warnings(), Vec::<String>::new());
    assert_eq!(
        config.kubeconfig(),
        Some(Path::new("/var/lib/kube-proxy/kubeconfig.conf"))
    );
    let expected = NodeContext {
        detect_local: DetectLocal::ClusterCidr(cidrs(&["10.244.0.0/16"])),
        ..NodeContext::default()
    };
    assert_eq!(config.context(String::new()), expected);
    assert_eq!(config.hostname_override(), None);
    assert_eq!(config.metrics_bind_address(), None);
    assert_eq!((config.min_sync_period(), config.sync_period()), (None, None));
    assert_eq!(
        (config.masquerade_bit(), config.localhost_node_ports()),
        (None, None)
    );
    assert_eq!(config.conntrack(), Settings::default());
}

#[test]
fn every_field_that_has_an_effect_is_read() {
    let config = config(
        "hostnameOverride: Node1
clientConnection: {kubeconfig: /etc/kubeconfig}
clusterCIDR: 10.0.0.0/8,fd00::/16
detectLocal: {bridgeInterface: cbr0, interfaceNamePrefix: veth}
metricsBindAddress: 0.0.0.0
nodePortAddresses: [192.168.0.0/16, 'fd00::/8']
iptables: {masqueradeAll: true, masqueradeBit: 15, localhostNodePorts: false, minSyncPeriod: 1m0.5s, syncPeriod: 1h0m0s}
conntrack: {maxPerCore: 1, min: 2, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 4s, tcpBeLiberal: true,
  udpTimeout: 5s, udpStreamTimeout: 6s}",
    );
    assert_eq!(config.hostname_override(), Some("Node1"));
    assert_eq!(config.kubeconfig(), Some(Path::new("/etc/kubeconfig")));
    let expected = NodeContext {
        name: "node".to_owned(),
        detect_local: DetectLocal::ClusterCidr(cidrs(&["10.0.0.0/8", "fd00::/16"])),
        masquerade_all: true,
        node_port_addresses: NodePortAddresses::Cidrs(cidrs(&["192.168.0.0/16", "fd00::/8"])),
        ..NodeContext::default()
    };
    assert_eq!(config.context("node".to_owned()), expected);
    let metrics = config.metrics_bind_address().and_then(|address| address.0);
    assert_eq!(metrics, Some("0.0.0.0:10249".parse().unwrap()));
    assert_eq!(config.masquerade_bit(), Some(15));
    assert_eq!(config.localhost_node_ports(), Some(false));
    assert_eq!(config.min_sync_period(), Some(Duration::from_millis(60_500)));
    assert_eq!(config.sync_period(), Some(Duration::from_secs(3_600)));
    let expected = Settings {
        max_per_core: 1,
        min: 2,
        tcp_timeout_established: Duration::ZERO,
        tcp_timeout_close_wait: Duration::from_secs(4),
        tcp_be_liberal: true,
        udp_timeout: Duration::from_secs(5),
        udp_timeout_stream: Duration::from_secs(6),
    };
    assert_eq!(config.conntrack(), expected);
    assert_eq!(config.warnings(), Vec::<String>::new());
}

#[test]
fn the_mode_says_which_section_counts() {
    let sections = "iptables: {masqueradeAll: true, minSyncPeriod: 1s}
nftables: {minSyncPeriod: 2s}
ipvs: {minSyncPeriod: 3s}";
    for (mode, masquerade_all, seconds) in [
        ("''", true, 1),
        ("iptables", true, 1),
        ("nftables", false, 2),
        ("ipvs", true, 3),
    ] {
        let config = config(&format!("mode: {mode}\n{sections}"));
        assert_eq!(config.masquerade_all(), masquerade_all, "{mode}");
        assert_eq!(
            config.min_sync_period(),
            Some(Duration::from_secs(seconds)),
            "{mode}"
        );
        assert_eq!(config.warnings().len(), usize::from(mode == "ipvs"), "{mode}");
    }
}

#[test]
fn node_ports_may_be_served_on_the_primary_addresses() {
    let config = config("nodePortAddresses: [primary]");
    let context = config.context(String::new());
    assert_eq!(context.node_port_addresses, NodePortAddresses::Primary);
}

#[test]
fn each_mode_of_detecting_local_traffic_has_its_own_field() {
    let all = "clusterCIDR: 10.0.0.0/8
detectLocal: {bridgeInterface: cbr0, interfaceNamePrefix: veth}";
    for (mode, expected) in [
        ("ClusterCIDR", DetectLocal::ClusterCidr(cidrs(&["10.0.0.0/8"]))),
        ("NodeCIDR", DetectLocal::NodeCidr),
        ("BridgeInterface", DetectLocal::BridgeInterface("cbr0".to_owned())),
        (
            "InterfaceNamePrefix",
            DetectLocal::InterfaceNamePrefix("veth".to_owned()),
        ),
    ] {
        let config = config(&format!("detectLocalMode: {mode}\n{all}"));
        assert_eq!(config.context(String::new()).detect_local, expected);
    }
}

#[test]
fn each_flag_that_the_file_counts_instead_of_is_told_with_its_field() {
    let flags = [
        ("--kubeconfig", "clientConnection.kubeconfig"),
        ("--detect-local-mode", "detectLocalMode"),
        ("--cluster-cidr", "clusterCIDR"),
        ("--pod-bridge-interface", "detectLocal.bridgeInterface"),
        ("--pod-interface-name-prefix", "detectLocal.interfaceNamePrefix"),
        ("--nodeport-addresses", "nodePortAddresses"),
        ("--metrics-bind-address", "metricsBindAddress"),
        ("--masquerade-all", "iptables.masqueradeAll"),
        ("--iptables-masquerade-bit", "iptables.masqueradeBit"),
        ("--conntrack-max-per-core", "conntrack.maxPerCore"),
        ("--conntrack-min", "conntrack.min"),
        (
            "--conntrack-tcp-timeout-established",
            "conntrack.tcpEstablishedTimeout",
        ),
        (
            "--conntrack-tcp-timeout-close-wait",
            "conntrack.tcpCloseWaitTimeout",
        ),
        ("--conntrack-tcp-be-liberal", "conntrack.tcpBeLiberal"),
        ("--conntrack-udp-timeout", "conntrack.udpTimeout"),
        ("--conntrack-udp-timeout-stream", "conntrack.udpStreamTimeout"),
        ("--min-sync-period", "ipvs.minSyncPeriod"),
        ("--sync-period", "ipvs.syncPeriod"),
    ];
    let expected = flags.map(|(flag, field)| {
        format!("{flag} has no effect beside --config: what counts is the field {field}")
    });
    let line = "kube-portal run --config=/x --hostname-override=n --master=http://x --tc-attach=tcx \
        --kubeconfig=/y --detect-local-mode=NodeCIDR --cluster-cidr=10.0.0.0/8 --pod-bridge-interface=cbr0 \
        --pod-interface-name-prefix=veth --nodeport-addresses=primary --metrics-bind-address=0.0.0.0 \
        --masquerade-all --iptables-masquerade-bit=15 --iptables-min-sync-period=1s --sync-period=1s \
        --conntrack-max-per-core=1 --conntrack-min=1 --conntrack-tcp-timeout-established=1s \
        --conntrack-tcp-timeout-close-wait=1s --conntrack-tcp-be-liberal --conntrack-udp-timeout=1s \
        --conntrack-udp-timeout-stream=1s";
    assert_eq!(config("mode: ipvs").ignored(&given_in(line)), expected);
}

#[test]
fn a_flag_that_nobody_has_given_is_not_told() {
    let given = given_in("kube-portal run --config=/x --masquerade-all");
    let told = config("mode: nftables").ignored(&given);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].ends_with("the field nftables.masqueradeAll"), "{told:?}");
}

/// The flags on a command line.
fn given_in(line: &str) -> BTreeSet<String> {
    let matches = Cli::command().try_get_matches_from(line.split_whitespace());
    given(&matches.unwrap())
}

#[test]
fn fields_without_effect_are_told_once_each_by_name_and_names_that_do_not_exist_apart() {
    let config = config(
        "mode: ipvs
ipvs: {strictARP: true, scheduler: rr}
conntrack: {maxPerCore: 32768, tcpTimeout: 1s}
healthzBindAddress: 127.0.0.1:10256
featureGates: {SomeGate: true}
clusterCidr: 10.0.0.0/8
detectLocal: {bridge: cbr0}",
    );
    let told: Vec<String> = config
        .warnings()
        .iter()
        .map(|warning| warning.split(": ").map(str::to_owned).take(2).collect::<Vec<_>>())
        .map(|parts| format!("{}: {}", parts[0], parts[1].split(' ').next().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            "mode: ipvs",
            "clusterCidr: KubeProxyConfiguration",
            "featureGates.SomeGate: has",
            "healthzBindAddress: has",
            "ipvs.scheduler: has",
            "ipvs.strictARP: has",
            "conntrack.tcpTimeout: KubeProxyConfiguration",
            "detectLocal.bridge: KubeProxyConfiguration",
        ]
    );
}

#[test]
fn an_error_begins_with_the_field_and_says_what_to_write() {
    for (fields, field, reason) in [
        (
            "clusterCIDR: 10.0.0.0",
            "clusterCIDR: ",
            "write one such as 10.0.0.0/8",
        ),
        (
            "clusterCIDR: 10.0.0.0/8,11.0.0.0/8",
            "clusterCIDR: ",
            "name one of each",
        ),
        ("clusterCIDR: [10.0.0.0/8]", "clusterCIDR: ", "expected a string"),
        (
            "nodePortAddresses: [primary, 10.0.0.0/8]",
            "nodePortAddresses: ",
            "\"primary\" is no range",
        ),
        (
            "metricsBindAddress: localhost",
            "metricsBindAddress: ",
            "write one such as 0.0.0.0",
        ),
        (
            "iptables: {minSyncPeriod: soon}",
            "iptables.minSyncPeriod: ",
            "write one such as 1s",
        ),
        (
            "iptables: {masqueradeAll: many}",
            "iptables.masqueradeAll: ",
            "expected a boolean",
        ),
        (
            "nftables: {masqueradeBit: 32}",
            "nftables.masqueradeBit: ",
            "write one from 0 to 31",
        ),
        ("conntrack: {min: -1}", "conntrack.min: ", "-1"),
        (
            "detectLocalMode: Guess",
            "detectLocalMode: ",
            "expected one of `ClusterCIDR`",
        ),
        (
            "detectLocalMode: BridgeInterface",
            "detectLocal.bridgeInterface: ",
            "detectLocalMode BridgeInterface needs it",
        ),
        (
            "detectLocalMode: InterfaceNamePrefix",
            "detectLocal.interfaceNamePrefix: ",
            "needs it",
        ),
    ] {
        let error = parse(&format!("{HEADER}{fields}")).expect_err(fields);
        assert!(
            error.starts_with(field) && error.contains(reason),
            "{fields}: {error}"
        );
    }
}

#[test]
fn another_kind_of_file_is_refused() {
    for (text, field) in [
        (
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeProxyConfiguration",
            "apiVersion: ",
        ),
        (
            "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeletConfiguration",
            "kind: ",
        ),
        ("kind: KubeProxyConfiguration", ""),
        ("a: [", ""),
        ("", ""),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.starts_with(field), "{text:?}: {error}");
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let error = Config::read("/nowhere/config.conf").unwrap_err().to_string();
    assert!(error.contains("No such file"), "{error}");
}

#[tokio::test]
async fn a_change_of_the_file_is_noticed_and_its_absence_is_none() {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), KUBEADM).unwrap();
    let config = Config::read(file.path()).unwrap();
    assert!(!config.differs().await);
    fs::write(file.path(), HEADER).unwrap();
    assert!(config.differs().await);
    fs::remove_file(file.path()).unwrap();
    assert!(!config.differs().await);
}
