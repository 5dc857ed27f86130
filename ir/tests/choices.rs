//! Choices have names: what `Display` prints `FromStr` reads, and an unknown name says what may be meant.

use fuselet_ir::library::ParameterType;
use fuselet_ir::rewrite::Rules;
use fuselet_ir::{Class, Half, Kind, Meaning, Op, Reduction, UnknownName};
use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::str::FromStr;

fn all_read_back<T>(choices: impl IntoIterator<Item = T>)
where
    T: Display + FromStr<Err = UnknownName> + PartialEq + Debug,
{
    let mut names = BTreeSet::new();
    for choice in choices {
        let name = choice.to_string();
        assert_eq!(name.parse::<T>().as_ref(), Ok(&choice));
        assert!(names.insert(name.clone()), "two are called {name}");
        assert_eq!(format!("{choice:>30}").len(), 30);
    }
    assert!(names.len() > 1);
}

#[test]
fn every_choice_is_read_back_from_its_name() {
    all_read_back(Op::all());
    all_read_back(Reduction::all());
    all_read_back(Class::ALL.iter().copied());
    all_read_back(Kind::ALL.iter().copied());
    all_read_back(Half::ALL.iter().copied());
    all_read_back(Meaning::ALL.iter().copied());
    all_read_back(Rules::ALL.iter().copied());
    all_read_back(ParameterType::ALL.iter().copied());
}

#[test]
fn an_unknown_name_is_an_error_with_the_nearest_one() {
    let error = "sqrtt".parse::<Op>().unwrap_err();
    let nearest = Some("sqrt".to_owned());
    assert_eq!(error, UnknownName { what: "op", name: "sqrtt".to_owned(), nearest });
    assert_eq!(error.to_string(), "there is no op called `sqrtt`; did you mean `sqrt`?");
    assert_eq!(
        "exactly".parse::<Rules>().unwrap_err().to_string(),
        "there is no set of rules called `exactly`; did you mean `exact`?"
    );
    assert_eq!("x".repeat(1000).parse::<Half>().unwrap_err().name.len(), 80);
}
