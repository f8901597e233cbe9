//! The chart's share of what is generated: the same YAML, with the chart's labels and conditions.

use anyhow::{Context, ensure};

const LABELS: &str = "    {{- include \"workload-identity-operator.labels\" . | nindent 4 }}\n";

/// The CRD behind `crds.enabled`, kept at uninstallation behind `crds.keep`.
pub(crate) fn crd(yaml: &str) -> anyhow::Result<String> {
    let yaml = labelled(yaml)?;
    let (before, after) = yaml.split_once("metadata:\n").context("the CRD has no metadata")?;
    Ok(format!(
        "{{{{- if .Values.crds.enabled }}}}\n\
         {before}metadata:\n  \
           {{{{- if .Values.crds.keep }}}}\n  \
           annotations:\n    \
             # Uninstalling the chart keeps the definition, and with it every binding.\n    \
             helm.sh/resource-policy: keep\n  \
           {{{{- end }}}}\n\
         {after}{{{{- end }}}}\n"
    ))
}

/// Objects that carry the chart's labels in the place of the one that `config` puts on everything.
pub(crate) fn labelled(yaml: &str) -> anyhow::Result<String> {
    ensure_plain(yaml)?;
    Ok(yaml.replace("    app.kubernetes.io/name: workload-identity-operator\n", LABELS))
}

/// Helm would take these as its own.
fn ensure_plain(yaml: &str) -> anyhow::Result<()> {
    ensure!(
        !yaml.contains("{{"),
        "a generated text contains {{{{, which Helm would interpret"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crd_is_wrapped_and_otherwise_unchanged() {
        let wrapped = crd("kind: X\nmetadata:\n  name: x\nspec: {}\n").unwrap();
        assert!(
            wrapped.starts_with(
                "{{- if .Values.crds.enabled }}\nkind: X\nmetadata:\n  {{- if .Values.crds.keep }}\n  annotations:\n"
            ),
            "{wrapped}"
        );
        assert!(
            wrapped.ends_with("  {{- end }}\n  name: x\nspec: {}\n{{- end }}\n"),
            "{wrapped}"
        );
    }

    #[test]
    fn what_helm_would_interpret_is_refused() {
        assert!(crd("metadata:\n  description: use {{ this }}\n").is_err());
        assert!(labelled("{{").is_err());
    }
}
