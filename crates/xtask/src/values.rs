//! The chart's values: their table in the chart's README and their descriptions in its schema, both from the comments of `values.yaml`.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, bail};
use serde_json::Value;

const VALUES: &str = include_str!("../../../charts/workload-identity-operator/values.yaml");
const SCHEMA: &str = include_str!("../../../charts/workload-identity-operator/values.schema.json");
const README: &str = include_str!("../../../charts/workload-identity-operator/README.md");

/// Around the table in the README; all else there is written by hand.
const BEGIN: &str = "<!-- values, by `cargo xtask generate` -->\n";
const END: &str = "<!-- end of values -->\n";

/// A value, and the comment above it.
#[derive(Debug, PartialEq, Eq)]
struct Documented {
    /// Its name, as `--set` takes it.
    name: String,
    about: String,
}

/// The README with the table of values.
pub(crate) fn readme() -> anyhow::Result<String> {
    let (before, rest) = README
        .split_once(BEGIN)
        .context("the chart's README has no place for values")?;
    let (_, after) = rest
        .split_once(END)
        .context("the chart's README does not end its values")?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", table(VALUES)?))
}

/// The schema with a description of every value.
pub(crate) fn schema() -> anyhow::Result<String> {
    let schema = described(&serde_json::from_str(SCHEMA)?, VALUES)?;
    Ok(serde_json::to_string_pretty(&sorted(&schema))? + "\n")
}

/// The commented values, in their order.
fn documented(yaml: &str) -> Vec<Documented> {
    let mut all = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut path: Vec<&str> = Vec::new();
    for line in yaml.lines() {
        let text = line.trim_start();
        if let Some(words) = text.strip_prefix('#') {
            comment.push(words.trim());
            continue;
        }
        if let Some((key, _)) = text.split_once(':').filter(|_| !text.starts_with('-')) {
            path.truncate((line.len() - text.len()) / 2);
            path.push(key);
            if !comment.is_empty() {
                all.push(Documented {
                    name: path.join("."),
                    about: comment.join(" "),
                });
            }
        }
        comment.clear();
    }
    all
}

fn table(yaml: &str) -> anyhow::Result<String> {
    let values: Value = serde_yaml_ng::from_str(yaml)?;
    let documented = documented(yaml);
    let mut text = "| value | default | meaning |\n|---|---|---|\n".to_owned();
    for value in &documented {
        let section = format!("{}.", value.name);
        let is_section = documented.iter().any(|other| other.name.starts_with(&section));
        let default = at(&values, &value.name).with_context(|| format!("{} has no default", value.name))?;
        let name = if is_section {
            format!("**`{}`**", value.name)
        } else {
            format!("`{}`", value.name)
        };
        let shown = if is_section {
            String::new()
        } else {
            format!("`{}`", serde_json::to_string(&sorted(default))?)
        };
        let _ = writeln!(
            text,
            "| {name} | {shown} | {} |",
            value.about.replace('|', "\\|").replace('<', "\\<")
        );
    }
    Ok(text)
}

fn at<'a>(values: &'a Value, name: &str) -> Option<&'a Value> {
    name.split('.').try_fold(values, |value, key| value.get(key))
}

/// The schema, described by the comments.
fn described(schema: &Value, yaml: &str) -> anyhow::Result<Value> {
    let about: BTreeMap<String, String> = documented(yaml)
        .into_iter()
        .map(|value| (value.name, value.about))
        .collect();
    let mut schema = schema.clone();
    describe("", &mut schema, &about)?;
    Ok(schema)
}

/// Sets the descriptions below a value. A value is described as a whole, or each of its parts is.
fn describe(name: &str, schema: &mut Value, about: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let below = format!("{name}.");
    let in_parts = name.is_empty() || about.keys().any(|other| other.starts_with(&below));
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return Ok(());
    };
    for (key, property) in properties.iter_mut() {
        let name = if name.is_empty() {
            key.clone()
        } else {
            format!("{name}.{key}")
        };
        match (about.get(&name), property.as_object_mut()) {
            (Some(about), Some(property)) => {
                property.insert("description".to_owned(), Value::from(about.as_str()));
            }
            (None, _) if in_parts => bail!("values.yaml says nothing of {name}"),
            _ => {}
        }
        describe(&name, property, about)?;
    }
    Ok(())
}

/// The value with the keys of all maps in order, whatever serde_json keeps.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<_, _> = map.iter().collect();
            ordered
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const YAML: &str = "# Where.\nazure:\n  # The region, |\n  # for example.\n  location: \"\"\n  list:\n    - key: x\n\n# Lost.\n\n# All.\nprobe:\n  periodSeconds: 1\n";

    #[test]
    fn a_value_is_what_the_comment_right_above_it_says() {
        let names: Vec<(String, String)> = documented(YAML).into_iter().map(|it| (it.name, it.about)).collect();
        assert_eq!(
            names,
            [
                ("azure".to_owned(), "Where.".to_owned()),
                ("azure.location".to_owned(), "The region, | for example.".to_owned()),
                ("probe".to_owned(), "All.".to_owned())
            ]
        );
    }

    #[test]
    fn the_table_has_defaults_and_whole_maps() {
        let table = table(YAML).unwrap();
        assert!(table.contains("| **`azure`** |  | Where. |\n"), "{table}");
        assert!(
            table.contains("| `azure.location` | `\"\"` | The region, \\| for example. |\n"),
            "{table}"
        );
        assert!(
            table.contains("| `probe` | `{\"periodSeconds\":1}` | All. |\n"),
            "{table}"
        );
    }

    #[test]
    fn a_value_of_which_nothing_is_said_is_named() {
        let schema =
            json!({"properties": {"azure": {"properties": {"location": {}}}, "probe": {"properties": {"x": {}}}}});
        let described = super::described(&schema, YAML).unwrap();
        assert_eq!(
            described["properties"]["azure"]["properties"]["location"]["description"],
            "The region, | for example."
        );
        assert_eq!(
            described["properties"]["probe"]["properties"]["x"],
            json!({}),
            "it is described as a whole"
        );
        let unsaid = json!({"properties": {"azure": {"properties": {"list": {}}}}});
        let error = super::described(&unsaid, YAML).unwrap_err().to_string();
        assert!(error.contains("azure.list"), "{error}");
    }
}
