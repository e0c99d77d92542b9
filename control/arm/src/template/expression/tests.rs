use super::*;
use proptest::prelude::*;

fn call(name: &str, arguments: Vec<Expression>) -> Expression {
    Expression::Call {
        namespace: None,
        name: name.to_owned(),
        arguments,
    }
}

#[test]
fn strings_are_literal_or_expressions() {
    for (text, expected) in [
        ("a", Text::Literal("a")),
        ("", Text::Literal("")),
        ("[a()]", Text::Expression("a()")),
        ("[[a]", Text::Literal("[a]")),
        ("[[", Text::Literal("[")),
        ("[a() ", Text::Literal("[a() ")),
        ("[", Text::Literal("[")),
        ("[]", Text::Expression("")),
        ("a]", Text::Literal("a]")),
        (" [a()]", Text::Literal(" [a()]")),
    ] {
        assert_eq!(classify(text), expected, "{text}");
    }
}

#[test]
fn expressions_are_read() {
    let text = |text: &str| Expression::Text(text.to_owned());
    let read = |text: &str| Expression::parse(text).unwrap();
    assert_eq!(read("'it''s'"), text("it's"));
    assert_eq!(read("''''"), text("'"));
    assert_eq!(read("''"), text(""));
    assert_eq!(read("-12"), Expression::Integer(-12));
    assert_eq!(
        read("a ( 'x' ,\n\t2 )"),
        call("a", vec![text("x"), Expression::Integer(2)])
    );
    assert_eq!(
        read("ns.a().b[0]['c']"),
        Expression::Index(
            Box::new(Expression::Index(
                Box::new(Expression::Property(
                    Box::new(Expression::Call {
                        namespace: Some("ns".to_owned()),
                        name: "a".to_owned(),
                        arguments: Vec::new()
                    }),
                    "b".to_owned()
                )),
                Box::new(Expression::Integer(0))
            )),
            Box::new(text("c"))
        )
    );
}

#[test]
fn what_is_no_expression_is_refused() {
    for (text, words) in [
        (
            "",
            "expected a function, a number or a string and found the end at character 2",
        ),
        ("a", "expected '(' and found the end at character 3"),
        ("a(", "found the end"),
        ("a('x'", "expected ',' or ')'"),
        ("a('x',)", "found ')' at character 8"),
        ("a()b", "expected the end and found 'b' at character 5"),
        ("a().", "the name of a property"),
        ("a()[1", "expected ']'"),
        ("'x", "begins at character 2 has no closing quote"),
        ("a(\"x\")", "found '\"' at character 4"),
        ("-", "a number after '-'"),
        ("1 + 2", "found '+'"),
        (
            "99999999999999999999",
            "the number 99999999999999999999 is not",
        ),
        ("a..b()", "the name of a function"),
    ] {
        let error = Expression::parse(text).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn bombs_are_refused() {
    let nested = |n: usize| format!("{}1{}", "a(".repeat(n), ")".repeat(n));
    assert!(Expression::parse(&nested(MAX_DEPTH - 1)).is_ok());
    assert_eq!(
        Expression::parse(&nested(MAX_DEPTH)),
        Err(SyntaxError::Deep)
    );
    assert_eq!(Expression::parse(&nested(8000)), Err(SyntaxError::Deep));
    let row = |n: usize| format!("a(){}", ".b".repeat(n));
    assert!(Expression::parse(&row(MAX_DEPTH - 1)).is_ok());
    assert_eq!(Expression::parse(&row(MAX_DEPTH)), Err(SyntaxError::Deep));
    let both = "a(".repeat(60) + "a()" + &".b".repeat(60) + &")".repeat(60);
    assert_eq!(Expression::parse(&both), Err(SyntaxError::Deep));
    let long = format!("'{}'", "x".repeat(MAX_LENGTH));
    assert!(matches!(
        Expression::parse(&long),
        Err(SyntaxError::Long(_))
    ));
}

fn any_expression() -> impl Strategy<Value = Expression> {
    let leaf = prop_oneof![
        ".{0,8}".prop_map(Expression::Text),
        any::<i64>().prop_map(Expression::Integer),
    ];
    leaf.prop_recursive(5, 32, 4, |inner| {
        let name = "[A-Za-z_][A-Za-z0-9_]{0,6}";
        let arguments = prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            (prop::option::of(name), name, arguments).prop_map(|(namespace, name, arguments)| {
                Expression::Call {
                    namespace,
                    name,
                    arguments,
                }
            }),
            (inner.clone(), name).prop_map(|(of, name)| Expression::Property(Box::new(of), name)),
            (inner.clone(), inner)
                .prop_map(|(of, index)| Expression::Index(Box::new(of), Box::new(index))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(expression in any_expression()) {
        prop_assert_eq!(Expression::parse(&expression.to_string()), Ok(expression));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-c'(),.\\[\\]0-9 -]{0,40}") {
        if let Ok(read) = Expression::parse(&text) {
            prop_assert_eq!(Expression::parse(&read.to_string()), Ok(read));
        }
    }
}
