//! Patterns as a shell has them: "*" stands for anything, "?" for one character.

/// What stands for the name of the resource in a pattern or a value.
pub(super) const OWN_NAME: &str = "{name}";

/// Returns whether a text fits a pattern; case does not count.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    fits(&pattern.to_ascii_lowercase(), &text.to_ascii_lowercase())
}

/// Returns whether a text fits a pattern letter by letter, in which `{name}` stands for the name of a
/// resource, which is no pattern itself.
pub(super) fn exact(pattern: &str, name: &str, text: &str) -> bool {
    if !pattern.contains(OWN_NAME) {
        return fits(pattern, text);
    }
    let is_plain = !name.contains(['*', '?']);
    is_plain && fits(&pattern.replace(OWN_NAME, name), text)
}

fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut in_text) = (0_usize, 0_usize);
    // Where the last star is, and what it stands for so far ends.
    let mut star: Option<(usize, usize)> = None;
    while let Some(letter) = text.get(in_text) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_text));
                at = at.saturating_add(1);
            }
            Some(wanted) if *wanted == b'?' || wanted == letter => {
                at = at.saturating_add(1);
                in_text = in_text.saturating_add(1);
            }
            _ => match &mut star {
                Some((place, end)) => {
                    *end = end.saturating_add(1);
                    (at, in_text) = (place.saturating_add(1), *end);
                }
                None => return false,
            },
        }
    }
    let rest = pattern.get(at..).unwrap_or_default();
    rest.iter().all(|letter| *letter == b'*')
}

/// Returns a text that fits the pattern, to see what kind of text fits it.
pub(super) fn sample(pattern: &str) -> String {
    pattern.replace(OWN_NAME, "x").replace(['*', '?'], "x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, text, fits) in [
            ("nic*", "NIC0", true),
            ("nic*", "nic", true),
            ("nic*", "a-nic", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("n?c", "nic", true),
            ("n?c", "nc", false),
            ("*-nic-*", "a-nic-b-nic-c", true),
            ("*ab", "aab", true),
            ("*ab*", "aacaabz", true),
            ("a*b*c", "abcb", false),
            ("/subscriptions/*/nic?", "/subscriptions/s/x/y/nic1", true),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_name_is_no_pattern_and_case_counts_where_it_has_to() {
        for (pattern, name, text, fits) in [
            ("ns-{name}", "vm0", "ns-vm0", true),
            ("ns-{name}", "vm0", "NS-vm0", false),
            ("ns-{name}", "vm0", "ns-vm1", false),
            ("ns-{name}", "*", "ns-vm1", false),
            ("{name}", "vm?", "vm1", false),
            ("vm?", "*", "vm1", true),
            ("vm*", "x", "VMs", false),
        ] {
            assert_eq!(exact(pattern, name, text), fits, "{pattern} {name} {text}");
        }
    }
}
