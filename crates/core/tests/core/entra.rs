//! What Entra's codes mean, and the page that says the same.

use std::collections::BTreeSet;

use wio_core::entra::{EXPLANATIONS, code_in, explanation};

const PAGE: &str = include_str!("../../../../docs/troubleshooting.md");

/// A text of the page without its links.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let (words, link) = after.split_once("](").unwrap();
        plain.push_str(before);
        plain.push_str(words);
        rest = link.split_once(')').unwrap().1;
    }
    plain + rest
}

#[test]
fn the_page_has_the_same_table() {
    let rows = PAGE.lines().filter(|line| line.starts_with("| AADSTS"));
    let page: Vec<String> = rows.map(without_links).collect();
    let table: Vec<String> = EXPLANATIONS
        .iter()
        .map(|one| {
            let codes: Vec<String> = one.codes.iter().map(|code| format!("AADSTS{code}")).collect();
            format!(
                "| {} | {} | {} | {} |",
                codes.join(", "),
                one.meaning,
                one.next_step,
                one.passes
            )
        })
        .collect();
    assert_eq!(page, table, "the table should be:\n{}\n", table.join("\n"));
}

#[test]
fn a_code_has_one_explanation() {
    let codes: Vec<u32> = EXPLANATIONS.iter().flat_map(|one| one.codes).copied().collect();
    let different: BTreeSet<u32> = codes.iter().copied().collect();
    assert_eq!(codes.len(), different.len());
    for code in codes {
        assert!(explanation(code).unwrap().codes.contains(&code));
    }
    assert_eq!(explanation(1), None);
}

#[test]
fn a_code_is_found_in_entras_words() {
    for (text, code) in [
        ("AADSTS70021", Some(70_021)),
        ("aadsts700213: No matching federated identity record", Some(700_213)),
        (
            "invalid_client: 7000215 - [AADSTS7000215]: Invalid client secret.",
            Some(7_000_215),
        ),
        ("AADSTS: none; AADSTS90061 then", Some(90_061)),
        ("AADSTS99999999999999", None),
        ("70021", None),
        ("", None),
    ] {
        assert_eq!(code_in(text), code, "{text}");
    }
}
