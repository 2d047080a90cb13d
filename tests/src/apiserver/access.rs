//! What the agent may do, and no more.

use anyhow::Result;
use serde_json::json;

use super::Client;

/// The agent's user: the service account that it has in a pod.
pub const AGENT_USER: &str = "system:serviceaccount:kube-system:kube-portal";

const NAME: &str = "kube-portal";
const RBAC: &str = "rbac.authorization.k8s.io";

/// What the agent lists and watches: API groups and resources.
pub const RESOURCES: [(&str, &str); 4] = [
    ("", "nodes"),
    ("", "services"),
    ("discovery.k8s.io", "endpointslices"),
    ("networking.k8s.io", "servicecidrs"),
];

/// Lets the agent list and watch what it needs.
///
/// # Errors
///
/// The API server refuses.
pub fn allow_agent(admin: &Client) -> Result<()> {
    allow_resources(admin, &RESOURCES)?;
    admin.apply(&json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": NAME},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": NAME},
        "subjects": [{"kind": "User", "apiGroup": RBAC, "name": AGENT_USER}],
    }))?;
    Ok(())
}

/// Lets the agent list and watch only these of the [`RESOURCES`].
///
/// # Errors
///
/// The API server refuses.
pub fn allow_resources(admin: &Client, resources: &[(&str, &str)]) -> Result<()> {
    let rule = |(group, resource): &(&str, &str)| json!({"apiGroups": [group], "resources": [resource], "verbs": ["list", "watch"]});
    let rules: Vec<_> = resources.iter().map(rule).collect();
    admin.apply(&json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": {"name": NAME}, "rules": rules,
    }))?;
    Ok(())
}
