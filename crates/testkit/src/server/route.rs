//! Which operation a request asks for.

use std::collections::BTreeMap;

use http::{Method, Uri};

use super::log::Verb;

/// The parts of a request's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
}

impl Address {
    /// The address of a resource, or None when the path is none of a resource.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            // `namespaces/x` and its subresources are the namespace itself.
            ["namespaces", _, "status" | "finalize"] => ("", rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, "", ""),
            [plural, name] => (*plural, *name, ""),
            [plural, name, subresource] => (*plural, *name, *subresource),
            _ => return None,
        };
        Some(Self {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        })
    }
}

/// The parameters of a request's query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    pub(crate) fn parse(uri: &Uri) -> Self {
        let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// The parameter's value; an empty one counts as absent, as in Go.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| ["true", "1"].contains(&value))
    }
}

/// The verb of a request, as the audit log calls it; None for a method that is not served.
pub(crate) fn verb(method: &Method, address: &Address, query: &Query, content_type: &str) -> Option<Verb> {
    let many = address.name.is_empty();
    Some(match *method {
        Method::GET if query.is_true("watch") => Verb::Watch,
        Method::GET if many && !address.plural.is_empty() => Verb::List,
        Method::GET => Verb::Get,
        Method::POST if many || address.subresource == "token" => Verb::Create,
        Method::PUT if !many => Verb::Update,
        Method::PATCH if !many && content_type.starts_with("application/apply-patch") => Verb::Apply,
        Method::PATCH if !many => Verb::Patch,
        Method::DELETE if many => Verb::DeleteCollection,
        Method::DELETE => Verb::Delete,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(path: &str) -> Option<[String; 6]> {
        let a = Address::parse(path)?;
        Some([a.group, a.version, a.plural, a.namespace, a.name, a.subresource])
    }

    #[test]
    fn paths_are_taken_apart() {
        for (path, expected) in [
            ("/api/v1/namespaces", ["", "v1", "namespaces", "", "", ""]),
            ("/api/v1/namespaces/shop", ["", "v1", "namespaces", "", "shop", ""]),
            (
                "/api/v1/namespaces/shop/status",
                ["", "v1", "namespaces", "", "shop", "status"],
            ),
            ("/api/v1/pods", ["", "v1", "pods", "", "", ""]),
            (
                "/api/v1/namespaces/shop/serviceaccounts",
                ["", "v1", "serviceaccounts", "shop", "", ""],
            ),
            (
                "/api/v1/namespaces/shop/serviceaccounts/orders",
                ["", "v1", "serviceaccounts", "shop", "orders", ""],
            ),
            (
                "/apis/x.dev/v1alpha1/things",
                ["x.dev", "v1alpha1", "things", "", "", ""],
            ),
            (
                "/apis/x.dev/v1alpha1/namespaces/shop/things/a/status",
                ["x.dev", "v1alpha1", "things", "shop", "a", "status"],
            ),
        ] {
            assert_eq!(parts(path), Some(expected.map(str::to_owned)), "{path}");
        }
        for path in [
            "/version",
            "/api/v1",
            "/apis/x.dev/v1",
            "/.well-known/openid-configuration",
        ] {
            assert_eq!(parts(path), None, "{path}");
        }
    }
}
