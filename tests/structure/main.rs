//! The structure of the sources: no circle of files.
//!
//! Whoever changes a file has to know the files below it, those it uses, and no others. A circle (a file that uses a
//! file which uses, by some way, the first) makes one lump of many files.

mod circles;
mod uses;

use circles::Uses;
use std::fs;
use std::path::Path;

/// The folders and single files of `ir/src` from the ground up: each uses those before it only. Those of one row do not use
/// each other.
const FLOORS: &[&[&str]] = &[
    &["display.rs", "nearest.rs", "value.rs", "ulp.rs"],
    &["choice.rs"],
    &["op"],
    &["graph"],
    &["rewrite", "reference.rs", "error"],
    &["expr"],
    &["library"],
    &["language"],
    &["keras", "activations.rs"],
    &["document.rs"],
    &["lib.rs"],
];

fn sources(folder: &Path, below: &str, found: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        let name = format!("{below}{}", entry.file_name().unwrap().to_str().unwrap());
        if entry.is_dir() {
            sources(&entry, &format!("{name}/"), found);
        } else if name.ends_with(".rs") {
            found.push((name, fs::read_to_string(&entry).unwrap()));
        }
    }
}

/// The files of a crate and their texts.
fn files_of(crate_folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(crate_folder), "", &mut files);
    assert!(files.iter().any(|(file, _)| file == "lib.rs"), "no sources in {crate_folder}");
    files
}

/// Every use that does not lead from a folder to one before it.
fn upward(uses: &Uses, floors: &[&[&str]]) -> Vec<String> {
    let folder = |file: &str| file.split('/').next().unwrap_or(file).to_owned();
    let floor = |file: &str| floors.iter().position(|row| row.contains(&folder(file).as_str()));
    let leads_up = |user: &str, used: &str| match (floor(user), floor(used)) {
        (Some(above), Some(below)) => folder(user) != folder(used) && above <= below,
        _ => true,
    };
    let up = uses.all().filter(|(user, used, _)| leads_up(user, used));
    up.map(|(user, used, (name, line))| format!("{user}:{line} uses {used}: {name}")).collect()
}

fn check(crate_folder: &str) {
    let files = files_of(crate_folder);
    // A module's file is found by its name only.
    let moved = files.iter().find(|(_, text)| text.lines().any(|line| line.trim_start().starts_with("#[path")));
    assert!(moved.is_none(), "{} places a module with `#[path]`", moved.unwrap().0);
    let uses = Uses::of(&files);
    let circles = uses.circles();
    let circles: Vec<String> = circles.iter().map(|circle| uses.describe(circle)).collect();
    assert!(circles.is_empty(), "{crate_folder} has circles of files.\n{}", circles.join("\n"));
}

#[test]
fn no_circle_of_files_in_what_computes() {
    check("src");
}

#[test]
fn no_circle_of_files_in_what_is_computed() {
    check("ir/src");
}

#[test]
fn what_is_computed_is_built_on_what_is_below() {
    let up = upward(&Uses::of(&files_of("ir/src")), FLOORS);
    assert!(up.is_empty(), "these lead upwards, or to a folder that has no floor yet:\n{}", up.join("\n"));
}

#[test]
fn a_use_that_leads_upwards_or_beside_is_found() {
    let files = [
        ("lib.rs", "mod low; mod left; mod right;"),
        ("low/mod.rs", "mod a; mod b; pub use a::A;"),
        ("low/a.rs", "use super::b::B; pub struct A;"),
        ("low/b.rs", "pub struct B; fn f() { crate::left::L }"),
        ("left.rs", "use crate::low::A; use crate::right::R; pub struct L;"),
        ("right.rs", "pub struct R; use crate::low::A;"),
    ];
    let floors: &[&[&str]] = &[&["low"], &["left.rs", "right.rs"], &["lib.rs"]];
    let up = upward(&tree(&files), floors);
    assert_eq!(up, ["left.rs:1 uses right.rs: crate::right::R", "low/b.rs:1 uses left.rs: crate::left::L"]);
    assert_eq!(upward(&tree(&files), &floors[..1]).len(), 4, "a folder without a floor is found too");
}

fn tree(files: &[(&str, &str)]) -> Uses {
    let files: Vec<_> = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    Uses::of(&files)
}

/// That the files make one circle, of these files.
#[track_caller]
fn circle(files: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(tree(files).circles(), [expected], "in {files:?}");
}

#[track_caller]
fn no_circle(files: &[(&str, &str)]) {
    let uses = tree(files);
    assert_eq!(uses.circles(), [[""; 0]; 0], "in {files:?}: {uses:?}");
}

#[test]
fn a_circle_is_found_however_the_path_is_written() {
    let back = ("b.rs", "use crate::a::A; pub struct B(A);");
    for text in [
        "use crate::b::B; pub struct A(Box<B>);",
        "use super::b::B; pub struct A(Box<B>);",
        "use crate::{b::{B, self as other}}; pub struct A(Box<B>);",
        "use crate::b; pub struct A(Box<b::B>);",
        "use crate::b as c; pub struct A(Box<c::B>);",
        "use crate::b::*; pub struct A(Box<B>);",
        "pub struct A(Box<crate::b::B>);",
        "pub struct A(Box<super::b::B>);",
        "mod inner { pub use super::super::b::B; } pub struct A(Box<inner::B>);",
        "pub struct A; fn f() { use crate::b::B; }",
        "pub struct A; macro_rules! m { () => { $crate::b::B }; }",
        "pub struct A; #[doc = \"x\"] fn f(_: &'static str, c: char) -> bool { c == '\"' && crate::b::B::new() }",
        "pub struct A; impl crate::b::B { fn f() {} }",
        "pub struct A; #[cfg(not(test))] use crate::b::B;",
    ] {
        circle(&[("lib.rs", "mod a; mod b;"), ("a.rs", text), back], &["a.rs", "b.rs"]);
    }
}

#[test]
fn a_circle_is_found_over_any_number_of_files_and_folders() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a/mod.rs", "mod inner; pub use inner::A;"),
        ("a/inner.rs", "pub struct A; fn f() { crate::b::f() }"),
        ("b.rs", "use crate::c; pub fn f() { c::deep::f() }"),
        ("c/mod.rs", "pub mod deep;"),
        ("c/deep.rs", "pub fn f() -> crate::a::A { crate::d::f() }"),
        ("d.rs", "pub fn f() {}"),
    ];
    circle(&files, &["a/inner.rs", "b.rs", "c/deep.rs"]);
    let uses = tree(&files);
    let text = uses.describe(&uses.circles()[0]);
    assert!(text.contains("a/inner.rs:1 uses b.rs: crate::b::f"), "{text}");
    assert!(text.contains("shortest: a/inner.rs → b.rs → c/deep.rs → a/inner.rs"), "{text}");
}

#[test]
fn two_circles_are_two() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b::B; use crate::c::C;"),
        ("b.rs", "use crate::a::A;"),
        ("c.rs", "use crate::d::D;"),
        ("d.rs", "use crate::c::C;"),
    ];
    assert_eq!(tree(&files).circles(), [["a.rs", "b.rs"], ["c.rs", "d.rs"]]);
}

#[test]
fn what_is_re_exported_belongs_to_the_file_that_defines_it() {
    let face = ("a/mod.rs", "mod x; mod y; pub use x::X; pub use y::*; pub use self::y::Y as Z;");
    let y = ("a/y.rs", "pub struct Y; pub fn other() {}");
    // Through two faces, under another name, and by a `*`.
    for text in ["use crate::a::Z;", "use crate::a::other;", "use crate::a::Y;", "use crate::W;"] {
        let lib = ("lib.rs", "mod a; mod b; pub use a::Z as W;");
        let files = [lib, face, ("a/x.rs", "pub struct X;"), y, ("b/mod.rs", "mod c;"), ("b/c.rs", text)];
        let uses = tree(&files);
        assert!(uses.has("b/c.rs", "a/y.rs"), "{text}: {uses:?}");
        assert!(!uses.has("b/c.rs", "a/x.rs") && !uses.has("b/c.rs", "a/mod.rs"), "{text}: {uses:?}");
    }
    // X uses what is outside; that it stands behind the same face as Y makes no circle.
    let x = ("a/x.rs", "use crate::b::B; pub struct X(B);");
    no_circle(&[("lib.rs", "mod a; mod b;"), face, x, y, ("b.rs", "use crate::a::Y; pub struct B(Y);")]);
}

#[test]
fn a_child_that_takes_something_from_the_face_above_it_is_in_a_circle_with_it() {
    let y = ("a/y.rs", "pub struct Y;");
    for (face, text) in [
        ("mod x; mod y; pub use x::X; pub struct Own;", "use super::Own; pub struct X;"),
        ("mod x; mod y; pub use x::X; pub use y::Y;", "use super::Y; pub struct X;"),
        ("mod x; mod y; pub use x::X; pub use y::Y;", "use crate::a::Y; pub struct X;"),
        ("mod x; mod y; pub use x::*; pub use y::*;", "pub struct X(super::Y);"),
        ("mod x; mod y; fn f() { x::g() } pub fn h() {}", "pub fn g() { super::h() }"),
    ] {
        circle(&[("lib.rs", "mod a;"), ("a/mod.rs", face), ("a/x.rs", text), y], &["a/mod.rs", "a/x.rs"]);
    }
    // From a sibling by its own name, or from a face that uses no child: no circle.
    let face = ("a/mod.rs", "mod x; mod y; pub use x::X; pub use y::Y;");
    no_circle(&[("lib.rs", "mod a;"), face, ("a/x.rs", "use super::y::Y; pub struct X;"), y]);
    no_circle(&[("lib.rs", "mod a;"), ("a/mod.rs", "mod x; pub struct Own;"), ("a/x.rs", "use super::Own;")]);
}

#[test]
fn what_is_no_use_counts_for_nothing() {
    let back = ("b.rs", "use crate::a::A;");
    for text in [
        "// use crate::b::B;",
        "/// Like [`crate::b::B`].\npub struct A;",
        "/* use crate::b::B; /* nested */ use crate::b::B; */",
        "const A: &str = \"\\\" crate::b::B\";",
        "const A: &str = r#\"\" use crate::b::B; \"#;",
        "#[cfg(test)] mod tests { use crate::b::B; }",
        "#[cfg(test)] #[allow(dead_code)] use crate::b::B; pub struct A;",
        "#[cfg(test)] mod tests; pub struct A;",
        "use std::b::B; use other::b; fn f() { other::b::B::new() }",
        "pub(in crate::b) struct A;",
        "mod inner { pub struct B; } use inner::B; use self::inner as b; fn f() -> b::B { B }",
        "fn f<'b>() -> impl Fn() + use<'b> { || () }",
    ] {
        let tests = ("a/tests.rs", "use crate::b::B;");
        no_circle(&[("lib.rs", "mod a; mod b; use a::A;"), ("a.rs", text), tests, back]);
    }
}

#[test]
fn a_module_and_a_function_may_share_a_name() {
    let files = [
        ("lib.rs", "pub mod verify; mod user;"),
        ("verify/mod.rs", "mod check; pub use check::verify;"),
        ("verify/check.rs", "pub fn verify() {}"),
        ("user.rs", "use crate::verify::verify; fn f() { verify() }"),
    ];
    assert!(tree(&files).has("user.rs", "verify/check.rs"));
    let files = [
        ("lib.rs", "mod near; mod user;"),
        ("near/mod.rs", "mod near; pub use near::near;"),
        ("near/near.rs", "pub fn near() {}"),
        ("user.rs", "use crate::near::near;"),
    ];
    assert!(tree(&files).has("user.rs", "near/near.rs"));
}
