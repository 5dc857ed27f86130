//! Every code block of the README (and of `docs/`) works: Rust blocks as documentation tests of the crate, commands and
//! expressions here.

#[path = "common/process.rs"]
mod process;

use std::path::{Path, PathBuf};

/// The fenced blocks of a text in this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(found) = line.strip_prefix("```") {
            let body: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            if found == language {
                blocks.push(body.join("\n"));
            }
        }
    }
    blocks
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The built example of this name: examples lie beside the folder of this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// A command's words; single quotes hold a word together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(character),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn commands_of_the_readme_run() {
    let mut run = 0;
    for block in blocks(&read("README.md"), "sh") {
        for line in block.lines() {
            let words = words(line);
            if line.starts_with("cargo test") {
                // This very command runs this test; CI must use the same.
                assert!(read(".ci/run").contains("cargo test --locked --release --workspace"), "{line}");
                assert_eq!(line, "cargo test --release --workspace");
                continue;
            }
            if words[0] == ".ci/aarch64" {
                // A machine of another kind is for CI to set up; here, that the script is there and knows the word.
                assert!(words[1] == "setup" || words[1] == "test", "{line}");
                assert!(read(".ci/aarch64").contains(&words[1]), "{line}");
                continue;
            }
            assert_eq!(words[..4], ["cargo", "run", "--release", "--example"], "{line}");
            let output = process::built(&example(&words[4])).args(&words[6..]).current_dir(root()).output().unwrap();
            assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
            assert!(!output.stdout.is_empty(), "{line} prints nothing");
            run += 1;
        }
    }
    assert!(run >= 4, "the README shows what the examples do");
}

#[test]
fn the_first_command_prints_the_right_numbers() {
    let block = &blocks(&read("README.md"), "sh")[0];
    let output = process::built(&example("repl")).args(&words(block)[6..]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for number in ["0.8413447", "2.9959502", "4.9999986"] {
        assert!(text.contains(number), "{text}");
    }
}

#[test]
fn expressions_of_the_documentation_compile() {
    let engine = fuselet::Engine::builder().threads(1).build().unwrap();
    for block in blocks(&read("README.md"), "fuse") {
        engine.compile(block.as_str()).unwrap_or_else(|error| panic!("{block}\n{error}"));
    }
    for block in blocks(&read("docs/adding-an-activation.md"), "fuse") {
        let library = fuselet::ir::Library::standard();
        library.define(&block).unwrap_or_else(|error| panic!("{block}\n{error}"));
    }
}

#[test]
fn every_activation_the_readme_names_exists() {
    let text = read("README.md");
    let start = text.find("aliases: linear").unwrap() + "aliases: ".len();
    let list = &text[start..start + text[start..].find(".\n").unwrap()];
    let names = list.split([',', ';', '(', ')', ' ', '\n']).filter(|word| !word.is_empty() && *word != "and");
    let library = fuselet::ir::Library::standard();
    let mut count = 0;
    for name in names {
        assert!(library.function(name).is_some(), "{name}");
        count += 1;
    }
    assert_eq!(count, 35, "30 activations, 2 aliases, 3 norms");
}
