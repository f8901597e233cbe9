//! `docs/ARCHITECTURE.md` against the source: its map names every module, and its walk only functions that there are.

use std::collections::BTreeMap;

use crate::modules::Tree;

/// Where both stand.
pub(crate) const DOCUMENT: &str = "docs/ARCHITECTURE.md";

const MAP: &str = "## Module map";
const WALK: &str = "## The walk";

/// How a row of the map looks; `lib.rs` has none.
const ROW: &str = "under `### <crate>`, a row \"| `<path below src without .rs or /mod.rs>` | what it holds |\"";
/// How a function is named.
const NAME: &str = "`<crate>::<module>::<function>` or `<crate>::<module>::<Type>::<method>`, the module being the file that defines it";

/// Where the map of modules and the modules differ.
pub(crate) fn module_map(document: &str, trees: &[Tree]) -> Vec<String> {
    let Some(map) = section(document, MAP) else {
        return vec![format!("{DOCUMENT} has no section \"{MAP}\": {ROW}")];
    };
    let rows = rows(&map);
    let mut problems = Vec::new();
    for (krate, row) in rows
        .keys()
        .filter(|(krate, _)| !trees.iter().any(|tree| tree.name == *krate))
    {
        problems.push(format!(
            "the map in {DOCUMENT} names {row} under \"{krate}\", which is none of the crates that it maps: {ROW}"
        ));
    }
    for tree in trees {
        let modules: Vec<&str> = tree
            .modules
            .iter()
            .map(|module| module.name.as_str())
            .filter(|name| *name != "lib")
            .collect();
        for module in &modules {
            match rows.get(&(tree.name.as_str(), *module)) {
                None => problems.push(format!("the map in {DOCUMENT} lacks {module} of {}: {ROW}", tree.name)),
                Some(1) => {}
                Some(_) => problems.push(format!(
                    "the map in {DOCUMENT} names {module} of {} more than once",
                    tree.name
                )),
            }
        }
        for (_, row) in rows
            .keys()
            .filter(|(krate, row)| *krate == tree.name && !modules.contains(row))
        {
            problems.push(format!(
                "the map in {DOCUMENT} names {row}, which is no module of {}: {ROW}",
                tree.name
            ));
        }
    }
    problems
}

/// What the walk names and the source does not define.
pub(crate) fn walk(document: &str, trees: &[Tree]) -> Vec<String> {
    let Some(walk) = section(document, WALK) else {
        return vec![format!(
            "{DOCUMENT} has no section \"{WALK}\" with the functions of one pass in order, each as {NAME}"
        )];
    };
    let mut names = walk
        .iter()
        .flat_map(|line| code(line))
        .filter(|name| name.contains("::"))
        .peekable();
    if names.peek().is_none() {
        return vec![format!("the walk in {DOCUMENT} names no function: name each as {NAME}")];
    }
    names.filter_map(|name| unknown(name, trees)).collect()
}

/// What is wrong with a name, and where a function of that name is.
fn unknown(written: &str, trees: &[Tree]) -> Option<String> {
    let name = written.split('(').next().unwrap_or_default();
    let all = || {
        trees.iter().flat_map(|tree| {
            tree.modules.iter().flat_map(move |module| {
                let path = if module.name == "lib" {
                    String::new()
                } else {
                    module.name.replace('/', "::") + "::"
                };
                module
                    .functions
                    .iter()
                    .map(move |function| format!("{}::{path}{function}", tree.name))
            })
        })
    };
    if all().any(|known| known == name) {
        return None;
    }
    let last = name.rsplit("::").next().unwrap_or_default();
    let similar: Vec<String> = all()
        .filter(|known| known.rsplit("::").next() == Some(last))
        .map(|known| format!("`{known}`"))
        .collect();
    let instead = match similar.as_slice() {
        [] => String::new(),
        found => format!("; there is {}", found.join(", ")),
    };
    Some(format!(
        "the walk in {DOCUMENT} names `{name}`, which is not defined: name functions as {NAME}{instead}"
    ))
}

/// How often each module is named, by the crate under whose heading its row stands.
fn rows<'text>(section: &[&'text str]) -> BTreeMap<(&'text str, &'text str), usize> {
    let mut krate = "";
    let mut rows = BTreeMap::new();
    for line in section {
        if let Some(heading) = line.strip_prefix("### ") {
            let word = heading.split_whitespace().next().unwrap_or_default();
            krate = word
                .trim_matches(|c| c == '`' || c == ':')
                .trim_start_matches("crates/");
        } else if line.starts_with("| `")
            && let Some(module) = code(line).next()
        {
            *rows.entry((krate, module)).or_default() += 1;
        }
    }
    rows
}

/// The lines under a heading, up to the next of its rank.
fn section<'text>(document: &'text str, heading: &str) -> Option<Vec<&'text str>> {
    let mut lines = document.lines().skip_while(|line| line.trim_end() != heading);
    lines.next()?;
    Some(
        lines
            .take_while(|line| !line.starts_with("## ") && !line.starts_with("# "))
            .collect(),
    )
}

/// What stands between backticks in a line.
fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::tree;

    fn trees() -> [Tree; 2] {
        let core = [
            ("lib.rs", "mod plan; mod names; pub fn start() {}"),
            ("names.rs", "impl Name { pub fn parse() {} }"),
            ("plan/mod.rs", "mod bound; pub fn plan() {} #[cfg(test)] mod tests;"),
            ("plan/bound.rs", "pub fn plan_bound() {}"),
        ];
        let azure = [
            ("lib.rs", "mod pipeline;"),
            ("pipeline.rs", "trait Door { fn send(); }"),
        ];
        [tree("core", &core), tree("azure", &azure)]
    }

    const GOOD: &str = "# Architecture\n\n## Module map\nWhat is where.\n\n### core\n| module | what |\n|---|---|\n| `names` | names, `x` |\n\
                        | `plan` | the plan |\n| `plan/bound` | bound |\n\n### `crates/azure`: the way\n| `pipeline` | requests |\n\n\
                        ## The walk\n1. `core::start` then `core::names::Name::parse`, in `one moment`\n2. `core::plan::plan(..)`\n\
                        3. `azure::pipeline::Door::send`\n\n## Next\n| `gone` | `core::gone::f` |\n";

    /// What is wrong with the good document when one text is in the place of another.
    fn changed(from: &str, to: &str) -> Vec<String> {
        assert!(GOOD.contains(from), "{from}");
        let document = GOOD.replace(from, to);
        [module_map(&document, &trees()), walk(&document, &trees())].concat()
    }

    #[test]
    fn a_document_that_says_what_is_there_is_right() {
        assert_eq!(changed("Next", "Later"), Vec::<String>::new());
    }

    #[test]
    fn a_module_that_is_missing_in_the_map_is_named() {
        let found = changed("| `plan/bound` | bound |\n", "");
        assert!(
            matches!(found.as_slice(), [one] if one.contains("lacks plan/bound of core")),
            "{found:?}"
        );
    }

    #[test]
    fn a_row_that_names_no_module_or_one_twice_or_another_crates_is_named() {
        let found = changed("| `names` |", "| `name` |");
        assert!(found.iter().any(|it| it.contains("lacks names of core")), "{found:?}");
        assert!(
            found
                .iter()
                .any(|it| it.contains("names name, which is no module of core")),
            "{found:?}"
        );
        let found = changed("| `names` |", "| `plan` |");
        assert!(
            found.iter().any(|it| it.contains("names plan of core more than once")),
            "{found:?}"
        );
        let found = changed("### core", "### cores");
        assert!(
            found.iter().any(|it| it.contains("names names under \"cores\"")),
            "{found:?}"
        );
    }

    #[test]
    fn a_function_that_is_not_defined_is_named_with_those_of_its_name() {
        let found = changed("`core::plan::plan(..)`", "`core::plan::bound::plan(..)`");
        assert!(
            matches!(found.as_slice(), [one] if one.contains("`core::plan::bound::plan`") && one.contains("there is `core::plan::plan`")),
            "{found:?}"
        );
        assert_eq!(changed("`core::names::Name::parse`", "`core::names::parse`").len(), 1);
        assert_eq!(changed("`core::names::Name::parse`", "`names::Name::parse`").len(), 1);
    }

    #[test]
    fn a_document_without_map_or_walk_is_refused() {
        assert!(changed("## Module map", "## Map")[0].contains("has no section \"## Module map\""));
        assert!(changed("## The walk", "## A walk")[0].contains("has no section \"## The walk\""));
        assert!(walk("## The walk\nNothing.\n## Next", &trees())[0].contains("names no function"));
    }
}
