//! Which file of a crate uses which, and the circles among them.
//!
//! A path is followed through modules and through `pub use` to the file that defines what it names, so a folder's
//! `mod.rs` that only declares and re-exports is no station on the way. Whoever lives below that folder is the
//! exception: a file that takes something from a `mod.rs` above it depends on that `mod.rs`.

use super::uses::{ModulePath, Source, read};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A file by its path below the crate's root folder.
type File = String;

/// What one file takes from another: a name and its line.
pub type Reason = (String, usize);

/// Which file uses which, and why.
#[derive(Debug)]
pub struct Uses {
    edges: BTreeMap<File, BTreeMap<File, Reason>>,
}

/// The files of one crate.
struct Crate {
    sources: BTreeMap<File, Source>,
    /// The file of every module, those inside files included.
    files: BTreeMap<ModulePath, File>,
}

/// Where a path leads.
enum Target {
    Module(ModulePath),
    Item,
}

/// The module of a file: `a/b.rs` and `a/b/mod.rs` are `a::b`.
fn module_of(file: &str) -> ModulePath {
    let mut path: ModulePath = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| last == "mod" || (last == "lib" && path.len() == 1)) {
        path.pop();
    }
    path
}

impl Uses {
    /// Of the files of a crate: paths below the folder of `lib.rs`, and their texts.
    pub fn of(files: &[(File, String)]) -> Uses {
        let mut sources: BTreeMap<File, Source> =
            files.iter().map(|(file, text)| (file.clone(), read(module_of(file), text))).collect();
        let for_tests: Vec<ModulePath> = sources.values().flat_map(|source| source.test_modules.clone()).collect();
        sources.retain(|file, _| !for_tests.iter().any(|module| module_of(file).starts_with(module)));
        let modules = sources
            .iter()
            .flat_map(|(file, source)| source.modules.keys().map(|module| (module.clone(), file.clone())));
        let files = modules.collect();
        let house = Crate { sources, files };
        let mut edges: BTreeMap<File, BTreeMap<File, Reason>> = BTreeMap::new();
        for (file, source) in &house.sources {
            for named in &source.named {
                let mut walk = Walk { house: &house, user: file, used: BTreeSet::new(), seen: BTreeSet::new() };
                let target = walk.path(&named.module, &named.segments);
                if let (Some(Target::Module(module)), true) = (target, named.glob) {
                    walk.everything(&module);
                }
                for used in walk.used {
                    let reason = (named.segments.join("::"), named.line);
                    edges.entry(file.clone()).or_default().entry(used).or_insert(reason);
                }
            }
        }
        Uses { edges }
    }

    /// Whether one file uses another.
    pub fn has(&self, user: &str, used: &str) -> bool {
        self.of_file(user).any(|file| file == used)
    }

    /// Every use: who uses, what is used, and why.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, &Reason)> {
        self.edges
            .iter()
            .flat_map(|(user, used)| used.iter().map(move |(used, why)| (user.as_str(), used.as_str(), why)))
    }

    fn of_file(&self, user: &str) -> impl Iterator<Item = &File> {
        self.edges.get(user).into_iter().flat_map(BTreeMap::keys)
    }

    /// The shortest way from a file to another, over at least one use.
    fn way(&self, from: &str, to: &str) -> Option<Vec<File>> {
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut pending = VecDeque::from([from]);
        while let Some(file) = pending.pop_front() {
            for next in self.of_file(file).map(String::as_str) {
                if before.contains_key(next) {
                    continue;
                }
                before.insert(next, file);
                if next == to {
                    let mut way = vec![to.to_owned()];
                    let mut at = to;
                    while way.len() == 1 || at != from {
                        at = before[at];
                        way.push(at.to_owned());
                    }
                    way.reverse();
                    return Some(way);
                }
                pending.push_back(next);
            }
        }
        None
    }

    /// The circles: sets of files each of which uses, by some way, every other one of them.
    pub fn circles(&self) -> Vec<Vec<File>> {
        let mut circles: BTreeSet<Vec<File>> = BTreeSet::new();
        for file in self.edges.keys() {
            let there = self.edges.keys().filter(|other| self.way(file, other).is_some());
            let both: Vec<File> = there.filter(|other| self.way(other, file).is_some()).cloned().collect();
            if !both.is_empty() {
                circles.insert(both);
            }
        }
        circles.into_iter().collect()
    }

    /// A circle for people: its files, and for each the uses that keep it there.
    pub fn describe(&self, circle: &[File]) -> String {
        let mut text = format!("a circle of {} files:\n", circle.len());
        for file in circle {
            for (used, (name, line)) in self.edges.get(file).into_iter().flatten() {
                if circle.contains(used) {
                    text.push_str(&format!("  {file}:{line} uses {used}: {name}\n"));
                }
            }
        }
        if let Some(way) = self.way(&circle[0], &circle[0]) {
            text.push_str(&format!("  shortest: {}\n", way.join(" → ")));
        }
        text
    }
}

/// One path on its way through the modules.
struct Walk<'a> {
    house: &'a Crate,
    user: &'a File,
    used: BTreeSet<File>,
    /// Names that were followed already: a name may be brought in under itself.
    seen: BTreeSet<(ModulePath, String)>,
}

impl Walk<'_> {
    fn module(&self, path: &[String]) -> Option<&super::uses::Module> {
        self.house.sources[self.house.files.get(path)?].modules.get(path)
    }

    fn take(&mut self, module: &[String]) {
        let file = &self.house.files[module];
        if file != self.user {
            self.used.insert(file.clone());
        }
    }

    fn path(&mut self, from: &[String], segments: &[String]) -> Option<Target> {
        let mut here = from.to_vec();
        let mut rest = segments;
        match rest.first()?.as_str() {
            "crate" => here.clear(),
            "self" => {}
            "super" => {
                here.pop()?;
                while rest.get(1).is_some_and(|segment| segment == "super") {
                    here.pop()?;
                    rest = &rest[1..];
                }
            }
            // A name of this module; else it is of another crate, or of the language.
            first => {
                let child = [from, &[first.to_owned()]].concat();
                let known = self.house.files.contains_key(&child)
                    || self.module(from).is_some_and(|module| module.names.contains_key(first));
                if !known {
                    return None;
                }
                return self.below(here, rest);
            }
        }
        self.below(here, &rest[1..])
    }

    /// Follows the segments from a module on.
    fn below(&mut self, mut here: ModulePath, segments: &[String]) -> Option<Target> {
        for (index, segment) in segments.iter().enumerate() {
            let last = index + 1 == segments.len();
            let child = [here.as_slice(), std::slice::from_ref(segment)].concat();
            let is_module = self.house.files.contains_key(&child);
            let module = self.module(&here)?;
            let is_item = module.items.contains(segment);
            let brought = module.names.get(segment).cloned().unwrap_or_default();
            let globs = module.globs.clone();
            // A module and a function may share a name; a path that ends there means both.
            if is_item && (last || !is_module) {
                self.take(&here);
            }
            if !is_item && (last || !is_module) && !brought.is_empty() {
                match self.brought(&here, segment, &brought) {
                    Some(Target::Module(next)) if !is_module => {
                        here = next;
                        continue;
                    }
                    _ if is_module => {}
                    other => return other,
                }
            }
            if is_module {
                here = child;
                continue;
            }
            if !is_item && brought.is_empty() {
                // Of a macro, or brought in by a `*`.
                let found = globs.iter().any(|glob| self.in_glob(&here, glob, segment));
                if !found {
                    self.take(&here);
                }
            }
            return Some(Target::Item);
        }
        Some(Target::Module(here))
    }

    /// Follows a name that `use` brings into a module.
    fn brought(&mut self, here: &[String], name: &str, paths: &[Vec<String>]) -> Option<Target> {
        if !self.seen.insert((here.to_vec(), name.to_owned())) {
            return None;
        }
        // From a folder's own face, so on the face.
        if module_of(self.user).starts_with(here) {
            self.take(here);
        }
        let mut target = None;
        for path in paths {
            // `use name::…` of a child is not the name that it brings in.
            let found = self.path(here, path);
            target = target.or(found);
        }
        target
    }

    fn in_glob(&mut self, here: &[String], glob: &[String], segment: &str) -> bool {
        if !self.seen.insert((here.to_vec(), format!("{}::*", glob.join("::")))) {
            return false;
        }
        let Some(Target::Module(module)) = self.path(here, glob) else { return false };
        let holds = self.module(&module).is_some_and(|module| {
            module.items.contains(segment) || module.names.contains_key(segment) || !module.globs.is_empty()
        });
        if holds {
            if module_of(self.user).starts_with(here) {
                self.take(here);
            }
            self.below(module, &[segment.to_owned()]);
        }
        holds
    }

    /// A `use` of everything in a module.
    fn everything(&mut self, module: &[String]) {
        self.take(module);
        let Some(found) = self.module(module) else { return };
        let names: Vec<String> = found.names.keys().cloned().collect();
        for name in names {
            self.below(module.to_vec(), &[name]);
        }
    }
}
