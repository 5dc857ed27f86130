//! What people write who come from other languages: it means what they expect, or an error says how it is written here.

use fuselet_ir::language::Problem;
use fuselet_ir::{Error, Graph, Library, Meaning};
use proptest::prelude::*;

fn read(text: &str) -> Result<Graph, Error> {
    Library::standard().parse(text)?.graph(Meaning::Form)
}

fn graph(text: &str) -> Graph {
    read(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn problem(text: &str) -> (Problem, String) {
    match read(text) {
        Err(Error::Syntax(error)) => (error.problem().clone(), error.to_string()),
        other => panic!("{text}: {other:?}"),
    }
}

/// Each pair means the same.
fn same<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (text, explicit) in pairs {
        let (found, expected) = (graph(text), graph(explicit));
        assert_eq!(found, expected, "{text}\nis\n{found}\nnot\n{expected}");
        assert_eq!(found.to_string().parse::<Graph>().unwrap(), found, "{text}");
    }
}

#[test]
fn two_slashes_are_never_a_comment() {
    for text in [
        "x // 2",
        "x //2",
        "x\n// 2",
        "// a comment\nx",
        "x // a comment",
        "(x // 2) + 1",
        "f(x, // the tensor\n 1)",
        "x /// 2",
        "/// documents nothing\nx",
        "x + \n/// documents nothing\n1",
        "x\n/// documents nothing",
        "fn f(x) = x // twice\nf(y)",
        "fn f(x) = x /// twice\nfn g(x) = x\ng(y)",
        "fn f(x) = x\n/// documents nothing\nf(y)",
    ] {
        let (problem, message) = problem(text);
        assert_eq!(problem, Problem::Slashes, "{text}");
        assert!(message.contains("`#`") && message.contains("floor(x / 2)"), "{message}");
    }
    same([
        ("x # // 2\n / 2", "x / 2"),
        ("# x // 2\nx / # no operand // 3\n 2", "x / 2"),
        ("`a//b` / 2 # a name", "`a//b` / 2"),
        (
            "/// Docs of f,\n  /// in two lines.\nfn f(x) = x * 2 # twice\n/// Docs.\nprivate fn g(x) = f(x)\ng(y)",
            "y * 2",
        ),
        ("x / floor(x / 2)", "x / floor(x/2)"),
    ]);
    let library = Library::standard();
    library.define("/// One.\n///\n///  Two // three.\nfn f(x) = x\n\nfn g(x) = x").unwrap();
    assert_eq!(library.function("f").unwrap().docs(), "One.\n\n Two // three.");
    assert_eq!(library.function("g").unwrap().docs(), "");
}

#[test]
fn a_definition_ends_with_its_line_or_body() {
    same([
        ("fn f(x) = x*2\n-f(y)", "-(y * 2)"),
        ("fn f(x) = x*2\n+f(y)", "y * 2"),
        ("fn f(x) = x*2\n(f(y) + 1)", "y * 2 + 1"),
        ("fn f(x) = x\n(f(y) + 1)", "y + 1"),
        ("fn f(x) = x |> exp\n(f(y) + 1)", "exp(y) + 1"),
        ("fn f(x) = x |> exp\n-f(y)", "-exp(y)"),
        ("fn f(x) = { x*2 }\n-f(y)", "-(y * 2)"),
        ("fn f(x) = {\n x\n *2\n }\n\n# now\n  -f(y)", "-(y * 2)"),
        ("fn f(x) = (x\n-1)\n-f(y)", "-(y - 1)"),
        ("fn f(x) = relu(x\n-1\n)\n-f(y)", "-relu(y - 1)"),
        ("fn f(x) = x -\n1\n-f(y)", "-(y - 1)"),
        ("fn f(x) = x\n|> exp\n|> - 1\n-f(y)", "-(exp(y) - 1)"),
        ("fn f(x) = x |>\n- 1\n-f(y)", "-(y - 1)"),
        ("fn f(x) = x\n* 2\n/ 3\n-f(y)", "-(y * 2 / 3)"),
        ("fn f(x) =\n-x\n-f(y)", "--y"),
        ("fn f(x) = if x > 0\nthen x\nelse -x\n-f(y)", "-(if y > 0 then y else -y)"),
        (
            "fn f(x) = if x > 0 then\nx\nelse if x < -1\nand x > -2 then 1 else\n-x\n-f(y)",
            "-(if y > 0 then y else if y < -1 and y > -2 then 1 else -y)",
        ),
        ("fn f(x, p = 1) = x\nrequire p > 0 and\np < 9\nor p == 100 : \"p\"\nvia x + p\n-f(y)", "-(y + 1)"),
        ("fn f(x) = x\nalias g, h\n-g(y)", "-y"),
        // On one line brackets alone do not end it.
        ("fn f(x) = { x * 2 } - 1 { f(y) }", "y * 2 - 1"),
        ("fn f(x) = x + 1 fn g(x) = f(x) g(y)", "y + 1"),
        ("fn f(x) = x\nfn g(x) = -f(x)\n-g(y)", "--y"),
        // Lines mean nothing outside of definitions.
        ("x\n- 1\n- (y)", "x - 1 - y"),
        ("let a = x\n- 1;\na\n- y", "x - 1 - y"),
        ("{ x\n- 1 }", "x - 1"),
    ]);
    // Never silently another meaning: what a line cannot begin with is an error.
    assert!(read("fn f(x) = x * 2\n + x ^ 2\nf(y)").is_err());
    assert!(Library::standard().define("fn f(x) = x * 2\n - x ^ 2").is_err());
}

#[test]
fn words_of_clauses_are_names_where_no_clause_can_stand() {
    for word in ["via", "derivative", "alias", "require", "parameter_alias", "alternative", "input", "private", "where"]
    {
        let texts = [
            (format!("{word} + 1"), "x + 1"),
            (format!("let {word} = x; {word} * {word}"), "x * x"),
            (format!("fn f(x) = x * 2\n{word} * f(y)"), "x * (y * 2)"),
            (format!("fn f(x) = x * 2\n{word} |> f"), "x * 2"),
            (format!("fn f(x) = x * 2\n{word} and f(y) < 1"), "x and y * 2 < 1"),
            (format!("fn f(x) = x * 2 {{ {word} - f(y) }}"), "x - y * 2"),
            (format!("fn f(x) = x * 2\n{word}"), "x"),
            (format!("fn f({word}) = {word} * 2 + {word}\nf(x)"), "x * 2 + x"),
            (format!("fn f(x, {word} = 2) = x * {word} via x + {word}\nf(x, {word} = 3)"), "x + 3"),
            (format!("fn {word}(x) = x * 2 {{ {word}(x) |> {word} }}"), "x * 2 * 2"),
            (format!("fn f(x) = x * {word}(x) {{ f(x) }}"), "x * exp(x)"),
        ];
        for (text, explicit) in texts {
            let text =
                if text.contains(&format!("* {word}(x)")) { format!("fn {word}(x) = exp(x) {text}") } else { text };
            let found = graph(&text).to_string();
            let expected = graph(explicit).to_string();
            // An input has the name of the word.
            assert_eq!(found.replace(word, "x"), expected, "{text}");
        }
        let found = graph(&format!("fn f(x) = x * 2\n{word} = f(y), b = y"));
        assert_eq!(found.outputs()[0].name, word);
    }
    // Where a clause can stand, they begin one.
    same([
        ("fn f(x) = x * 2\nvia -x\nf(y)", "-y"),
        ("fn f(x) = x * 2 via (x + 1)\nf(y)", "y + 1"),
        ("fn f(x) = x derivative -1 alias g g(y)", "y"),
        ("fn f(x) = x alternative (p, q)\nf(y, p = 1, q = 2)", "y"),
    ]);
    for (text, expected) in [
        ("fn f(x) = x\nalias 3\nf(y)", "expected another name of the function, found the number 3"),
        ("fn f(x) = x\nparameter_alias a b\nf(y)", "expected `=`, found `b`"),
        ("fn f(x) = x\nalternative x\nf(y)", "expected `(`, found `x`"),
    ] {
        assert!(problem(text).1.starts_with(expected), "{}", problem(text).1);
    }
}

#[test]
fn else_if_chains_of_any_length_take_no_stack() {
    // As much as a small thread has.
    let chain = std::thread::Builder::new().stack_size(256 << 10).spawn(|| {
        for length in [1, 2, 10, 1000, 5000] {
            let steps: String = (0..length).map(|step| format!("if x < {step} then {step}.5 else ")).collect();
            let found = graph(&format!("{steps}x"));
            assert_eq!(
                found
                    .nodes()
                    .iter()
                    .filter(|node| matches!(node, fuselet_ir::Node::Elementwise { op: fuselet_ir::Op::Select, .. }))
                    .count(),
                length
            );
            assert_eq!(found.to_string().parse::<Graph>().unwrap(), found);
            // Decided at compile time, in either direction, at either end.
            let steps: String = (0..length).map(|step| format!("if p == {step} then x + {step} else ")).collect();
            let text = format!("fn f(x, p = 0) = {steps}x f(x, p = {})", length - 1);
            assert_eq!(graph(&text), graph(&format!("x + {}", length - 1)));
        }
    });
    chain.unwrap().join().unwrap();
    same([
        ("if x < 1 then 2 else if x < 3 then 4 else x + 5", "if x < 1 then 2 else (if x < 3 then 4 else (x + 5))"),
        ("(if x < 1 then 2 else if x < 3 then 4 else x) + 5", "select(x < 1, 2, select(x < 3, 4, x)) + 5"),
        ("if x < 1 then 2 else if 1 < 2 then y else z", "if x < 1 then 2 else y"),
        ("if x < 1 then 2 else if 1 > 2 then y else z", "if x < 1 then 2 else z"),
        (
            "if x < 1 then if y < 2 then 3 else 4 else if z < 5 then 6 else 7",
            "select(x < 1, select(y < 2, 3, 4), select(z < 5, 6, 7))",
        ),
    ]);
    // What nests is bounded still.
    let nested = format!("{}x{}", "if x < 1 then ".repeat(1000), " else x".repeat(1000));
    assert!(matches!(problem(&nested).0, Problem::TooDeep { .. }));
}

#[test]
fn an_axis_that_looks_like_a_value_must_be_named() {
    for (text, instead) in [
        ("max(x, 0)", "`maximum(x, y)`"),
        ("min(x, 0)", "`minimum(x, y)`"),
        ("max(x, -1)", "`max(x, axis = 0)`"),
        ("max(x, +1)", "`max(x, axis = 0)`"),
        ("min(x, 0.5)", "`min(x, axis = 0)`"),
        ("max(x, y)", "`maximum(x, y)`"),
        ("max(0, x)", "`maximum(x, y)`"),
        ("max(x, 2 * y)", "`maximum(x, y)`"),
        ("max(x, y, z)", "`maximum(x, y)`"),
        ("x |> max(0)", "`maximum(x, y)`"),
        ("let zero = 0; max(x, zero)", "`maximum(x, y)`"),
        ("fn clamp(x, low = 0) = max(x, low) clamp(y)", "`maximum(x, y)`"),
        ("fn f(x, axis: axis = 0) = { let axis = 1; max(x, axis) } f(y)", "`maximum(x, y)`"),
    ] {
        let (problem, message) = problem(text);
        assert!(matches!(problem, Problem::AxisByPosition { .. }), "{text}: {message}");
        assert!(message.contains(instead), "{message}");
    }
    same([
        ("max(x, axis = 0)", "max(x, [0])"),
        ("x |> min(axis = -1)", "min(x, axis = -1)"),
        ("max(x, none)", "max(x)"),
        ("max(x, [0, 1])", "max(x, axis = [0, 1])"),
        ("fn f(x, axis: axes = -1) = max(x, axis) f(y)", "max(y, axis = -1)"),
        ("fn f(x, along: axis = -1) = max(x, along) f(y)", "max(y, axis = -1)"),
        ("fn f(x, axis = -1) = max(x, axis) f(y)", "max(y, axis = -1)"),
        // Nothing else has an elementwise twin of nearly the same name.
        ("sum(x, 0)", "sum(x, axis = 0)"),
        ("mean(x, -1)", "mean(x, axis = -1)"),
    ]);
    assert_eq!(graph("max(x, axis = -1) + sum(x, axis = -1)").to_string(), "max(x, axis = -1) + sum(x, -1)");
}

#[test]
fn operators_of_other_languages() {
    same([
        ("x ** 2", "x ^ 2"),
        ("-x ** 2 ** y", "-(x ^ (2 ^ y))"),
        ("x ** -y", "x ^ (-y)"),
        ("x |> ** 2", "x ^ 2"),
        ("+x", "x"),
        ("+x ^ 2 + +y", "x ^ 2 + y"),
        ("x * +2", "x * 2"),
        ("x - +y - -z", "x - y - (-z)"),
        ("x ^ +2", "x ^ 2"),
        ("relu(x, max_value = +6)", "relu(x, max_value = 6)"),
        ("fn f(x, p = +2) = x * p f(y)", "y * 2"),
        ("sum(x, [+1])", "sum(x, [1])"),
        ("x != y and not x == z", "not x == y and not x == z"),
    ]);
    for (text, instead) in [
        ("x > 0 & y > 0", "`and`"),
        ("x > 0 && y > 0", "`and`"),
        ("x > 0 | y > 0", "`or`"),
        ("x > 0 || y > 0", "`or`"),
        ("x | exp", "`|>`"),
        ("!x", "`not`"),
        ("!(x > 0)", "`not`"),
        ("~x", "`not`"),
        ("x % 2", "floor"),
        ("x > 0 ? x : 0", "`if a then b else c`"),
        ("x − 1", "`-`"),
        ("x × 2", "`*`"),
        ("x ≤ 2", "`<=`"),
    ] {
        let (problem, message) = problem(text);
        assert!(matches!(problem, Problem::ForeignOperator { .. }), "{text}: {message}");
        assert!(message.contains(instead), "{message}");
    }
    for text in ["0 < x < 1", "a < b == c", "x > y >= z", "not a != b < c", "x |> < 1 < 2", "(a < b <= c)"] {
        let (problem, message) = problem(text);
        assert_eq!(problem, Problem::ChainedComparison, "{text}");
        assert!(message.contains("write `a < b and b < c`"), "{message}");
    }
    same([("(a < b) < c", "less(a < b, c)"), ("a < b and b < c", "(a < b) and (b < c)")]);
}

#[test]
fn what_is_named_twice_is_said_so() {
    for (text, expected) in [
        ("input x, y, x; x + y", "the name `x` is used twice for inputs"),
        ("a = x, b = y, a = x", "the name `a` is used twice for outputs"),
        ("fn f(x, x) = x f(y)", "the name `x` is used twice for parameters"),
        ("fn f(x, p = 1, p = 2) = x f(y)", "the name `p` is used twice for parameters"),
        ("elu(x, x = y)", "`x` is given twice"),
        ("elu(x, 1, alpha = 2)", "`alpha` is given twice"),
    ] {
        assert!(problem(text).1.starts_with(expected), "{}", problem(text).1);
    }
    // A `let` may hide another.
    same([("let a = x; let a = a * 2; a + 1", "x * 2 + 1")]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Bodies broken into lines at random after operators and inside brackets, with comments: the same function; and what
    /// follows on a line of its own is no part of it.
    #[test]
    fn lines_may_be_broken_where_something_is_open(
        choices in proptest::collection::vec((0usize..6, 0usize..4), 1..12),
        last in 0usize..3,
    ) {
        let mut plain = "x".to_owned();
        let mut broken = "x".to_owned();
        let lines = ["\n", " # - 1 //\n", "\n\n  ", " "];
        for (operator, line) in choices {
            let line = lines[line];
            let (text, before) = [("- 2", false), ("+ x", false), ("* 3", true), ("|> exp", true), ("^ 2", true), ("- (x - 1)", false)][operator];
            let text = if operator == 4 { "|> * 2" } else { text };
            plain.push_str(&format!(" |> {}", text.trim_start_matches("|> ")));
            if before {
                broken.push_str(&format!("{line}|> {}", text.trim_start_matches("|> ")));
            } else {
                broken.push_str(&format!(" |>{line}{}", text.replace("(x -", &format!("(x{line}-"))));
            }
        }
        let rest = ["- f(y)", "+ f(y)", "(f(y))"][last];
        let found = graph(&format!("fn f(x) = {broken}\n{rest}"));
        let expected = graph(&format!("fn f(x) = {{ {plain} }} {{ {rest} }}"));
        prop_assert_eq!(found, expected);
    }
}
