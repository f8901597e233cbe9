//! The functions that a file of Rust defines: `function`, and `Type::method` for those of a type or a trait.

use std::collections::BTreeSet;

use syn::{ImplItem, Item, TraitItem, Type};

use crate::mentions::{attributes, is_for_tests};

/// The names of the functions among these items, those of inline modules with the modules before them.
pub(crate) fn functions(items: &[Item]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for item in items {
        if attributes(item).iter().any(is_for_tests) {
            continue;
        }
        match item {
            Item::Fn(function) => {
                found.insert(function.sig.ident.to_string());
            }
            Item::Impl(block) => {
                let Type::Path(of) = &*block.self_ty else { continue };
                let methods = block.items.iter().filter_map(|item| match item {
                    ImplItem::Fn(method) => Some(method.sig.ident.to_string()),
                    _ => None,
                });
                if let Some(of) = of.path.segments.last() {
                    found.extend(methods.map(|method| format!("{}::{method}", of.ident)));
                }
            }
            Item::Trait(of) => found.extend(of.items.iter().filter_map(|item| match item {
                TraitItem::Fn(method) => Some(format!("{}::{}", of.ident, method.sig.ident)),
                _ => None,
            })),
            Item::Mod(module) => {
                let inside = module.content.as_ref().map(|(_, items)| functions(items));
                let inside = inside.into_iter().flatten();
                found.extend(inside.map(|name| format!("{}::{name}", module.ident)));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_methods_are_found_and_tests_are_not() {
        let source = "pub fn free() { fn inner() {} }
            impl<T> Thing<T> { fn method(&self) {} const C: u8 = 0; }
            impl fmt::Debug for other::Thing { fn fmt(&self) {} }
            trait Door { fn open(); }
            mod inside { pub fn deep() {} }
            #[cfg(test)] fn fixture() {}
            #[cfg(test)] mod tests { fn tested() {} }";
        let found = functions(&syn::parse_file(source).unwrap().items);
        let names: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(
            names,
            ["Door::open", "Thing::fmt", "Thing::method", "free", "inside::deep"]
        );
    }
}
