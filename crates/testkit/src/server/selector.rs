//! Label and field selectors.
//! See <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::{Expression, Selector as LabelSelector, SelectorExt};
use serde_json::Value;

use super::answer::{Answer, bad_request};
use super::resource::ResourceType;

/// Which objects of a resource a list or watch is about.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    namespace: Option<String>,
    labels: LabelSelector,
    fields: Vec<FieldRequirement>,
}

#[derive(Clone, Debug)]
struct FieldRequirement {
    path: Vec<String>,
    value: String,
    equal: bool,
}

impl Filter {
    /// # Errors
    /// 400 when a selector cannot be parsed or names a field that the resource does not index.
    pub(crate) fn parse(
        resource: &ResourceType,
        namespace: Option<&str>,
        labels: Option<&str>,
        fields: Option<&str>,
    ) -> Answer<Self> {
        let labels = parse_labels(labels.unwrap_or_default())
            .map_err(|why| bad_request(&format!("unable to parse requirement: {why}")))?;
        let fields = fields.unwrap_or_default().split(',').filter(|part| !part.is_empty());
        let fields = fields.map(|part| parse_field(resource, part)).collect::<Answer<_>>()?;
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            labels,
            fields,
        })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        if self
            .namespace
            .as_deref()
            .is_some_and(|namespace| metadata["namespace"] != namespace)
        {
            return false;
        }
        if !self.labels.selects_all() {
            let labels = metadata["labels"].as_object().into_iter().flatten();
            let labels: BTreeMap<String, String> = labels
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect();
            if !self.labels.matches(&labels) {
                return false;
            }
        }
        self.fields.iter().all(|requirement| {
            let found = requirement.path.iter().try_fold(object, |value, name| value.get(name));
            let found = found.and_then(Value::as_str).unwrap_or_default();
            (found == requirement.value) == requirement.equal
        })
    }
}

fn parse_field(resource: &ResourceType, part: &str) -> Answer<FieldRequirement> {
    let (name, value, equal) = if let Some((name, value)) = part.split_once("!=") {
        (name, value, false)
    } else if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (name, value, true)
    } else {
        return Err(bad_request(&format!(
            "invalid selector: {part:?}; can't understand {part:?}"
        )));
    };
    let indexed = ["metadata.name", "metadata.namespace"].contains(&name);
    if !indexed && !resource.selectable.iter().any(|field| field == name) {
        return Err(bad_request(&format!("field label not supported: {name}")));
    }
    Ok(FieldRequirement {
        path: name.split('.').map(str::to_owned).collect(),
        value: value.to_owned(),
        equal,
    })
}

fn parse_labels(selector: &str) -> Result<LabelSelector, String> {
    let mut requirements = Vec::new();
    let mut depth = 0_usize;
    let mut current = String::new();
    for character in selector.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if character == ',' && depth == 0 {
            requirements.push(std::mem::take(&mut current));
        } else {
            current.push(character);
        }
    }
    requirements.push(current);
    let requirements = requirements
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty());
    requirements.map(parse_requirement).collect()
}

fn parse_requirement(part: &str) -> Result<Expression, String> {
    if let Some((key, values)) = part.split_once('(') {
        let values = values
            .strip_suffix(')')
            .ok_or_else(|| format!("{part:?} has no closing parenthesis"))?;
        let values: BTreeSet<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        return match key.trim().rsplit_once(char::is_whitespace) {
            Some((key, "in")) => Ok(Expression::In(label_key(key)?, values)),
            Some((key, "notin")) => Ok(Expression::NotIn(label_key(key)?, values)),
            _ => Err(format!("{part:?} has neither \"in\" nor \"notin\"")),
        };
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Ok(Expression::NotEqual(label_key(key)?, value.trim().to_owned()));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Expression::Equal(label_key(key)?, value.trim().to_owned()));
    }
    match part.strip_prefix('!') {
        Some(key) => Ok(Expression::DoesNotExist(label_key(key)?)),
        None => Ok(Expression::Exists(label_key(part)?)),
    }
}

fn label_key(key: &str) -> Result<String, String> {
    let key = key.trim();
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
    if key.is_empty() || !key.chars().all(allowed) {
        return Err(format!("{key:?} is no label key"));
    }
    Ok(key.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::resource::builtins;
    use super::*;

    fn matches(labels: &str, fields: &str) -> bool {
        let pods = builtins()
            .into_iter()
            .find(|resource| resource.plural == "pods")
            .unwrap();
        let pod = json!({
            "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web", "tier": "front", "x.io/on": "true"}},
            "spec": {"serviceAccountName": "orders"},
        });
        Filter::parse(&pods, Some("shop"), Some(labels), Some(fields))
            .unwrap()
            .matches(&pod)
    }

    #[test]
    fn label_requirements_are_all_needed() {
        for selector in [
            "",
            "app",
            "!gone",
            "app=web",
            "app==web,tier",
            "app!=api",
            "none!=x",
            "app in (api, web),tier notin (back)",
            "x.io/on=true",
        ] {
            assert!(matches(selector, ""), "{selector}");
        }
        for selector in [
            "gone",
            "!app",
            "app=api",
            "app!=web",
            "app in (api)",
            "tier notin (front)",
            "app,gone",
            "app=web,tier=back",
        ] {
            assert!(!matches(selector, ""), "{selector}");
        }
    }

    #[test]
    fn field_requirements_are_all_needed() {
        assert!(matches(
            "",
            "metadata.name=web-1,spec.serviceAccountName=orders,metadata.namespace!=default"
        ));
        assert!(!matches("", "metadata.name=web-1,spec.serviceAccountName=default"));
    }

    #[test]
    fn a_field_that_is_not_indexed_is_refused() {
        let resource = builtins()
            .into_iter()
            .find(|resource| resource.plural == "serviceaccounts")
            .unwrap();
        let status = Filter::parse(&resource, None, None, Some("secrets.name=x")).unwrap_err();
        assert_eq!(
            (status.code, status.message.as_str()),
            (400, "field label not supported: secrets.name")
        );
    }
}
