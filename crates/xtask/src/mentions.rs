//! What one file of Rust names, as it is written: imports, paths in code, in macros and in attributes. What stands in
//! `#[cfg(test)]` does not count.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, File, ImplItemFn, Item, ItemMod, ItemUse, Macro, Meta, Path, Token, UseTree, Visibility};

/// A module's path from its crate's root, which is the empty one.
pub(crate) type Scope = Vec<String>;

/// A path that a file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    /// The module in which it stands.
    pub(crate) scope: Scope,
    /// As written; the first is empty when it begins with `::`, the last a `*` when everything is imported.
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    pub(crate) imported: bool,
}

/// What was read from one file.
#[derive(Debug, Default)]
pub(crate) struct Mentions {
    pub(crate) all: Vec<Mention>,
    /// What an import calls a path, in its module.
    pub(crate) names: BTreeMap<(Scope, String), Vec<String>>,
    /// The modules that lie in files of their own.
    pub(crate) files: Vec<Scope>,
    /// The modules that are written out in this one.
    pub(crate) inline: Vec<Scope>,
}

impl Mentions {
    /// Reads the file that holds the module.
    pub(crate) fn of(file: &File, scope: &[String]) -> Self {
        let mut reader = Reader {
            scope: scope.to_vec(),
            found: Self::default(),
        };
        reader.visit_file(file);
        reader.found
    }
}

impl Mention {
    /// As in the source, on one line.
    pub(crate) fn text(&self) -> String {
        let import = if self.imported { "use " } else { "" };
        format!("{import}{}", self.segments.join("::"))
    }
}

struct Reader {
    scope: Scope,
    found: Mentions,
}

impl Reader {
    fn mention(&mut self, segments: Vec<String>, line: usize, imported: bool) {
        self.found.all.push(Mention {
            scope: self.scope.clone(),
            segments,
            line,
            imported,
        });
    }

    /// A single name says nothing that its import did not say.
    fn path(&mut self, path: &Path) {
        let first = path.segments.first().filter(|_| path.segments.len() > 1);
        let Some(line) = first.map(|first| first.ident.span().start().line) else {
            return;
        };
        let root = path.leading_colon.as_ref().map(|_| String::new());
        let names = path.segments.iter().map(|segment| segment.ident.to_string());
        self.mention(root.into_iter().chain(names).collect(), line, false);
    }

    fn import(&mut self, prefix: &[String], tree: &UseTree) {
        let with = |name: String| prefix.iter().cloned().chain([name]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => self.import(&with(path.ident.to_string()), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.import(prefix, item)),
            UseTree::Glob(glob) => {
                let line = glob.star_token.spans.first().map_or(0, |span| span.start().line);
                self.mention(with("*".to_owned()), line, true);
            }
            UseTree::Name(name) => {
                let segments = imported(prefix, &name.ident.to_string());
                if let Some(called) = segments.last().cloned() {
                    self.named(called, segments, name.ident.span().start().line);
                }
            }
            UseTree::Rename(rename) => {
                let segments = imported(prefix, &rename.ident.to_string());
                self.named(rename.rename.to_string(), segments, rename.ident.span().start().line);
            }
        }
    }

    fn named(&mut self, called: String, segments: Vec<String>, line: usize) {
        self.found.names.insert((self.scope.clone(), called), segments.clone());
        self.mention(segments, line, true);
    }

    /// Finds `a::b` among tokens that nobody parsed, and paths in texts where they are meant (`#[serde(with = "a::b")]`).
    fn tokens(&mut self, tokens: TokenStream, texts: bool) {
        let mut path: Vec<String> = Vec::new();
        let (mut line, mut colons) = (0, 0);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.raw_path(&mut path, line);
                    }
                    if path.is_empty() {
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                    continue;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => self.tokens(group.stream(), texts),
                TokenTree::Literal(literal) if texts => {
                    if let Ok(path) = syn::parse_str::<Path>(literal.to_string().trim_matches('"')) {
                        let segments: Vec<String> =
                            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
                        self.raw_path(&mut { segments }, literal.span().start().line);
                    }
                }
                TokenTree::Literal(_) | TokenTree::Punct(_) => {}
            }
            colons = 0;
            self.raw_path(&mut path, line);
        }
        self.raw_path(&mut path, line);
    }

    fn raw_path(&mut self, path: &mut Vec<String>, line: usize) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.mention(path, line, false);
        }
    }
}

/// `use a::{self}` imports `a`.
fn imported(prefix: &[String], name: &str) -> Vec<String> {
    let name = (name != "self").then(|| name.to_owned());
    prefix.iter().cloned().chain(name).collect()
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !attributes(item).iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if !function.attrs.iter().any(is_for_tests) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.scope.push(module.ident.to_string());
        if module.content.is_some() {
            self.found.inline.push(self.scope.clone());
            visit::visit_item_mod(self, module);
        } else {
            self.found.files.push(self.scope.clone());
        }
        self.scope.pop();
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        let prefix = import.leading_colon.as_ref().map(|_| String::new());
        self.import(prefix.as_slice(), &import.tree);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        self.path(path);
        visit::visit_path(self, path);
    }

    /// `pub(super)` uses nothing of the parent.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_macro(&mut self, call: &'ast Macro) {
        // An exported macro is `crate::name` wherever it lies.
        let exported = call.path.segments.first().is_some_and(|first| first.ident == "crate");
        if !exported {
            self.path(&call.path);
        }
        self.tokens(call.tokens.clone(), false);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            Meta::List(list) => self.tokens(list.tokens.clone(), true),
            Meta::Path(_) | Meta::NameValue(_) => {}
        }
    }
}

/// Whether what carries the attribute is there in tests only.
pub(crate) fn is_for_tests(attribute: &Attribute) -> bool {
    fn needs_test(condition: &Meta) -> bool {
        match condition {
            Meta::Path(path) => path.is_ident("test"),
            Meta::List(list) if list.path.is_ident("all") => list
                .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                .is_ok_and(|all| all.iter().any(needs_test)),
            Meta::List(_) | Meta::NameValue(_) => false,
        }
    }
    attribute.path().is_ident("cfg")
        && attribute
            .parse_args::<Meta>()
            .is_ok_and(|condition| needs_test(&condition))
}

/// The attributes of an item.
pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
