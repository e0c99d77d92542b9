//! Texts, numbers as texts, dates, addresses and IDs.

use super::*;

#[test]
fn texts() {
    assert_values(&[
        ("concat('a', 1, true())", json!("a1True")),
        ("concat('')", json!("")),
        ("toLower('AbÄ')", json!("abä")),
        ("TOUPPER('abc')", json!("ABC")),
        ("trim('  a b ')", json!("a b")),
        ("startsWith('abcdef', 'AB')", json!(true)),
        ("endsWith('abcdef', 'EF')", json!(true)),
        ("endsWith('abcdef', 'e')", json!(false)),
        ("padLeft('123', 10, '0')", json!("0000000123")),
        ("padLeft(7, 3)", json!("  7")),
        ("padLeft('1234', 3)", json!("1234")),
        ("replace('123-123-1234', '-', '')", json!("1231231234")),
        ("replace('aXbx', 'x', 'yy')", json!("aXbyy")),
        (
            "split('one,two,three', ',')",
            json!(["one", "two", "three"]),
        ),
        (
            "split('one;two,three', createArray(';', ','))",
            json!(["one", "two", "three"]),
        ),
        ("split('a--b', '-')", json!(["a", "", "b"])),
        ("split('', ',')", json!([""])),
        ("split('ab,', ',')", json!(["ab", ""])),
        ("join(parameters('array'), '-')", json!("one-two-three")),
        ("join(createArray(), ',')", json!("")),
        ("join(createArray(1, 'a'), '')", json!("1a")),
        ("string(5)", json!("5")),
        ("string(false())", json!("False")),
        (
            "string(parameters('array'))",
            json!("[\"one\",\"two\",\"three\"]"),
        ),
        ("substring('one two three', 4, 3)", json!("two")),
        ("substring('abc', 3)", json!("")),
        ("substring('äöü', 1, 1)", json!("ö")),
        ("uniqueString('hello', 'world')", json!("a7wkljktk6wne")),
        ("length(uniqueString(resourceGroup().id))", json!(13)),
        (
            "equals(uniqueString('a', 'b'), uniqueString('a-b'))",
            json!(true),
        ),
        ("equals(uniqueString('a'), uniqueString('b'))", json!(false)),
    ]);
    assert_refused(&[
        ("concat('a', createArray())", "argument 2"),
        ("padLeft('a', 5, 'xx')", "one character"),
        ("padLeft('a', -1)", "negative"),
        ("replace('a', '', 'b')", "must not be empty"),
        (
            "substring('abc', 2, 2)",
            "location within the string of 3 characters",
        ),
        ("substring('abc', 4)", "location within"),
        ("substring('abc', -1)", "location within"),
        (
            "toLower(1)",
            "a string. The provided value is of type 'Integer'",
        ),
        ("join(createArray(createArray()), ',')", "no texts"),
        ("newGuid()", "not expected at this location"),
    ]);
}

#[test]
fn guids_are_those_of_azure() {
    // Version 5 of a name in Azure's namespace, whatever the name: worked out here by its definition.
    let expected = uuid::Uuid::new_v5(
        &"11fb06fb-712d-4ddd-98c7-e71bbd588830".parse().unwrap(),
        b"a-b-7",
    );
    assert_values(&[
        ("guid('a', 'b', 7)", json!(expected.to_string())),
        ("length(guid('x'))", json!(36)),
    ]);
    let one = evaluate_in(
        "concat(newGuid(), newGuid())",
        Phase::Parameters,
        &json!({}),
    )
    .unwrap();
    let one = one.as_str().unwrap();
    assert_ne!(one[..36], one[36..], "each call returns another one");
    assert_eq!(&one[14..15], "4");
}

#[test]
fn formats() {
    assert_values(&[
        (
            "format('{0}, {1}. {2:D3}', 'Hello', 'World', 7)",
            json!("Hello, World. 007"),
        ),
        ("format('{{{0}}}', 'a')", json!("{a}")),
        ("format('{0,5}|{0,-5}|', 'ab')", json!("   ab|ab   |")),
        ("format('{0:N0}', 8175133)", json!("8,175,133")),
        ("format('{0:N0}', -123)", json!("-123")),
        ("format('{0:X4} {0:x}', 255)", json!("00FF ff")),
        ("format('{0:D5}', -12)", json!("-00012")),
        ("format('{0}', true())", json!("True")),
        ("format('{0}/{1}', 'vnet', 'subnet')", json!("vnet/subnet")),
        ("format('nothing')", json!("nothing")),
    ]);
    assert_refused(&[
        (
            "format('{0} {1}', 'a')",
            "index from 0 and less than the 1 argument(s)",
        ),
        ("format('{', 1)", "no partner"),
        ("format('}', 1)", "no partner"),
        ("format('{x}', 1)", "index"),
        ("format('{0:Q}', 1)", "not supported"),
        ("format('{0,99999999}', 1)", "4 MiB"),
    ]);
}

#[test]
fn encodings() {
    assert_values(&[
        ("base64('one, two, three')", json!("b25lLCB0d28sIHRocmVl")),
        (
            "base64ToString('b25lLCB0d28sIHRocmVl')",
            json!("one, two, three"),
        ),
        ("base64ToJson(base64('{\"a\":1}')).a", json!(1)),
        (
            "dataUri('Hello')",
            json!("data:text/plain;charset=utf8;base64,SGVsbG8="),
        ),
        (
            "dataUriToString('data:;base64,SGVsbG8sIFdvcmxkIQ==')",
            json!("Hello, World!"),
        ),
        (
            "uri('http://contoso.com/resources/', 'nested/x.json')",
            json!("http://contoso.com/resources/nested/x.json"),
        ),
        (
            "uri('http://contoso.org/firstpath', 'myscript.sh')",
            json!("http://contoso.org/myscript.sh"),
        ),
        (
            "uri('http://contoso.org/a/b.json?x=1', '/c')",
            json!("http://contoso.org/a/c"),
        ),
        (
            "uri('http://contoso.org', 'a')",
            json!("http://contoso.org/a"),
        ),
        (
            "uriComponent('http://contoso.com/a b')",
            json!("http%3A%2F%2Fcontoso.com%2Fa%20b"),
        ),
        ("uriComponentToString('a%20b%zz%')", json!("a b%zz%")),
    ]);
    assert_refused(&[
        ("base64ToString('%')", "base64"),
        ("uri('contoso.com', 'a')", "absolute"),
        ("uriComponentToString('%ff')", "UTF-8"),
    ]);
}

#[test]
fn dates_and_ranges() {
    assert_values(&[
        (
            "dateTimeAdd('2020-04-07 14:53:14Z', 'P3Y')",
            json!("4/7/2023 2:53:14 PM"),
        ),
        (
            "dateTimeAdd('2020-04-07 14:53:14Z', '-P9D', 'yyyy-MM-dd')",
            json!("2020-03-29"),
        ),
        (
            "dateTimeFromEpoch(1683040573)",
            json!("2023-05-02T15:16:13Z"),
        ),
        (
            "dateTimeToEpoch('2023-05-02T15:16:13Z')",
            json!(1_683_040_573),
        ),
        (
            "parseCidr('10.144.0.0/20').firstUsable",
            json!("10.144.0.1"),
        ),
        (
            "parseCidr('10.144.0.0/20').lastUsable",
            json!("10.144.15.254"),
        ),
        (
            "parseCidr('10.144.0.0/20').broadcast",
            json!("10.144.15.255"),
        ),
        ("parseCidr('10.144.0.0/20').netmask", json!("255.255.240.0")),
        (
            "contains(parseCidr('fdad:3236:5555::/48'), 'broadcast')",
            json!(false),
        ),
        ("cidrSubnet('10.144.0.0/20', 24, 0)", json!("10.144.0.0/24")),
        (
            "cidrSubnet('10.144.0.0/20', 24, 15)",
            json!("10.144.15.0/24"),
        ),
        (
            "cidrSubnet('fdad:3236:5555::/48', 52, 1)",
            json!("fdad:3236:5555:1000::/52"),
        ),
        ("cidrSubnet('::/0', 128, 5)", json!("::5/128")),
        ("cidrSubnet('::/0', 0, 0)", json!("::/0")),
        ("cidrHost('10.144.3.0/24', 0)", json!("10.144.3.1")),
        ("cidrHost('10.144.3.0/24', 4)", json!("10.144.3.5")),
    ]);
    assert_eq!(
        evaluate_in("utcNow()", Phase::Parameters, &json!({})).unwrap(),
        "20200407T145314Z"
    );
    assert_eq!(
        evaluate_in("utcNow('d')", Phase::Parameters, &json!({})).unwrap(),
        "04/07/2020"
    );
    assert_refused(&[
        ("utcNow()", "default value of a parameter"),
        ("dateTimeAdd('x', 'P1D')", "no date"),
        ("dateTimeAdd('2020-04-07', '1D')", "no ISO 8601 duration"),
        ("dateTimeAdd('9999-12-31', 'P1D')", "out of range"),
        ("cidrSubnet('10.0.0.0/24', 24, 1)", "no range number 1"),
        ("cidrSubnet('10.0.0.0/24', 16, 0)", "no range"),
        ("cidrSubnet('10.0.0.0/24', 33, 0)", "no range"),
        ("cidrHost('10.0.0.0/24', 254)", "no host number 254"),
        ("cidrHost('10.0.0.0/24', -1)", "no host"),
        ("parseCidr('x')", "no address range"),
    ]);
}

#[test]
fn ids() {
    let group = "/subscriptions/s1/resourceGroups/rg/providers";
    assert_values(&[
        (
            "resourceId('Microsoft.Network/virtualNetworks', 'v')",
            json!(format!("{group}/Microsoft.Network/virtualNetworks/v")),
        ),
        (
            "resourceId('Microsoft.Network/virtualNetworks/subnets/', 'v', 'a')",
            json!(format!(
                "{group}/Microsoft.Network/virtualNetworks/v/subnets/a"
            )),
        ),
        (
            "resourceId('other', 'A.B/c', 'n')",
            json!("/subscriptions/s1/resourceGroups/other/providers/A.B/c/n"),
        ),
        (
            "resourceId('s2', 'other', 'A.B/c', 'n')",
            json!("/subscriptions/s2/resourceGroups/other/providers/A.B/c/n"),
        ),
        (
            "subscriptionResourceId('A.B/c', 'n')",
            json!("/subscriptions/s1/providers/A.B/c/n"),
        ),
        (
            "subscriptionResourceId('s2', 'A.B/c', 'n')",
            json!("/subscriptions/s2/providers/A.B/c/n"),
        ),
        (
            "tenantResourceId('A.B/c', 'n')",
            json!("/providers/A.B/c/n"),
        ),
        (
            "extensionResourceId(resourceGroup().id, 'A.B/c', 'n')",
            json!("/subscriptions/s1/resourceGroups/rg/providers/A.B/c/n"),
        ),
        ("resourceGroup().location", json!("westeurope")),
        ("subscription().displayName", json!("one")),
        ("tenant().tenantId", json!("t1")),
        ("environment().suffixes.storage", json!("core.windows.net")),
        ("deployment().name", json!("d")),
        ("deployer().objectId", json!("o1")),
    ]);
    assert_refused(&[
        ("resourceId('A.B/c')", "at least 2"),
        (
            "resourceId('A.B/c/d', 'n')",
            "requires 2 resource name argument(s) and 1 were provided",
        ),
        (
            "resourceId('a', 'b', 'c', 'A.B/c', 'n')",
            "one of the first 3 arguments",
        ),
        ("resourceId('A.B/c', '')", "is no name"),
        ("resourceId('A.B/', 'x')", "is no resource type"),
        ("reference('x')", "cannot be read before"),
    ]);
    for text in ["reference('x')", "listKeys('x', '1')"] {
        let error = evaluate_in(text, Phase::Names, &json!({})).unwrap_err();
        assert!(
            error.to_string().contains("not expected at this location"),
            "{error}"
        );
    }
}
