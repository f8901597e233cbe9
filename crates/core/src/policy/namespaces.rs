//! Which namespaces a policy is for.
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>

use std::collections::{BTreeMap, BTreeSet};

use wio_api::{
    EffectiveRequirement, EffectiveSelector, NamespaceRequirement, NamespaceSelector, PolicyNamespaces,
    SelectorOperator,
};

use crate::names::{InvalidName, LabelKey, LabelValue, Namespace};

/// A namespace as policies select it: its name and its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// The namespace.
    pub name: Namespace,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// The namespaces of a policy: named ones, and selected ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Namespaces {
    names: BTreeSet<Namespace>,
    /// Every one must hold; none when nothing is selected.
    selector: Option<Vec<Requirement>>,
}

/// The requirement on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: LabelKey,
    is: Is,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Is {
    OneOf(BTreeSet<LabelValue>),
    /// As Kubernetes has it, also a label that is not there is none of them.
    NoneOf(BTreeSet<LabelValue>),
    There,
    Absent,
}

impl Namespaces {
    /// No namespace.
    pub(super) const fn none() -> Self {
        Self {
            names: BTreeSet::new(),
            selector: None,
        }
    }

    /// Those that can be parsed; `tell` is told of every other one. A selector of which a part cannot be parsed selects
    /// nothing, because without that part it would select more.
    pub(super) fn parse(asked: &PolicyNamespaces, tell: &mut impl FnMut(String, String)) -> Self {
        let mut names = BTreeSet::new();
        for (index, name) in asked.names.iter().enumerate() {
            match name.parse::<Namespace>() {
                Ok(name) => drop(names.insert(name)),
                Err(problem) => tell(format!("spec.namespaces.names[{index}]"), problem.to_string()),
            }
        }
        let selector = asked.selector.as_ref().and_then(|asked| selector(asked, tell));
        Self { names, selector }
    }

    /// Whether a namespace is one of them.
    pub(super) fn hold(&self, namespace: &NamespaceFacts) -> bool {
        let selected =
            |selector: &Vec<Requirement>| selector.iter().all(|requirement| requirement.holds(&namespace.labels));
        self.names.contains(&namespace.name) || self.selector.as_ref().is_some_and(selected)
    }

    /// Those that are named.
    pub(super) fn names(&self) -> impl Iterator<Item = &Namespace> {
        self.names.iter()
    }

    /// Whether some are selected by their labels.
    pub(super) const fn select(&self) -> bool {
        self.selector.is_some()
    }

    /// The names, for admission.
    pub(super) fn named(&self) -> Vec<String> {
        self.names.iter().map(ToString::to_string).collect()
    }

    /// What is selected, for admission.
    pub(super) fn selected(&self) -> Option<EffectiveSelector> {
        let requirements = self.selector.as_ref()?;
        Some(EffectiveSelector {
            match_expressions: requirements.iter().map(Requirement::effective).collect(),
        })
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(self.key.as_str());
        let is_in =
            |values: &BTreeSet<LabelValue>| value.is_some_and(|is| values.iter().any(|value| value.as_str() == is));
        match &self.is {
            Is::OneOf(values) => is_in(values),
            Is::NoneOf(values) => !is_in(values),
            Is::There => value.is_some(),
            Is::Absent => value.is_none(),
        }
    }

    fn effective(&self) -> EffectiveRequirement {
        let texts = |values: &BTreeSet<LabelValue>| values.iter().map(ToString::to_string).collect();
        let (operator, values) = match &self.is {
            Is::OneOf(values) => (SelectorOperator::In, texts(values)),
            Is::NoneOf(values) => (SelectorOperator::NotIn, texts(values)),
            Is::There => (SelectorOperator::Exists, Vec::new()),
            Is::Absent => (SelectorOperator::DoesNotExist, Vec::new()),
        };
        EffectiveRequirement {
            key: self.key.to_string(),
            operator,
            values,
        }
    }
}

fn selector(asked: &NamespaceSelector, tell: &mut impl FnMut(String, String)) -> Option<Vec<Requirement>> {
    const FIELD: &str = "spec.namespaces.selector";
    let labels = asked.match_labels.iter().map(|(key, value)| {
        let field = format!("{FIELD}.matchLabels");
        let exactly = || {
            let is = Is::OneOf(BTreeSet::from([value.parse()?]));
            Ok(Requirement { key: key.parse()?, is })
        };
        exactly().map_err(|problem: InvalidName| (field, problem.to_string()))
    });
    let expressions = asked.match_expressions.iter().enumerate().map(|(index, asked)| {
        let field = format!("{FIELD}.matchExpressions[{index}]");
        requirement(asked).map_err(|problem| (field, problem))
    });
    let mut parsed = Some(Vec::new());
    for requirement in labels.chain(expressions) {
        match requirement {
            Ok(requirement) => {
                if let Some(parsed) = &mut parsed {
                    parsed.push(requirement);
                }
            }
            Err((field, problem)) => {
                tell(field, problem);
                parsed = None;
            }
        }
    }
    parsed
}

fn requirement(asked: &NamespaceRequirement) -> Result<Requirement, String> {
    let told = |problem: InvalidName| problem.to_string();
    let values: BTreeSet<LabelValue> = asked
        .values
        .iter()
        .map(|value| value.parse())
        .collect::<Result<_, _>>()
        .map_err(told)?;
    let is = match (asked.operator, values.is_empty()) {
        (SelectorOperator::In, false) => Is::OneOf(values),
        (SelectorOperator::NotIn, false) => Is::NoneOf(values),
        (SelectorOperator::Exists, true) => Is::There,
        (SelectorOperator::DoesNotExist, true) => Is::Absent,
        (operator, none) => {
            let what = if none { "no values" } else { "values" };
            return Err(format!(
                "{operator:?} has {what}; In and NotIn need values, and Exists and DoesNotExist take none"
            ));
        }
    };
    Ok(Requirement {
        key: asked.key.parse().map_err(told)?,
        is,
    })
}
