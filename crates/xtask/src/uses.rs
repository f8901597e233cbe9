//! Which module of a crate uses which, and where what is named comes from.

use std::collections::BTreeSet;

use crate::mentions::Mention;
use crate::modules::Tree;

/// That one module uses another.
#[derive(Debug)]
pub(crate) struct Use<'tree> {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// One of the places that show it.
    pub(crate) example: &'tree Mention,
}

/// How often an import may lead to another import: nobody nests them deeper, and a circle of imports ends.
const MOST_IMPORTS: usize = 16;

impl Tree {
    /// Who uses whom, each pair once.
    pub(crate) fn uses(&self) -> Vec<Use<'_>> {
        let mut seen = BTreeSet::new();
        let mentions = self.modules.iter().enumerate();
        mentions
            .flat_map(|(from, module)| module.mentions.iter().map(move |mention| (from, mention)))
            .filter_map(|(from, example)| {
                let (to, _) = self.module_of(&self.resolve(&example.scope, &example.segments))?;
                (from != to && seen.insert((from, to))).then_some(Use { from, to, example })
            })
            .collect()
    }

    /// Where what is mentioned comes from: `crate` or the name of another crate first, through all imports and re-exports.
    pub(crate) fn origin(&self, mention: &Mention) -> Vec<String> {
        let mut path = self.resolve(&mention.scope, &mention.segments);
        for _ in 0..MOST_IMPORTS {
            let reexported = self.module_of(&path).and_then(|(_, length)| {
                let (module, item) = path.split_at_checked(length)?;
                let (first, rest) = item.split_first()?;
                let scope = module.get(1..)?.to_vec();
                let imported = self.names.get(&(scope.clone(), first.clone()))?;
                Some(self.resolve(&scope, &[imported, rest].concat()))
            });
            match reexported {
                Some(next) if next != path => path = next,
                _ => break,
            }
        }
        path
    }

    /// The module that the longest part of a path leads to, and the length of that part.
    fn module_of(&self, path: &[String]) -> Option<(usize, usize)> {
        let inside = path.strip_prefix(&["crate".to_owned()])?;
        (0..=inside.len()).rev().find_map(|length| {
            let module = self.places.get(inside.get(..length)?)?;
            Some((*module, length + 1))
        })
    }

    /// A path as it is from the crate's root, beginning with `crate`, or with the name of another crate.
    fn resolve(&self, scope: &[String], segments: &[String]) -> Vec<String> {
        let mut segments = segments.to_vec();
        for _ in 0..MOST_IMPORTS {
            let Some((first, rest)) = segments.split_first() else {
                break;
            };
            match first.as_str() {
                "" => return rest.to_vec(),
                "crate" => return segments,
                "self" => return from_root(scope, rest),
                "super" => {
                    let up = 1 + rest.iter().take_while(|segment| *segment == "super").count();
                    let above = scope.get(..scope.len().saturating_sub(up)).unwrap_or_default();
                    return from_root(above, segments.get(up..).unwrap_or_default());
                }
                name => {
                    if self.places.contains_key(&[scope, &[name.to_owned()]].concat()) {
                        return from_root(scope, &segments);
                    }
                    match self.names.get(&(scope.to_vec(), name.to_owned())) {
                        // `use tracing::{self}` calls it what it is called anyway.
                        Some(imported) if imported.first() != Some(first) => segments = [imported, rest].concat(),
                        _ => break,
                    }
                }
            }
        }
        segments
    }
}

fn from_root(scope: &[String], rest: &[String]) -> Vec<String> {
    [&["crate".to_owned()], scope, rest].concat()
}

#[cfg(test)]
mod tests {
    use crate::modules::tree;

    /// The uses, as `from -> to: example`.
    fn uses(files: &[(&str, &str)]) -> Vec<String> {
        let tree = tree("core", files);
        let mut uses: Vec<String> = tree
            .uses()
            .iter()
            .map(|it| {
                let [from, to] = [it.from, it.to].map(|index| tree.modules[index].name.as_str());
                format!("{from} -> {to}: {}", it.example.text())
            })
            .collect();
        uses.sort();
        uses
    }

    /// What `a.rs` uses beside two other modules, of which `b` has a child.
    fn of_a(text: &str) -> Vec<String> {
        uses(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", text),
            ("b/mod.rs", "pub mod child;"),
            ("b/child.rs", ""),
            ("c.rs", ""),
        ])
    }

    #[test]
    fn a_declaration_alone_is_no_use() {
        assert_eq!(of_a(""), Vec::<String>::new());
    }

    #[test]
    fn an_import_is_a_use_of_the_longest_module_on_its_path() {
        assert_eq!(of_a("use crate::b::Thing;"), ["a -> b: use crate::b::Thing"]);
        assert_eq!(
            of_a("use crate::b::child::Thing;"),
            ["a -> b/child: use crate::b::child::Thing"]
        );
        assert_eq!(of_a("use super::c::{self, Thing};"), ["a -> c: use super::c"]);
        assert_eq!(
            of_a("use crate::{b, c::Thing as T};"),
            ["a -> b: use crate::b", "a -> c: use crate::c::Thing"]
        );
        assert_eq!(of_a("use crate::b::*;"), ["a -> b: use crate::b::*"]);
    }

    #[test]
    fn a_path_in_code_is_a_use_also_through_an_imported_module() {
        assert_eq!(
            of_a("fn f() { crate::b::child::g(); }"),
            ["a -> b/child: crate::b::child::g"]
        );
        assert_eq!(of_a("struct S(Vec<super::c::T>);"), ["a -> c: super::c::T"]);
        let through = of_a("use crate::b; fn f() -> b::child::T { b::child::g() }");
        assert_eq!(through, ["a -> b/child: b::child::T", "a -> b: use crate::b"]);
    }

    #[test]
    fn a_path_in_a_macro_or_an_attribute_is_a_use() {
        assert_eq!(of_a("fn f() { vec![1, (crate::c::g)(2)]; }"), ["a -> c: crate::c::g"]);
        assert_eq!(
            of_a("struct S(#[serde(with = \"crate::c::millis\")] u8);"),
            ["a -> c: crate::c::millis"]
        );
        assert_eq!(
            of_a("#[doc = \"See crate::c::g\"] struct S; /// And crate::b::h\nfn f() {}"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn tests_and_visibilities_use_nothing() {
        let tests = "#[cfg(test)] mod tests { use crate::b; } #[cfg(all(test, unix))] fn f() { crate::c::g() } \
                     struct S; impl S { #[cfg(test)] fn of() { crate::c::g() } } pub(super) fn g() {} pub(in crate::b) fn h() {}";
        assert_eq!(of_a(tests), Vec::<String>::new());
        // The file of a module of tests is not even looked for.
        assert_eq!(of_a("#[cfg(test)] mod tests;"), Vec::<String>::new());
    }

    #[test]
    fn what_is_written_out_in_a_file_belongs_to_the_file() {
        let inside = "struct S; mod inner { use super::S; fn f() { super::super::c::g() } }";
        assert_eq!(of_a(inside), ["a -> c: super::super::c::g"]);
        assert_eq!(of_a("mod c { pub fn g() {} } fn f() { c::g() }"), Vec::<String>::new());
    }

    #[test]
    fn a_reexport_is_a_use_of_the_child_and_what_takes_it_uses_the_parent() {
        let uses = uses(&[
            ("lib.rs", "mod a; mod policy;"),
            ("a.rs", "use crate::policy::Policies;"),
            ("policy/mod.rs", "mod parse; pub use parse::Policies;"),
            ("policy/parse.rs", "use super::Limit;"),
        ]);
        let expected = [
            "a -> policy: use crate::policy::Policies",
            "policy -> policy/parse: use parse::Policies",
            "policy/parse -> policy: use super::Limit",
        ];
        assert_eq!(uses, expected);
    }

    #[test]
    fn other_crates_are_no_modules_though_they_share_a_name() {
        assert_eq!(of_a("use ::c::Thing; use c::Other;"), Vec::<String>::new());
    }

    #[test]
    fn an_item_comes_from_where_its_reexports_lead() {
        let tree = tree(
            "core",
            &[
                ("lib.rs", "mod a; mod b;"),
                ("a.rs", "use crate::b::Status; fn f(it: Status) { Status::default(); }"),
                ("b.rs", "pub use wio_api::BindingStatus as Status;"),
            ],
        );
        let a = tree.modules.iter().find(|module| module.name == "a").unwrap();
        let origins: Vec<String> = a.mentions.iter().map(|it| tree.origin(it).join("::")).collect();
        assert_eq!(origins, ["wio_api::BindingStatus", "wio_api::BindingStatus::default"]);
    }
}
