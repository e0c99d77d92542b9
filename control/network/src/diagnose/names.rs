//! Names of resources that have a name in the DNS, as Azure takes them.
//!
//! Source: Microsoft's page "Naming rules and restrictions for Azure resources".

/// What a name of a type may be.
struct Rule {
    kind: &'static str,
    lengths: (usize, usize),
    /// Whether capitals are accepted.
    capitals: bool,
    /// Whether hyphens are accepted between letters and digits.
    hyphens: bool,
    /// Whether a letter comes first.
    letter_first: bool,
    /// As people read it.
    text: &'static str,
}

const RULES: [Rule; 12] = [
    Rule {
        kind: "Microsoft.Storage/storageAccounts",
        lengths: (3, 24),
        capitals: false,
        hyphens: false,
        letter_first: false,
        text: "3 to 24 lower-case letters and digits",
    },
    Rule {
        kind: "Microsoft.KeyVault/vaults",
        lengths: (3, 24),
        capitals: true,
        hyphens: true,
        letter_first: true,
        text: "3 to 24 letters, digits and single hyphens, first a letter, last a letter or digit",
    },
    server(
        "Microsoft.Sql/servers",
        1,
        "1 to 63 lower-case letters, digits and hyphens, first and last no hyphen",
    ),
    server("Microsoft.DBforPostgreSQL/servers", 3, OF_A_SERVER),
    server("Microsoft.DBforMySQL/servers", 3, OF_A_SERVER),
    Rule {
        kind: "Microsoft.DocumentDB/databaseAccounts",
        lengths: (3, 44),
        capitals: false,
        hyphens: true,
        letter_first: false,
        text: "3 to 44 lower-case letters, digits and hyphens, first a letter or digit",
    },
    namespace("Microsoft.ServiceBus/namespaces"),
    namespace("Microsoft.EventHub/namespaces"),
    Rule {
        kind: "Microsoft.ContainerRegistry/registries",
        lengths: (5, 50),
        capitals: true,
        hyphens: false,
        letter_first: false,
        text: "5 to 50 letters and digits",
    },
    Rule {
        kind: "Microsoft.Web/sites",
        lengths: (2, 60),
        capitals: true,
        hyphens: true,
        letter_first: false,
        text: "2 to 60 letters, digits and hyphens, first and last no hyphen",
    },
    Rule {
        kind: "Microsoft.CognitiveServices/accounts",
        lengths: (2, 64),
        capitals: true,
        hyphens: true,
        letter_first: false,
        text: "2 to 64 letters, digits and hyphens, first and last no hyphen",
    },
    Rule {
        kind: "Microsoft.DataLakeStore/accounts",
        lengths: (3, 24),
        capitals: false,
        hyphens: false,
        letter_first: false,
        text: "3 to 24 lower-case letters and digits",
    },
];

const OF_A_SERVER: &str =
    "3 to 63 lower-case letters, digits and hyphens, first and last no hyphen";

const fn server(kind: &'static str, least: usize, text: &'static str) -> Rule {
    Rule {
        kind,
        lengths: (least, 63),
        capitals: false,
        hyphens: true,
        letter_first: false,
        text,
    }
}

const fn namespace(kind: &'static str) -> Rule {
    Rule {
        kind,
        lengths: (6, 50),
        capitals: true,
        hyphens: true,
        letter_first: true,
        text: "6 to 50 letters, digits and hyphens, first a letter, last a letter or digit",
    }
}

/// Returns what Azure would accept, where it refuses a name of this type.
pub(super) fn refused(kind: &str, name: &str) -> Option<&'static str> {
    let mut rules = RULES.iter();
    let rule = rules.find(|rule| rule.kind.eq_ignore_ascii_case(kind))?;
    (!fits(rule, name)).then_some(rule.text)
}

fn fits(rule: &Rule, name: &str) -> bool {
    let (least, most) = rule.lengths;
    let is_letter = |c: char| c.is_ascii_lowercase() || (rule.capitals && c.is_ascii_uppercase());
    let is_word = |c: char| is_letter(c) || c.is_ascii_digit();
    (least..=most).contains(&name.len())
        && name.starts_with(|c| is_letter(c) || (!rule.letter_first && is_word(c)))
        && name.ends_with(is_word)
        && name
            .chars()
            .all(|c| is_word(c) || (rule.hyphens && c == '-'))
        && !(rule.kind == "Microsoft.KeyVault/vaults" && name.contains("--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_azure_takes_them() {
        for (kind, good, bad) in [
            ("Microsoft.Storage/storageAccounts", "abc", "Abc"),
            ("Microsoft.Storage/storageAccounts", "0contoso9", "a-bc"),
            (
                "microsoft.storage/storageaccounts",
                "abcdefghijklmnopqrstuvwx",
                "abcdefghijklmnopqrstuvwxy",
            ),
            ("Microsoft.KeyVault/vaults", "Kv-1", "1kv"),
            ("Microsoft.KeyVault/vaults", "a-b-c", "a--b"),
            ("Microsoft.Sql/servers", "s", "-s"),
            ("Microsoft.DBforPostgreSQL/servers", "abc", "ab"),
            ("Microsoft.DocumentDB/databaseAccounts", "abc-d", "abc-"),
            ("Microsoft.EventHub/namespaces", "hub-12", "hub12"),
            ("Microsoft.ContainerRegistry/registries", "Abcde", "ab-cde"),
            ("Microsoft.Web/sites", "a1", "a"),
        ] {
            assert_eq!(refused(kind, good), None, "{kind} {good}");
            assert!(refused(kind, bad).is_some(), "{kind} {bad}");
        }
        assert_eq!(refused("Microsoft.Compute/virtualMachines", "-"), None);
    }
}
