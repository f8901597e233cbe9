//! The `CustomResourceDefinition` as it is installed.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use crate::binding::WorkloadIdentityBinding;
use crate::effective::WorkloadIdentityEffectivePolicy;
use crate::policy::WorkloadIdentityPolicy;

/// The definition of `WorkloadIdentityBinding` as it is installed: the derived one, and
/// - `status` defaults to `observedGeneration: -1`, so that tools which follow kstatus do not take an object that the
///   operator has not seen yet for a ready one;
/// - no field is nullable: the API server drops an explicit null, and a rule needs to ask only whether a field is there;
/// - no field of a list's items has a default: `kubectl apply` does not see that the API server filled it in, and says `configured`
///   whenever nothing has changed. Whoever reads such an object supplies them, and its description tells them;
/// - integers have formats that Kubernetes knows;
/// - a description's lines are joined, because `kubectl explain` wraps them itself.
#[must_use]
pub fn crd() -> CustomResourceDefinition {
    installed(WorkloadIdentityBinding::crd())
}

/// The definition of `WorkloadIdentityPolicy` as it is installed, with the same changes.
#[must_use]
pub fn policy_crd() -> CustomResourceDefinition {
    installed(WorkloadIdentityPolicy::crd())
}

/// The definition of `WorkloadIdentityEffectivePolicy` as it is installed, with the same changes; it has no status.
#[must_use]
pub fn effective_policy_crd() -> CustomResourceDefinition {
    installed(WorkloadIdentityEffectivePolicy::crd())
}

fn installed(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(root) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        conform(root);
        without_defaults_in_items(root);
        if let Some(status) = root.properties.as_mut().and_then(|fields| fields.get_mut("status")) {
            status.default = Some(JSON(json!({"observedGeneration": -1})));
        }
    }
    crd
}

fn conform(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(description) = &mut schema.description {
        *description = join_lines(description);
    }
    if schema.format.as_deref() == Some("uint32") {
        schema.format = Some("int32".to_owned());
    }
    schema
        .properties
        .iter_mut()
        .flat_map(|fields| fields.values_mut())
        .for_each(conform);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        conform(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        conform(values);
    }
}

fn without_defaults_in_items(schema: &mut JSONSchemaProps) {
    each_below(schema, &mut |below| {
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut below.items {
            each_below(items, &mut |field| field.default = None);
        }
    });
}

/// Visits a schema and all that is below it.
fn each_below(schema: &mut JSONSchemaProps, visit: &mut dyn FnMut(&mut JSONSchemaProps)) {
    visit(schema);
    for field in schema.properties.iter_mut().flat_map(|fields| fields.values_mut()) {
        each_below(field, visit);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        each_below(items, visit);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        each_below(values, visit);
    }
}

/// One line for each paragraph.
fn join_lines(text: &str) -> String {
    let paragraphs: Vec<String> = text
        .split("\n\n")
        .map(|paragraph| paragraph.replace('\n', " "))
        .collect();
    paragraphs.join("\n\n")
}
