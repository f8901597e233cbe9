//! Names that are near to one that nobody has.

/// The most that are told.
const MOST: usize = 3;
/// The longest name that is compared: what is asked may be a page that was pasted.
const LONGEST: usize = 100;

/// The nearest of some names, nearest first: those that differ in a third of their letters at most, and those that contain it.
pub(crate) fn to(asked: &str, names: &[String]) -> Vec<String> {
    const SHORTEST_PART: usize = 4;
    let asked: Vec<char> = asked.to_lowercase().chars().take(LONGEST).collect();
    let text: String = asked.iter().collect();
    let mut near: Vec<(usize, &String)> = names
        .iter()
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let letters: Vec<char> = lower.chars().collect();
            let apart = distance(&asked, &letters);
            let part = asked.len() >= SHORTEST_PART && lower.contains(&text);
            (part || apart * 3 <= letters.len().max(asked.len())).then_some((apart, name))
        })
        .collect();
    near.sort();
    near.into_iter().take(MOST).map(|(_, name)| name.clone()).collect()
}

/// How many letters have to be put in, taken out or changed to make one of the other.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, a) in one.iter().enumerate() {
        let mut next = vec![line + 1];
        let mut left = line + 1;
        let above = row.iter().zip(row.iter().skip(1));
        for ((diagonal, up), b) in above.zip(other) {
            left = (diagonal + usize::from(a != b)).min(up + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(one: &str, other: &str) -> usize {
        let letters = |text: &str| text.chars().collect::<Vec<char>>();
        distance(&letters(one), &letters(other))
    }

    #[test]
    fn a_distance_counts_letters() {
        assert_eq!(apart("", ""), 0);
        assert_eq!(apart("abc", ""), 3);
        assert_eq!(apart("", "abc"), 3);
        assert_eq!(apart("kitten", "sitting"), 3);
        assert_eq!(apart("ab", "ba"), 2);
    }

    #[test]
    fn the_nearest_come_first_and_strangers_not_at_all() {
        let names = ["ScopeLocked", "RoleScopeNotFound", "NotPermitted"].map(str::to_owned);
        assert_eq!(to("scopelokced", &names), ["ScopeLocked"]);
        assert_eq!(to("scope", &names), ["ScopeLocked", "RoleScopeNotFound"]);
        assert_eq!(to("entirely-else", &names), Vec::<String>::new());
        assert_eq!(to("", &names), Vec::<String>::new());
    }
}
