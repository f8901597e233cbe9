//! The modules of a crate: a module is a file, and the modules written out in it belong to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::functions::functions;
use crate::mentions::{Mention, Mentions, Scope};

/// The files of a crate by their path below `src`.
pub(crate) type Sources = BTreeMap<String, String>;

/// A crate whose files were read, from `lib.rs` on, without what is there for tests only.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The name of its folder below `crates`.
    pub(crate) name: String,
    pub(crate) modules: Vec<Module>,
    /// Which of the modules holds what a path leads to.
    pub(crate) places: BTreeMap<Scope, usize>,
    /// What imports call paths, in the modules in which they stand.
    pub(crate) names: BTreeMap<(Scope, String), Vec<String>>,
}

/// A file.
#[derive(Debug)]
pub(crate) struct Module {
    /// Its path below `src`.
    pub(crate) file: String,
    /// The same without `.rs`, and without `/mod.rs`; `lib` for the root.
    pub(crate) name: String,
    pub(crate) mentions: Vec<Mention>,
    pub(crate) functions: BTreeSet<String>,
}

/// Reads the files below a crate's `src`.
pub(crate) fn sources(root: &Path, name: &str) -> anyhow::Result<Sources> {
    let folder = root.join("crates").join(name).join("src");
    let mut sources = Sources::new();
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                let below = path.strip_prefix(&folder).unwrap_or(&path);
                sources.insert(below.to_string_lossy().into_owned(), text);
            }
        }
    }
    Ok(sources)
}

impl Tree {
    /// Reads a crate of the repository.
    pub(crate) fn read(root: &Path, name: &str) -> anyhow::Result<Self> {
        Self::parse(name, &sources(root, name)?)
    }

    /// Parses a crate's files.
    pub(crate) fn parse(name: &str, sources: &Sources) -> anyhow::Result<Self> {
        let mut tree = Self {
            name: name.to_owned(),
            modules: Vec::new(),
            places: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        let mut scopes = vec![Scope::new()];
        while let Some(scope) = scopes.pop() {
            scopes.extend(tree.add(sources, scope)?);
        }
        Ok(tree)
    }

    /// Adds the module's file and gives the modules that it declares.
    fn add(&mut self, sources: &Sources, scope: Scope) -> anyhow::Result<Vec<Scope>> {
        let name = if scope.is_empty() {
            "lib".to_owned()
        } else {
            scope.join("/")
        };
        let (file, text) = [format!("{name}.rs"), format!("{name}/mod.rs")]
            .into_iter()
            .find_map(|file| sources.get(&file).map(|text| (file, text)))
            .with_context(|| format!("crates/{}/src declares a module {name} that has no file", self.name))?;
        let place = || format!("crates/{}/src/{file}", self.name);
        let syntax = syn::parse_file(text).with_context(|| format!("cannot parse {}", place()))?;
        let mentions = Mentions::of(&syntax, &scope);
        let index = self.modules.len();
        for scope in mentions.inline.into_iter().chain([scope]) {
            let before = self.places.insert(scope, index);
            ensure!(before.is_none(), "{} is declared twice", place());
        }
        self.names.extend(mentions.names);
        self.modules.push(Module {
            functions: functions(&syntax.items),
            mentions: mentions.all,
            file,
            name,
        });
        Ok(mentions.files)
    }
}

/// A crate with these files.
#[cfg(test)]
pub(crate) fn tree(name: &str, files: &[(&str, &str)]) -> Tree {
    let sources = files
        .iter()
        .map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
    Tree::parse(name, &sources.collect()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_without_a_file_and_a_file_that_is_no_rust_are_named() {
        let broken = |files: &[(&str, &str)]| {
            let sources = files
                .iter()
                .map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
            format!("{:#}", Tree::parse("core", &sources.collect()).unwrap_err())
        };
        assert!(broken(&[("lib.rs", "mod a;")]).contains("module a that has no file"));
        assert!(broken(&[("lib.rs", "mod a;"), ("a.rs", "fn (")]).contains("crates/core/src/a.rs"));
    }
}
