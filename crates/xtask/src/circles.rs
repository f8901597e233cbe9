//! No circle among the modules of a crate: one that can be read only together with another is not a module.

use std::collections::BTreeSet;
use std::fmt::Write;

use petgraph::algo::{astar, tarjan_scc};
use petgraph::graphmap::DiGraphMap;

use crate::mentions::Mention;
use crate::modules::Tree;

/// Which module uses which, with an example.
type Graph<'tree> = DiGraphMap<usize, &'tree Mention>;

/// The circles of a crate: a message for each group of modules that all use one another.
pub(crate) fn circles(tree: &Tree) -> Vec<String> {
    let mut graph = Graph::new();
    for it in tree.uses() {
        graph.add_edge(it.from, it.to, it.example);
    }
    let groups = tarjan_scc(&graph).into_iter().filter(|group| group.len() > 1);
    groups.map(|group| message(tree, &graph, &group)).collect()
}

/// For each arrow within the group the shortest way back, so that each is on one of the circles.
fn within(graph: &Graph<'_>, group: &[usize]) -> BTreeSet<(usize, Vec<usize>)> {
    let arrows = graph
        .all_edges()
        .filter(|(from, to, _)| group.contains(from) && group.contains(to));
    arrows
        .filter_map(|(from, to, _)| astar(graph, to, |module| module == from, |_| 1, |_| 0))
        .map(|(_, mut circle)| {
            // The same circle begins with the same module, wherever it was entered.
            let first = circle.iter().enumerate().min_by_key(|(_, module)| **module);
            let first = first.map_or(0, |(position, _)| position);
            circle.rotate_left(first);
            (circle.len(), circle)
        })
        .collect()
}

fn message(tree: &Tree, graph: &Graph<'_>, group: &[usize]) -> String {
    let file = |module: usize| tree.modules.get(module).map_or("", |module| module.file.as_str());
    let mut text = format!(
        "crates/{}/src: {} modules use one another in a circle; move what both sides need into a module below them, or hand it over as \
         an argument (a module's own file is below the modules that use it, and above those that it uses)",
        tree.name,
        group.len()
    );
    for (_, circle) in within(graph, group) {
        let ahead = circle.iter().skip(1).chain(circle.first());
        let chain: Vec<&str> = circle
            .iter()
            .chain(circle.first())
            .map(|module| file(*module))
            .collect();
        let _ = write!(text, "\n  {}", chain.join(" -> "));
        for (from, to) in circle.iter().zip(ahead) {
            if let Some(example) = graph.edge_weight(*from, *to) {
                let _ = write!(text, "\n    {}:{}: {}", file(*from), example.line, example.text());
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::tree;

    #[test]
    fn modules_that_use_one_way_make_no_circle() {
        let straight = tree(
            "core",
            &[
                ("lib.rs", "mod a; mod b; mod c; pub use a::A;"),
                ("a.rs", "use crate::{b, c};"),
                ("b.rs", "use crate::c;"),
                ("c.rs", "mod child; fn f() {}"),
                ("c/child.rs", "use super::f;"),
            ],
        );
        assert_eq!(circles(&straight), Vec::<String>::new());
    }

    #[test]
    fn a_circle_is_told_once_with_an_example_for_each_arrow_and_what_to_do() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "\nuse crate::b::B;"),
            ("b.rs", "use super::c;\nuse super::d;"),
            ("c.rs", "fn f() {\n  crate::a::g();\n}"),
            ("d.rs", ""),
        ];
        let found = circles(&tree("core", &files));
        let [message] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(
            message.starts_with("crates/core/src: 3 modules use one another in a circle; move "),
            "{message}"
        );
        let lines: Vec<&str> = message.lines().skip(1).collect();
        // Which module comes first is the order of reading.
        assert_eq!(lines.len(), 4, "{message}");
        for part in ["a.rs:2: use crate::b::B", "b.rs:1: use super::c", "c.rs:2: crate::a::g"] {
            assert!(lines.contains(&format!("    {part}").as_str()), "{message}");
        }
        let chain = lines[0].trim();
        assert!(
            "a.rs -> b.rs -> c.rs -> a.rs -> b.rs -> c.rs".contains(chain) && chain.len() == 28,
            "{message}"
        );
    }

    #[test]
    fn a_child_that_uses_its_parent_which_uses_the_child_is_a_circle() {
        let family = |parent| {
            tree(
                "core",
                &[
                    ("lib.rs", "mod p;"),
                    ("p/mod.rs", parent),
                    ("p/child.rs", "use super::P;"),
                ],
            )
        };
        assert_eq!(circles(&family("mod child; struct P;")).len(), 0);
        for uses in ["mod child; pub use child::C;", "mod child; fn f() { child::g() }"] {
            let found = circles(&family(uses));
            assert!(
                matches!(found.as_slice(), [one] if one.contains("p/child.rs:1: use super::P")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn circles_with_a_module_in_common_are_one_group_and_circles_without_are_two() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
            ("a.rs", "use crate::b;"),
            ("b.rs", "use crate::{a, c};"),
            ("c.rs", "use crate::b;"),
            ("d.rs", "use crate::e;"),
            ("e.rs", "use crate::d;"),
        ];
        let mut found: Vec<usize> = circles(&tree("core", &files))
            .iter()
            .map(|message| message.matches(" -> ").count())
            .collect();
        found.sort_unstable();
        assert_eq!(found, [2, 4]);
    }
}
