//! The syntax tree, in an arena: children come before parents, ids are `Copy`, and dropping it is freeing a vector,
//! however deep the tree.

use crate::error::Span;
use crate::library::ParameterType;
use crate::value::Value;

/// A node of a [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AstId(u32);

/// An operator between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Infix {
    Or,
    And,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

/// One argument of a call.
#[derive(Debug)]
pub(crate) struct ArgumentAst {
    pub name: Option<(String, Span)>,
    pub value: AstId,
}

/// An expression.
#[derive(Debug)]
pub(crate) enum Ast {
    Number(f64),
    Bool(bool),
    None,
    List(Vec<i64>),
    Name(String),
    Negate(AstId),
    Not(AstId),
    Infix {
        operator: Infix,
        left: AstId,
        right: AstId,
    },
    If {
        condition: AstId,
        then: AstId,
        otherwise: AstId,
    },
    /// `piped`: the first argument stands on the left of `|>`.
    Call {
        name: String,
        name_span: Span,
        arguments: Vec<ArgumentAst>,
        piped: bool,
    },
    Block {
        lets: Vec<(String, AstId)>,
        result: AstId,
    },
}

/// The arena.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<(Ast, Span)>,
}

impl Tree {
    pub fn add(&mut self, node: Ast, span: Span) -> AstId {
        self.nodes.push((node, span));
        AstId(u32::try_from(self.nodes.len() - 1).expect("a text of at most MAX_TEXT bytes has fewer nodes"))
    }

    pub fn node(&self, id: AstId) -> &Ast {
        &self.nodes[id.0 as usize].0
    }

    pub fn span(&self, id: AstId) -> Span {
        self.nodes[id.0 as usize].1
    }

    /// Every call in the nodes from `from` to the end of the arena: name and place.
    pub fn calls(&self, from: usize, to: usize) -> impl Iterator<Item = (&str, Span)> {
        self.nodes[from..to].iter().filter_map(|(node, _)| match node {
            Ast::Call { name, name_span, .. } => Some((name.as_str(), *name_span)),
            _ => None,
        })
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }
}

/// A parameter as written in a definition.
#[derive(Debug)]
pub(crate) struct ParameterAst {
    pub name: String,
    pub ty: ParameterType,
    pub default: Value,
}

/// `require condition : "message"`.
#[derive(Debug)]
pub(crate) struct RequirementAst {
    pub condition: AstId,
    pub message: String,
}

/// A `derivative` clause; with a cotangent it is a vector-Jacobian product, without the factor dy/dx.
#[derive(Debug, Clone)]
pub(crate) struct DerivativeAst {
    pub cotangent: Option<String>,
    pub body: AstId,
}

/// A function definition.
#[derive(Debug)]
pub(crate) struct DefinitionAst {
    pub docs: String,
    pub private: bool,
    pub name: String,
    pub name_span: Span,
    pub tensors: Vec<(String, Span)>,
    pub parameters: Vec<ParameterAst>,
    pub definition: AstId,
    pub form: Option<AstId>,
    pub derivative: Option<DerivativeAst>,
    pub aliases: Vec<(String, Span)>,
    pub requirements: Vec<RequirementAst>,
    /// Another name of a parameter, and the parameter.
    pub parameter_aliases: Vec<(String, String, Span)>,
    /// The parameters of the other signature, if there is one.
    pub alternative: Vec<(String, Span)>,
    /// The whole definition with its docs.
    pub span: Span,
    /// Where its nodes lie in the arena.
    pub nodes: std::ops::Range<usize>,
}

/// A program: definitions, declared inputs, `let`s, outputs.
#[derive(Debug)]
pub(crate) struct ProgramAst {
    pub definitions: Vec<DefinitionAst>,
    pub inputs: Vec<String>,
    pub lets: Vec<(String, AstId)>,
    pub outputs: Vec<(String, AstId)>,
}
