//! Calls that name a storage type: `cast(x, bf16)`, `quantize(x, scale, zero_point, i8)`, `dequantize(x, scale, zero_point)`.
//!
//! Their type is a word, not a value: it stands in its place whatever is bound or given by that name elsewhere. They are part of the
//! language, and no functions of the library, because a function's parameters have no types for values, nor its tensors defaults.

use super::ast::{ArgumentAst, Ast, AstId};
use super::builtin::{CAST, DEQUANTIZE, QUANTIZE};
use super::elaborate::{Elaborated, Elaborator, Term};
use crate::error::Problem;
use crate::expr::Expr;
use crate::nearest::nearest;
use crate::op::StorageType;

/// What a call takes.
pub(super) struct Signature {
    name: &'static str,
    /// The names of its tensors.
    tensors: &'static [&'static str],
    /// How many of them must be given.
    needed: usize,
    /// Whether a storage type follows.
    typed: bool,
    /// How people write it.
    text: &'static str,
}

/// The name of the argument that is a storage type.
const TYPE: &str = "dtype";

const SIGNATURES: &[Signature] = &[
    Signature { name: CAST, tensors: &["x"], needed: 1, typed: true, text: "cast(x, dtype)" },
    Signature {
        name: QUANTIZE,
        tensors: &["x", "scale", "zero_point"],
        needed: 2,
        typed: true,
        text: "quantize(x, scale, zero_point = 0, dtype = i8)",
    },
    Signature {
        name: DEQUANTIZE,
        tensors: &["x", "scale", "zero_point"],
        needed: 2,
        typed: false,
        text: "dequantize(x, scale, zero_point = 0)",
    },
];

/// What the call of this name takes, if it is one of these.
pub(super) fn signature(name: &str) -> Option<&'static Signature> {
    SIGNATURES.iter().find(|signature| signature.name == name)
}

impl Elaborator<'_> {
    pub(super) fn storage_call(
        &mut self,
        id: AstId,
        signature: &'static Signature,
        arguments: &[ArgumentAst],
        mut piped: Option<Term>,
    ) -> Elaborated<Term> {
        let mut tensors: Vec<Option<Expr>> = vec![None; signature.tensors.len()];
        let mut ty: Option<(StorageType, AstId)> = None;
        let mut named = false;
        let mut place = 0;
        for argument in arguments {
            let at = argument.value;
            let span = argument.name.as_ref().map_or(self.span(at), |(_, span)| *span);
            let name = match &argument.name {
                Some((name, _)) => {
                    named = true;
                    name.as_str()
                }
                None if named => return self.fail(Problem::PositionAfterName, span),
                // A type may follow what must be given; the tensors between have defaults.
                None if signature.typed && place >= signature.needed && self.type_named(at).is_some() => TYPE,
                None => {
                    place += 1;
                    signature.tensors.get(place - 1).copied().unwrap_or(TYPE)
                }
            };
            let repeated = || Problem::RepeatedArgument { name: name.to_owned() };
            if name == TYPE && signature.typed {
                if ty.is_some() {
                    return match argument.name {
                        Some(_) => self.fail(repeated(), span),
                        None => self.fail(signature.arity(arguments.len()), self.span(id)),
                    };
                }
                ty = Some((self.storage_type(at)?, at));
            } else if let Some(tensor) = signature.tensors.iter().position(|tensor| *tensor == name) {
                if tensors[tensor].is_some() {
                    return self.fail(repeated(), span);
                }
                tensors[tensor] = Some(match piped.take() {
                    Some(term) => self.to_expr(term, at)?,
                    None => self.expr(at)?,
                });
            } else if argument.name.is_some() {
                let known = signature.tensors.iter().copied().chain(signature.typed.then_some(TYPE));
                let problem = Problem::UnknownParameter {
                    function: signature.name.to_owned(),
                    name: name.to_owned(),
                    nearest: nearest(name, known),
                };
                return self.fail(problem, span);
            } else {
                return self.fail(signature.arity(arguments.len()), self.span(id));
            }
        }
        let complete = tensors.iter().take(signature.needed).all(Option::is_some);
        if !complete || (signature.name == CAST && ty.is_none()) {
            return self.fail(signature.arity(arguments.len()), self.span(id));
        }
        let mut tensors = tensors.into_iter().map(|tensor| tensor.unwrap_or_else(|| Expr::number(0.0)));
        let mut next = || tensors.next().unwrap_or_else(|| Expr::number(0.0));
        let x = next();
        Ok(Term::Expr(match signature.name {
            CAST => x.cast(ty.map_or(StorageType::F64, |(ty, _)| ty)),
            QUANTIZE => {
                let ty = match ty {
                    Some((ty, at)) if ty.integer_range().is_none() => {
                        let found = Problem::Type {
                            place: "the dtype of `quantize`".to_owned(),
                            expected: "one of integers",
                            found: format!("`{ty}`"),
                        };
                        return self.fail(found, self.span(at));
                    }
                    Some((ty, _)) => ty,
                    None => StorageType::I8,
                };
                x.quantize(next(), next(), ty)
            }
            _ => x.dequantize(next(), next()),
        }))
    }

    /// The storage type that a node names.
    fn type_named(&self, id: AstId) -> Option<StorageType> {
        match self.source.tree.node(id) {
            Ast::Name(name) => StorageType::by_name(name),
            _ => None,
        }
    }

    /// The storage type at a place that must be one.
    fn storage_type(&self, id: AstId) -> Elaborated<StorageType> {
        if let Some(ty) = self.type_named(id) {
            return Ok(ty);
        }
        let name = match self.source.tree.node(id) {
            Ast::Name(name) => Some(name.clone()),
            _ => None,
        };
        let nearest = name.as_ref().and_then(|name| nearest(name, StorageType::names()));
        self.fail(Problem::StorageType { name, nearest }, self.span(id))
    }
}

impl Signature {
    fn arity(&self, given: usize) -> Problem {
        Problem::Arity { function: self.name.to_owned(), expected: self.text.to_owned(), given }
    }
}
