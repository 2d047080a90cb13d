use tempfile::NamedTempFile;

use super::*;

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
    assert_eq!(config.cluster_cidrs(), cidrs(&["10.244.0.0/16"]));
    assert_eq!(config.detect_local_mode(), DetectLocalMode::ClusterCidr);
    assert_eq!(*config.node_port_addresses(), NodePortAddresses::All);
    assert_eq!(
        (config.hostname_override(), config.masquerade_all()),
        (None, false)
    );
    assert_eq!((config.min_sync_period(), config.sync_period()), (None, None));
}

#[test]
fn every_field_that_has_an_effect_is_read() {
    let config = config(
        "hostnameOverride: Node1
clientConnection: {kubeconfig: /etc/kubeconfig}
clusterCIDR: 10.0.0.0/8,fd00::/16
detectLocalMode: BridgeInterface
detectLocal: {bridgeInterface: cbr0, interfaceNamePrefix: veth}
nodePortAddresses: [192.168.0.0/16, 'fd00::/8']
iptables: {masqueradeAll: true, minSyncPeriod: 1m0.5s, syncPeriod: 1h0m0s}",
    );
    assert_eq!(config.hostname_override(), Some("Node1"));
    assert_eq!(config.kubeconfig(), Some(Path::new("/etc/kubeconfig")));
    assert_eq!(config.cluster_cidrs(), cidrs(&["10.0.0.0/8", "fd00::/16"]));
    assert_eq!(config.detect_local_mode(), DetectLocalMode::BridgeInterface);
    assert_eq!(config.bridge_interface(), Some("cbr0"));
    assert_eq!(config.interface_name_prefix(), Some("veth"));
    assert_eq!(
        *config.node_port_addresses(),
        NodePortAddresses::Cidrs(cidrs(&["192.168.0.0/16", "fd00::/8"]))
    );
    assert!(config.masquerade_all());
    assert_eq!(config.min_sync_period(), Some(Duration::from_millis(60_500)));
    assert_eq!(config.sync_period(), Some(Duration::from_secs(3_600)));
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
    assert_eq!(*config.node_port_addresses(), NodePortAddresses::Primary);
}

#[test]
fn fields_without_effect_are_told_once_each_by_name_and_names_that_do_not_exist_apart() {
    let config = config(
        "mode: ipvs
ipvs: {strictARP: true, scheduler: rr}
conntrack: {maxPerCore: 32768, min: 0}
metricsBindAddress: 127.0.0.1:10249
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
            "conntrack.maxPerCore: has",
            "featureGates.SomeGate: has",
            "metricsBindAddress: has",
            "ipvs.scheduler: has",
            "ipvs.strictARP: has",
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
