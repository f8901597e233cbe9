//! Azure's rules for names.

use uuid::Uuid;

fn all_within(name: &str, extra: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

fn starts_alphanumeric(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// `^[A-Za-z0-9][A-Za-z0-9_-]{2,127}$`
pub(crate) fn is_identity_name(name: &str) -> bool {
    (3..=128).contains(&name.len()) && starts_alphanumeric(name) && all_within(name, "-_")
}

/// `^[a-zA-Z0-9][a-zA-Z0-9-_]{2,119}$`
pub(crate) fn is_credential_name(name: &str) -> bool {
    (3..=120).contains(&name.len()) && starts_alphanumeric(name) && all_within(name, "-_")
}

/// `^[-\w._()]*[-\w_()]$`, at most 90
pub(crate) fn is_group_name(name: &str) -> bool {
    let fits = name.chars().all(|c| c.is_alphanumeric() || "-_.()".contains(c));
    (1..=90).contains(&name.chars().count()) && fits && !name.ends_with('.')
}

/// A GUID in the only form that ARM takes: 32 digits with hyphens.
pub(crate) fn guid(text: &str) -> Option<Uuid> {
    if text.len() == 36 {
        Uuid::try_parse(text).ok()
    } else {
        None
    }
}

/// A region as ARM stores it: `West Europe` is `westeurope`.
pub(crate) fn region(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_the_rules() {
        assert!(is_identity_name("ide") && !is_identity_name("id") && !is_identity_name("-id"));
        assert!(is_identity_name(&"a".repeat(128)) && !is_identity_name(&"a".repeat(129)));
        assert!(is_credential_name(&"a".repeat(120)) && !is_credential_name(&"a".repeat(121)));
        assert!(!is_credential_name("a.b") && !is_credential_name("_ab") && is_credential_name("a-_"));
        assert!(is_group_name("a.(b)") && !is_group_name("a.") && !is_group_name("") && !is_group_name("a/b"));
    }

    #[test]
    fn a_guid_has_hyphens() {
        assert!(guid("05c5a614-a7d6-4502-b150-c2fb455033ff").is_some());
        assert!(guid("05c5a614a7d64502b150c2fb455033ff").is_none());
    }
}
