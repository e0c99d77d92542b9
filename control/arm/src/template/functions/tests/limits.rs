//! What is too much, and what holds for every value.

use super::*;
use proptest::prelude::*;
use serde_json::Map;

#[test]
fn bombs_are_refused() {
    let big = "parameters('big')";
    let many = vec![big; 30].join(", ");
    assert_refused(&[
        (&format!("concat({many})"), "4 MiB"),
        (&format!("createArray({many})"), "4 MiB"),
        (&format!("replace({big}, 'x', {big})"), "4 MiB"),
        (&format!("join(range(0, 10000), {big})"), "4 MiB"),
        ("padLeft('a', 2000000000)", "4 MiB"),
        (&format!("format('{}', {big})", "{0}".repeat(30)), "4 MiB"),
        (
            &format!("map(range(0, 10000), lambda('x', {big}))"),
            "96 MiB",
        ),
        (
            "length(map(range(0, 10000), lambda('x', map(range(0, 10000), lambda('y', 1)))))",
            "takes too much",
        ),
        (
            "json(concat(padLeft('', 200, '['), padLeft('', 200, ']')))",
            "JSON",
        ),
    ]);
    let mut variables = Map::new();
    variables.insert("v0".to_owned(), json!("0123456789"));
    for at in 1..40 {
        let text = format!("[concat(variables('v{0}'), variables('v{0}'))]", at - 1);
        variables.insert(format!("v{at}"), text.into());
    }
    let template = json!({ "variables": variables });
    let error = evaluate_in("variables('v39')", Phase::Body, &template).unwrap_err();
    assert!(error.to_string().contains("4 MiB"), "{error}");
    let chain: Map<String, Value> = (0..2000)
        .map(|at| {
            (
                format!("v{at}"),
                format!("[variables('v{}')]", at + 1).into(),
            )
        })
        .collect();
    let error = evaluate_in(
        "variables('v0')",
        Phase::Body,
        &json!({ "variables": chain }),
    )
    .unwrap_err();
    assert!(error.to_string().contains("deeper than 250"), "{error}");
    let circle =
        json!({ "variables": { "a": "[variables('b')]", "b": { "c": "[variables('A')]" } } });
    let error = evaluate_in("variables('a')", Phase::Body, &circle).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("variable 'A' depends on its own value"),
        "{error}"
    );
}

#[test]
fn functions_that_call_themselves_come_to_an_end() {
    let member = |output: &str| json!({ "output": { "type": "int", "value": [{ "x": output }] } });
    let template = json!({ "functions": [{ "namespace": "own", "members": {
        "plain": member("[own.plain()]"),
        "mapped": member("[map(range(0, 1), lambda('x', 'y', if(true(), own.mapped(), 1)))]"),
        "reduced": member("[reduce(range(0, 2), 0, lambda('a', 'b', 'c', sort(range(0, 2), lambda('d', 'e', own.reduced()))))]"),
    } }] });
    for name in ["plain", "mapped", "reduced"] {
        let error = evaluate_in(&format!("own.{name}()"), Phase::Body, &template).unwrap_err();
        assert!(
            error.to_string().contains("deeper than 250 levels"),
            "{error}"
        );
    }
}

/// A tree of arithmetic, and its value by the rules of the language on a type that cannot overflow.
fn arithmetic() -> impl Strategy<Value = (String, Option<i128>)> {
    let leaf = any::<i32>().prop_map(|number| (number.to_string(), Some(i128::from(number))));
    leaf.prop_recursive(4, 24, 2, |inner| {
        (0..5_usize, inner.clone(), inner).prop_map(|(what, (lt, l), (rt, r))| {
            let name = ["add", "sub", "mul", "div", "mod"][what];
            let value = l.zip(r).and_then(|(l, r)| match what {
                0 => Some(l + r),
                1 => Some(l - r),
                2 => Some(l * r),
                3 if r != 0 => Some(l / r),
                4 if r != 0 => Some(l % r),
                _ => None,
            });
            let fits = |value: &i128| i64::try_from(*value).is_ok();
            (format!("{name}({lt}, {rt})"), value.filter(fits))
        })
    })
}

proptest! {
    #[test]
    fn arithmetic_is_exact((text, expected) in arithmetic()) {
        let value = evaluate(&text).ok().and_then(|value| value.as_i64()).map(i128::from);
        prop_assert_eq!(value, expected, "{}", text);
    }

    #[test]
    fn texts_are_cut_where_their_characters_are(text in "[a-cäß€ ]{0,12}", at in 0..14_usize, count in 0..14_usize) {
        let characters: Vec<char> = text.chars().collect();
        let slow: Option<String> = characters.get(at..).and_then(|rest| rest.get(..count)).map(|cut| cut.iter().collect());
        let quick = evaluate(&format!("substring('{text}', {at}, {count})")).ok();
        prop_assert_eq!(quick, slow.map(Value::from));
        let taken: String = characters.iter().take(at).collect();
        let skipped: String = characters.iter().skip(at).collect();
        prop_assert_eq!(evaluate(&format!("take('{text}', {at})")).unwrap(), taken);
        prop_assert_eq!(evaluate(&format!("skip('{text}', {at})")).unwrap(), skipped);
    }

    #[test]
    fn split_and_join_are_each_others_reverse(text in "[ab,;]{0,16}") {
        let back = evaluate(&format!("join(split('{text}', ','), ',')")).unwrap();
        prop_assert_eq!(back, text.clone());
        let slow: Vec<Value> = text.split([',', ';']).map(Value::from).collect();
        let quick = evaluate(&format!("split('{text}', createArray(',', ';'))")).unwrap();
        prop_assert_eq!(quick, Value::from(slow));
    }

    #[test]
    fn codings_are_each_others_reverse(text in "[ -&(-~äß€]{0,20}") {
        for (there, back) in [("base64", "base64ToString"), ("uriComponent", "uriComponentToString"), ("dataUri", "dataUriToString")] {
            prop_assert_eq!(evaluate(&format!("{back}({there}('{text}'))")).unwrap(), text.clone());
        }
    }

    #[test]
    fn sets_are_those_of_a_slow_walk(left in prop::collection::vec(0..5_i64, 0..8), right in prop::collection::vec(0..5_i64, 0..8)) {
        let show = |items: &[i64]| format!("createArray({})", items.iter().map(i64::to_string).collect::<Vec<_>>().join(", "));
        let mut union: Vec<i64> = Vec::new();
        left.iter().chain(&right).for_each(|item| if !union.contains(item) { union.push(*item) });
        let both: Vec<i64> = union.iter().copied().filter(|item| left.contains(item) && right.contains(item)).collect();
        let run = |name: &str| evaluate(&format!("{name}({}, {})", show(&left), show(&right))).unwrap();
        prop_assert_eq!(run("union"), Value::from(union));
        prop_assert_eq!(run("intersection"), Value::from(both));
    }
}
