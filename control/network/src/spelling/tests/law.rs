//! `load(lower(raise(t))) == load(t)`.

use super::*;

/// The same file with its resources in the order that lowering gives them.
fn in_order(table: &Table) -> Table {
    let mut table = table.clone();
    let name = |value: &toml::Value| {
        let name = value.get("name").and_then(toml::Value::as_str);
        name.unwrap_or_default().to_ascii_lowercase()
    };
    let keys = kinds::DECLARED.iter().map(|kind| kind.key);
    for key in keys.chain([kinds::SERVICE]) {
        if let Some(toml::Value::Array(sections)) = table.get_mut(key) {
            sections.sort_by_key(name);
        }
    }
    table
}

fn assert_law(table: &Table) {
    let wanted = load(&in_order(table));
    let lowered = lower(&estate(raise(table)));
    let got = config::parse_table(&lowered, &CATALOG)
        .unwrap_or_else(|errors| panic!("{errors:#?}\n{lowered:#?}"));
    assert_eq!(got, wanted);
    // Lowered and raised again it is the same.
    assert_eq!(lower(&estate(raise(&lowered))), lowered);
}

#[test]
fn the_samples_come_back_as_they_were() {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config");
    let mut count = 0;
    for entry in std::fs::read_dir(samples).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let text = std::fs::read_to_string(&path).unwrap();
            let table = config::parse_text(&path, &text).unwrap().table;
            assert_law(&table);
            count += 1;
        }
    }
    assert!(count >= 2, "{count} samples");
}

#[test]
fn random_files_come_back_as_they_were() {
    const CASES: u64 = 400;
    let (mut accepted, mut nics, mut rules) = (0, 0, 0);
    for seed in 0..CASES {
        let table = generate::table(seed);
        // Some choices do not go together, such as groups whose members are in several networks.
        let Ok(model) = config::parse_table(&table, &CATALOG) else {
            continue;
        };
        assert_law(&table);
        accepted += 1;
        nics += model.nics.len();
        let services = model.services.iter();
        rules += services
            .map(|service| service.resource.rules.rules.len())
            .sum::<usize>();
    }
    assert!(accepted > CASES * 3 / 4, "{accepted} of {CASES}");
    assert!(nics > 100 && rules > 100, "{nics} NICs, {rules} rules");
}
