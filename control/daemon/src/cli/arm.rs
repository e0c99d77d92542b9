//! `postern arm METHOD PATH`: a request as clients of Azure Resource Manager send it, without a token.

use super::apply::read;
use super::client::Client;
use super::output::print_json;
use super::{CliError, DEFAULT_API_VERSION};
use crate::protocol::{ArmAnswer, ArmRequest, Request};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `arm`.
#[derive(Debug, Args)]
pub(super) struct ArmArgs {
    /// The method, such as GET or PUT
    method: String,
    /// The path, such as /subscriptions?api-version=2022-12-01; without a version, one is added
    path: String,
    /// The body, in a file; `-` reads it from the standard input
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// A header, such as "If-Match: *"
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("not a header; accepted: NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Sends a request and prints the body of its answer.
pub(super) fn arm(args: &ArmArgs, client: &mut Client) -> Result<(), CliError> {
    let body = match &args.body {
        Some(file) => read(file, "the body")?.1,
        None => String::new(),
    };
    let answer = send(client, &args.method, &args.path, args.headers.clone(), body)?;
    if !answer.body.is_null() {
        print_json(&answer.body)?;
    }
    Ok(())
}

/// Sends a request; an answer that is an error is one.
pub(super) fn send(
    client: &mut Client,
    method: &str,
    path: &str,
    headers: Vec<(String, String)>,
    body: String,
) -> Result<ArmAnswer, CliError> {
    let mut target = path.to_owned();
    if !target.to_ascii_lowercase().contains("api-version=") {
        let mark = if target.contains('?') { '&' } else { '?' };
        target = format!("{target}{mark}api-version={DEFAULT_API_VERSION}");
    }
    let request = ArmRequest {
        method: method.to_ascii_uppercase(),
        target,
        headers,
        body,
    };
    let answer: ArmAnswer = client.ask_for(&Request::Arm(request))?;
    if answer.status >= 400 {
        return Err(CliError::Arm(describe(&answer)));
    }
    Ok(answer)
}

/// Returns what an answer says went wrong, details a line each.
fn describe(answer: &ArmAnswer) -> String {
    let Some(error) = answer.body.get("error") else {
        return format!("status {}", answer.status);
    };
    let mut lines = Vec::new();
    explain(error, &mut lines);
    lines.join("\n")
}

fn explain(error: &serde_json::Value, into: &mut Vec<String>) {
    let text = |name: &str| error.get(name).and_then(serde_json::Value::as_str);
    let mut line = format!(
        "{}: {}",
        text("code").unwrap_or("error"),
        text("message").unwrap_or_default()
    );
    if let Some(target) = text("target") {
        line = format!("{target}: {line}");
    }
    into.push(line);
    let details = error.get("details").and_then(serde_json::Value::as_array);
    for detail in details.into_iter().flatten() {
        explain(detail, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_error_is_told_with_its_details() {
        let answer = ArmAnswer {
            status: 400,
            headers: Vec::new(),
            body: json!({ "error": { "code": "A", "message": "a", "details": [
                { "code": "B", "message": "b", "target": "/x" }
            ] } }),
        };
        assert_eq!(describe(&answer), "A: a\n/x: B: b");
        let body = json!(null);
        assert_eq!(describe(&ArmAnswer { body, ..answer }), "status 400");
    }

    #[test]
    fn a_header_has_a_name() {
        assert_eq!(header("If-Match: *"), Ok(("If-Match".into(), "*".into())));
        assert!(header("If-Match").is_err());
    }
}
