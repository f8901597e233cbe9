//! The built-in roles that can be written by their names: every one of Microsoft's list ([`super::built_in_roles_table`]).
//! <https://learn.microsoft.com/azure/role-based-access-control/built-in-roles>

use uuid::Uuid;

use super::built_in_roles_table::BUILT_IN;

/// The GUID of the built-in role of this name, in whatever case.
pub(super) fn guid_of(name: &str) -> Option<Uuid> {
    BUILT_IN
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, guid)| *guid)
}

/// The names of a built-in role, the present one first.
pub(super) fn names_of(guid: Uuid) -> impl Iterator<Item = &'static str> {
    BUILT_IN
        .iter()
        .filter(move |(_, known)| *known == guid)
        .map(|(name, _)| *name)
}

/// How many letters may be wrong in a name for it to be taken for another one: a slip, and not another role.
const SLIPS_MAX: usize = 3;

/// The name that was probably meant by one that no role has. Only names of about that length are compared, so that a long text costs no more
/// than a short one.
pub(super) fn meant_by(name: &str) -> Option<&'static str> {
    let text: Vec<char> = name.to_lowercase().chars().collect();
    let near = |known: &str| known.len().abs_diff(text.len()) <= SLIPS_MAX;
    let all = BUILT_IN.iter().map(|(known, _)| *known);
    let slips = all
        .filter(|known| near(known))
        .map(|known| (slips(&text, known), known));
    let (fewest, known) = slips.min_by_key(|(slips, _)| *slips)?;
    // Of a short name a few letters are most of it.
    (fewest <= SLIPS_MAX && fewest * SLIPS_MAX < text.len()).then_some(known)
}

/// How many letters must be put in, taken out or replaced to make one of the other (Levenshtein's distance).
fn slips(text: &[char], known: &str) -> usize {
    let mut row: Vec<usize> = (0..=text.len()).collect();
    for (at, letter) in known.chars().enumerate() {
        let letter = letter.to_ascii_lowercase();
        let mut left = at + 1;
        let mut diagonal = at;
        for (above, own) in row.iter_mut().skip(1).zip(text) {
            let replaced = diagonal + usize::from(*own != letter);
            diagonal = *above;
            left = replaced.min(left + 1).min(*above + 1);
            *above = left;
        }
    }
    row.last().copied().unwrap_or_default()
}
