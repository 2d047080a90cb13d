//! `networking.k8s.io/v1` ServiceCIDR.

use k8s_openapi::api::networking::v1 as networking;

use super::{ConvertError, Subject, parse_cidr};
use crate::model::{ObjectKind, ServiceCidr};

/// Converts a ServiceCIDR; ranges that are not valid are left out.
///
/// # Errors
/// If it has no name.
pub fn service_cidr(object: &networking::ServiceCIDR) -> Result<Option<ServiceCidr>, ConvertError> {
    let subject = Subject::cluster_scoped(ObjectKind::ServiceCIDR, &object.metadata)?;
    let cidrs = object.spec.as_ref().and_then(|spec| spec.cidrs.clone());
    Ok(Some(ServiceCidr {
        cidrs: subject.keep_valid("spec.cidrs", cidrs.unwrap_or_default(), parse_cidr),
        name: subject.name.name,
    }))
}
