//! Lists: filtered, and a page at a time where the client asks for that.

use super::call::Call;
use super::request::Response;
use crate::error::ArmError;
use crate::estate::Found;
use serde_json::Value;

/// Returns the answer with a list, or the page of it that the request asks for by `$top` and
/// `$skiptoken`.
///
/// A page ends too where it is as long as an answer may be, and the client goes on with its `nextLink`.
pub(crate) fn list(call: &Call<'_>, values: Vec<Value>) -> Response {
    let begin = start(call, values.len(), |at| values.get(at).map(token));
    answer(call, values.into_iter().skip(begin))
}

/// Returns the answer with a list of resources, which are shown one after the other.
pub(crate) fn resources(
    call: &Call<'_>,
    found: Vec<Found<'_>>,
    passes: impl Fn(&Value) -> bool,
) -> Response {
    let id = |found: &Found<'_>| found.id().to_string().to_ascii_lowercase();
    let begin = start(call, found.len(), |at| found.get(at).map(id));
    let estate = &call.state.estate;
    let shown = found.into_iter().skip(begin);
    let shown = shown.map(|found| estate.show_found(found));
    answer(call, shown.filter(passes))
}

/// Returns where a page begins.
fn start(call: &Call<'_>, count: usize, token: impl Fn(usize) -> Option<String>) -> usize {
    let Some(last) = call.request.query("$skiptoken") else {
        return 0;
    };
    let same = (0..count).find(|at| token(*at).as_ref() == Some(&last));
    let behind = || (0..count).find(|at| token(*at).is_some_and(|token| token > last));
    match same {
        Some(at) => at.saturating_add(1),
        None => behind().unwrap_or(count),
    }
}

fn answer(call: &Call<'_>, values: impl Iterator<Item = Value>) -> Response {
    let top = call.request.query("$top");
    let top = top.and_then(|top| top.parse::<usize>().ok());
    let most = top.filter(|top| *top > 0).unwrap_or(usize::MAX);
    let mut page = Page::default();
    let mut values = values.peekable();
    while let Some(value) = values.next_if(|_| page.count < most && page.text.len() < MOST_BYTES) {
        page.push(&value);
    }
    let next = values.peek().and(page.last.as_deref());
    let text = match next {
        Some(token) => format!(
            "{{\"value\":[{}],\"nextLink\":{}}}",
            page.text,
            Value::from(next_link(call, token))
        ),
        None => format!("{{\"value\":[{}]}}", page.text),
    };
    Response::text(200, text)
}

/// How long a page is at most, in bytes of its text, but for its last value.
const MOST_BYTES: usize = 8 << 20;

/// A page as it is written.
#[derive(Default)]
struct Page {
    text: String,
    count: usize,
    last: Option<String>,
}

impl Page {
    fn push(&mut self, value: &Value) {
        if self.count > 0 {
            self.text.push(',');
        }
        self.text.push_str(&value.to_string());
        self.count = self.count.saturating_add(1);
        self.last = Some(token(value));
    }
}

/// Returns what a page that ends with this value is continued by: its ID, so that the next page is
/// the right one whatever came or went meanwhile.
fn token(value: &Value) -> String {
    let id = value.get("id").and_then(Value::as_str).unwrap_or_default();
    id.to_ascii_lowercase()
}

fn next_link(call: &Call<'_>, token: &str) -> String {
    let request = call.request;
    let pairs = request.query.split('&').filter(|pair| {
        let key = pair.split('=').next().unwrap_or_default();
        !key.eq_ignore_ascii_case("$skiptoken") && !key.eq_ignore_ascii_case("%24skiptoken")
    });
    let mut query: Vec<String> = pairs
        .filter(|pair| !pair.is_empty())
        .map(str::to_owned)
        .collect();
    query.push(format!("$skiptoken={}", escape(token)));
    format!("{}{}?{}", request.base(), request.path, query.join("&"))
}

fn escape(text: &str) -> String {
    let escaped = text.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    escaped.collect()
}

/// The most terms of a filter; the fields that lists are filtered by are fewer.
const MOST_TERMS: usize = 16;

/// A filter such as `resourceType eq 'Microsoft.Network/virtualNetworks' and location eq 'x'`.
#[derive(Debug)]
pub(crate) struct Filter(Vec<(String, bool, String)>);

impl Filter {
    /// Reads the `$filter` of a request whose fields are among `known`.
    ///
    /// # Errors
    ///
    /// It is not such a filter.
    pub(crate) fn of(call: &Call<'_>, known: &[&str]) -> Result<Self, ArmError> {
        let text = call.request.query("$filter").unwrap_or_default();
        let terms = split(&text);
        if terms.len() > MOST_TERMS {
            // Each is compared with each of the values.
            let message = format!(
                "The filter has {} terms; accepted: at most {MOST_TERMS}.",
                terms.len()
            );
            return Err(ArmError::bad_request("InvalidFilterInQueryString", message));
        }
        let read = |term: &str| {
            let mut words = term.trim().splitn(3, ' ');
            let (field, verb, value) = (words.next()?, words.next()?, words.next()?.trim());
            let is_equal = match verb.to_ascii_lowercase().as_str() {
                "eq" => true,
                "ne" => false,
                _ => return None,
            };
            let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
            if value.replace("''", "").contains('\'') {
                // The text ends before: `or` follows, or something else that is not understood.
                return None;
            }
            let field = known.iter().find(|name| name.eq_ignore_ascii_case(field))?;
            Some(((*field).to_owned(), is_equal, value.replace("''", "'")))
        };
        let terms = terms.iter().filter(|term| !term.trim().is_empty());
        let terms: Option<Vec<_>> = terms.map(|term| read(term)).collect();
        terms.map(Self).ok_or_else(|| {
            let message = format!(
                "The filter '{text:.500}' is invalid; accepted: FIELD eq 'VALUE', several with 'and', \
                 FIELD one of {}.",
                known.join(", ")
            );
            ArmError::bad_request("InvalidFilterInQueryString", message)
        })
    }

    /// Returns whether a value passes, each of whose fields has any number of texts; texts compare
    /// without case.
    pub(crate) fn passes(&self, field: impl Fn(&str) -> Vec<String>) -> bool {
        self.0.iter().all(|(name, is_equal, wanted)| {
            let found = field(name);
            found.iter().any(|found| found.eq_ignore_ascii_case(wanted)) == *is_equal
        })
    }

    /// Returns the value that a field must be equal to, if the filter says one.
    pub(crate) fn wanted(&self, field: &str) -> Option<&str> {
        let mut terms = self.0.iter();
        let found = terms.find(|(name, is_equal, _)| *is_equal && name == field);
        found.map(|(_, _, value)| value.as_str())
    }
}

/// Splits a filter at each `and` outside of quotes.
fn split(text: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut quoted = false;
    for word in text.split(' ') {
        if !quoted && word.eq_ignore_ascii_case("and") {
            terms.push(String::new());
            continue;
        }
        quoted ^= word.matches('\'').count() % 2 == 1;
        if let Some(term) = terms.last_mut() {
            term.push_str(word);
            term.push(' ');
        }
    }
    terms
}
