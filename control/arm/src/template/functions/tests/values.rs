//! Numbers, truths, arrays, objects, lambdas, and functions of the template.

use super::*;

#[test]
fn numbers() {
    assert_values(&[
        ("add(5, 3)", json!(8)),
        ("sub(7, 3)", json!(4)),
        ("mul(5, 3)", json!(15)),
        ("div(8, 3)", json!(2)),
        ("div(-8, 3)", json!(-2)),
        ("mod(7, 3)", json!(1)),
        ("mod(-7, 3)", json!(-1)),
        ("int('42')", json!(42)),
        ("int(42)", json!(42)),
        ("float('1.5')", json!(1.5)),
        ("min(0, 3, 2, 5, 4)", json!(0)),
        ("max(createArray(0, 3, 2))", json!(3)),
        ("range(5, 3)", json!([5, 6, 7])),
        ("range(0, 0)", json!([])),
    ]);
    assert_refused(&[
        ("add(9223372036854775807, 1)", "no 64-bit integer"),
        ("div(1, 0)", "no 64-bit integer"),
        ("mod(1, 0)", "no 64-bit integer"),
        ("add('1', 1)", "argument 1 to be an integer"),
        ("add(1)", "requires 2 argument(s) while 1 were provided"),
        ("int('4x')", "'4x' is no integer"),
        ("range(0, 10001)", "from 0 to 10000"),
        ("range(0, -1)", "from 0 to 10000"),
        ("range(2147483647, 1)", "from 0 to 10000"),
        ("range(9223372036854775807, 10)", "from 0 to 10000"),
        ("min(createArray())", "empty"),
        ("max(1, 'a')", "argument 2"),
    ]);
}

#[test]
fn truths() {
    assert_values(&[
        ("equals(1, 1)", json!(true)),
        ("equals('a', 'A')", json!(false)),
        (
            "equals(parameters('array'), createArray('one', 'two', 'three'))",
            json!(true),
        ),
        (
            "equals(createObject('A', 1), createObject('a', 1))",
            json!(true),
        ),
        ("equals(json('1.0'), 1)", json!(true)),
        ("equals(1, '1')", json!(false)),
        ("less(1, 2)", json!(true)),
        ("less('a', 'b')", json!(true)),
        ("lessOrEquals(2, 2)", json!(true)),
        ("greater(2, 1)", json!(true)),
        ("greaterOrEquals('a', 'b')", json!(false)),
        ("not(true())", json!(false)),
        ("and(true(), true(), false())", json!(false)),
        ("or(false(), true())", json!(true)),
        ("or(true(), int('x'))", json!(true)),
        ("and(false(), int('x'))", json!(false)),
        ("if(true(), 'yes', int('x'))", json!("yes")),
        ("if(equals('a', 'b'), int('x'), 'no')", json!("no")),
        ("bool('TRUE')", json!(true)),
        ("bool(0)", json!(false)),
        ("null()", json!(null)),
        ("coalesce(null(), null(), 'a', 'b')", json!("a")),
        ("coalesce(null())", json!(null)),
    ]);
    assert_refused(&[
        ("if('a', 1, 2)", "argument 1 to be a boolean"),
        ("if(true(), 1)", "requires 3 argument(s) while 2"),
        ("and(true())", "at least 2"),
        ("or(false(), 1)", "argument 2"),
        ("bool('x')", "neither"),
        ("less(1, 'a')", "argument 2"),
        ("not('a')", "a boolean"),
        ("true(1)", "requires 0"),
        ("fail('because')", "because"),
    ]);
}

#[test]
fn collections() {
    assert_values(&[
        ("array('a')", json!(["a"])),
        ("array(createArray(1))", json!([1])),
        (
            "concat(createArray(1), createArray(2, 3))",
            json!([1, 2, 3]),
        ),
        ("contains(parameters('array'), 'two')", json!(true)),
        ("contains(parameters('array'), 'TWO')", json!(false)),
        ("contains(parameters('object'), 'TWO')", json!(true)),
        ("contains('abc', 'bc')", json!(true)),
        ("contains('abc', 'BC')", json!(false)),
        ("empty('')", json!(true)),
        ("empty(createArray())", json!(true)),
        ("empty(createObject())", json!(true)),
        ("empty(null())", json!(true)),
        ("empty('a')", json!(false)),
        ("first(parameters('array'))", json!("one")),
        ("first('One')", json!("O")),
        ("first(createArray())", json!(null)),
        ("last(parameters('array'))", json!("three")),
        ("last('')", json!("")),
        ("length(parameters('array'))", json!(3)),
        ("length('äö')", json!(2)),
        ("length(parameters('object'))", json!(3)),
        ("skip(parameters('array'), 2)", json!(["three"])),
        ("skip('one two', 4)", json!("two")),
        ("skip('abc', -1)", json!("abc")),
        ("take(parameters('array'), 2)", json!(["one", "two"])),
        ("take('on', 5)", json!("on")),
        ("indexOf('test', 'T')", json!(0)),
        ("lastIndexOf('test', 't')", json!(3)),
        ("indexOf('äb', 'B')", json!(1)),
        ("indexOf('abc', 'x')", json!(-1)),
        ("indexOf(parameters('array'), 'two')", json!(1)),
        ("lastIndexOf(createArray(1, 2, 1), 1)", json!(2)),
        (
            "flatten(createArray(createArray(1, 2), createArray(), 3))",
            json!([1, 2, 3]),
        ),
        ("indexFromEnd(parameters('array'), 1)", json!("three")),
        ("tryIndexFromEnd(parameters('array'), 4)", json!(null)),
        (
            "union(createArray(1, 2), createArray(2, 3))",
            json!([1, 2, 3]),
        ),
        (
            "union(json('{\"a\":1,\"b\":{\"x\":1}}'), json('{\"A\":2,\"b\":{\"y\":[1]}}'))",
            json!({"a": 2, "b": {"x": 1, "y": [1]}}),
        ),
        (
            "intersection(createArray(1, 2, 3), createArray(3, 1))",
            json!([1, 3]),
        ),
        (
            "intersection(json('{\"a\":1,\"b\":2}'), json('{\"a\":1,\"b\":3}'))",
            json!({"a": 1}),
        ),
    ]);
    assert_refused(&[
        ("length(1)", "an array, an object or a string"),
        ("first(1)", "an array or a string"),
        ("indexFromEnd(createArray(), 1)", "out of bounds"),
        ("union(createArray(), createObject())", "argument 2"),
        ("concat(createArray(), 'a')", "argument 2"),
    ]);
}

#[test]
fn objects() {
    assert_values(&[
        (
            "createObject('a', 1, 'b', createArray())",
            json!({"a": 1, "b": []}),
        ),
        (
            "items(json('{\"b\":2,\"a\":1}'))",
            json!([{"key": "a", "value": 1}, {"key": "b", "value": 2}]),
        ),
        ("objectKeys(json('{\"b\":2,\"a\":1}'))", json!(["a", "b"])),
        (
            "shallowMerge(createArray(json('{\"a\":{\"x\":1}}'), json('{\"a\":{\"y\":1}}')))",
            json!({"a": {"y": 1}}),
        ),
        ("tryGet(parameters('object'), 'two', 'deep', 1)", json!(2)),
        ("tryGet(parameters('object'), 'none', 'deep')", json!(null)),
        ("tryGet(parameters('array'), 7)", json!(null)),
        ("parameters('OBJECT').two.DEEP[1]", json!(2)),
        ("parameters('object')['one']", json!("a")),
        ("parameters('object').no", json!(null)),
        ("json('{\"a\": [1, null]}').a", json!([1, null])),
        ("json('\"text\"')", json!("text")),
    ]);
    assert_refused(&[
        ("createObject('a')", "names and values by turns"),
        ("createObject(1, 2)", "argument 1"),
        (
            "parameters('object').none",
            "property 'none' doesn't exist, available properties are 'one, Two, no'",
        ),
        ("parameters('array')[3]", "index '3' is out of bounds"),
        ("parameters('array')[-1]", "index '-1' is out of bounds"),
        (
            "parameters('text').a",
            "cannot be selected from a value of type 'String'",
        ),
        ("parameters('array').a", "cannot be selected"),
        ("parameters('none')", "parameter 'none' is not found"),
        ("variables('none')", "variable 'none' is not found"),
        ("json('{')", "not JSON"),
    ]);
}

#[test]
fn lambdas() {
    assert_values(&[
        (
            "map(range(0, 3), lambda('x', mul(lambdaVariables('x'), 2)))",
            json!([0, 2, 4]),
        ),
        (
            "map(createArray('a', 'b'), lambda('x', 'i', concat(lambdaVariables('x'), lambdaVariables('i'))))",
            json!(["a0", "b1"]),
        ),
        (
            "filter(range(0, 6), lambda('x', equals(mod(lambdaVariables('x'), 2), 0)))",
            json!([0, 2, 4]),
        ),
        (
            "reduce(range(1, 4), 0, lambda('c', 'n', add(lambdaVariables('c'), lambdaVariables('n'))))",
            json!(10),
        ),
        (
            "sort(createArray(3, 1, 2, 1), lambda('a', 'b', less(lambdaVariables('a'), lambdaVariables('b'))))",
            json!([1, 1, 2, 3]),
        ),
        (
            "toObject(createArray('a', 'b'), lambda('x', lambdaVariables('x')), lambda('x', 1))",
            json!({"a": 1, "b": 1}),
        ),
        (
            "toObject(createArray('a'), lambda('x', concat(lambdaVariables('x'), '1')))",
            json!({"a1": "a"}),
        ),
        (
            "groupBy(createArray('aa', 'b', 'ac'), lambda('x', first(lambdaVariables('x'))))",
            json!({"a": ["aa", "ac"], "b": ["b"]}),
        ),
        (
            "mapValues(createObject('a', 1), lambda('x', add(lambdaVariables('x'), 1)))",
            json!({"a": 2}),
        ),
        (
            "map(range(0, 2), lambda('x', map(range(0, 2), lambda('y', add(mul(lambdaVariables('x'), 10), lambdaVariables('y'))))))",
            json!([[0, 1], [10, 11]]),
        ),
    ]);
    assert_refused(&[
        ("lambdaVariables('x')", "no lambda around it"),
        ("map(range(0, 1), 1)", "a lambda"),
        ("map(range(0, 1), lambda('x', 'y', 'z', 1))", "1 to 2"),
        ("filter(range(0, 1), lambda('x', 1))", "a boolean"),
        ("lambda('x', 1)", "not expected"),
        ("map(1, lambda('x', 1))", "an array"),
    ]);
}

#[test]
fn functions_of_the_template() {
    let template = json!({
        "functions": [{ "namespace": "Own", "members": { "name": {
            "parameters": [{ "name": "prefix", "type": "string" }],
            "output": { "type": "string", "value": "[concat(toLower(parameters('prefix')), '-x')]" },
        }, "bad": {
            "output": { "type": "string", "value": "[variables('v')]" },
        } } }],
        "variables": { "v": 1 },
    });
    let run = |text| evaluate_in(text, Phase::Body, &template);
    assert_eq!(run("own.NAME('A')").unwrap(), "a-x");
    for (text, words) in [
        ("own.name()", "requires 1"),
        ("own.other()", "function 'own.other' is not valid"),
        ("own.bad()", "not expected at this location"),
        ("name('a')", "function 'name' is not valid"),
    ] {
        let said = run(text).unwrap_err().to_string();
        assert!(said.contains(words), "{text}: {said}");
    }
}
