//! What the agent may do, and no more.

use anyhow::Result;
use serde_json::json;

use super::Client;

/// The agent's user: the service account that it has in a pod.
pub const AGENT_USER: &str = "system:serviceaccount:kube-system:kube-portal";

const NAME: &str = "kube-portal";
const RBAC: &str = "rbac.authorization.k8s.io";

/// Lets the agent list and watch what it needs.
///
/// # Errors
///
/// The API server refuses.
pub fn allow_agent(admin: &Client) -> Result<()> {
    admin.apply(&json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": {"name": NAME},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "nodes"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            {"apiGroups": ["networking.k8s.io"], "resources": ["servicecidrs"], "verbs": ["list", "watch"]},
        ],
    }))?;
    admin.apply(&json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": NAME},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": NAME},
        "subjects": [{"kind": "User", "apiGroup": RBAC, "name": AGENT_USER}],
    }))?;
    Ok(())
}
