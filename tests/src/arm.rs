//! Requests to the API as they are: what no client of Azure would send can be sent too.

use crate::azure::{Azure, OWNER, READER, SECRET, SUBSCRIPTION, TENANT};
use crate::tools::run;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How the API answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Lines of the header, as they came.
    pub header: Vec<String>,
    /// The body; null if it is no JSON.
    pub body: Value,
}

impl Answer {
    fn read(text: &str) -> Self {
        let (header, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = header.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        Self {
            status: status.and_then(|status| status.parse().ok()).unwrap_or(0),
            header: lines.map(str::to_owned).collect(),
            body: serde_json::from_str(body).unwrap_or_default(),
        }
    }

    /// Returns the code of the error.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// Returns the message of the error.
    #[must_use]
    pub fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    /// Returns the value of a line of the header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Returns the answer to a request that must have worked.
    ///
    /// # Panics
    ///
    /// Panics if it did not.
    #[track_caller]
    #[allow(
        clippy::must_use_candidate,
        reason = "most callers only want the check"
    )]
    pub fn expect_success(self) -> Self {
        assert!((200..300).contains(&self.status), "{self:#?}");
        self
    }

    /// Checks that this is an error of this status and code, with a message that names all `words`.
    ///
    /// # Panics
    ///
    /// Panics if it is not.
    #[track_caller]
    pub fn expect_error(&self, status: u16, code: &str, words: &[&str]) {
        assert_eq!((self.status, self.code()), (status, code), "{self:#?}");
        let text = self.body["error"].to_string();
        assert!(!self.message().is_empty(), "{self:#?}");
        for word in words {
            assert!(text.contains(word), "no {word:?} in {text}");
        }
    }
}

/// A caller of the API, by curl.
#[derive(Clone, Debug)]
pub struct Arm {
    url: String,
    ca: PathBuf,
    token: String,
}

impl Arm {
    /// Logs in as the principal that may do everything.
    ///
    /// # Panics
    ///
    /// Panics if there is no token.
    #[must_use]
    #[track_caller]
    pub fn owner(azure: &Azure) -> Self {
        Self::login(azure, OWNER)
    }

    /// Logs in as the principal that may only look.
    ///
    /// # Panics
    ///
    /// Panics if there is no token.
    #[must_use]
    #[track_caller]
    pub fn reader(azure: &Azure) -> Self {
        Self::login(azure, READER)
    }

    #[track_caller]
    fn login(azure: &Azure, client: &str) -> Self {
        let mut caller = Self {
            url: azure.url().to_owned(),
            ca: azure.ca().to_owned(),
            token: String::new(),
        };
        let answer = caller.log_in(client, SECRET).expect_success();
        let token = answer.body["access_token"].as_str();
        token
            .unwrap_or_else(|| panic!("no token: {answer:?}"))
            .clone_into(&mut caller.token);
        caller
    }

    /// Asks the token endpoint for a token.
    #[must_use]
    pub fn log_in(&self, client: &str, secret: &str) -> Answer {
        let form = format!(
            "grant_type=client_credentials&client_id={client}&client_secret={secret}&scope={}/.default",
            self.url
        );
        self.curl(&format!("/{TENANT}/oauth2/v2.0/token"), &["-d", &form])
    }

    /// Returns the token of the caller.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Returns this caller with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// Sends a request by curl with these options, and returns the answer.
    ///
    /// # Panics
    ///
    /// Panics if there is no answer.
    #[must_use]
    #[track_caller]
    pub fn curl(&self, path: &str, options: &[&str]) -> Answer {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-i", "--http1.1", "--max-time", "60", "--cacert"]);
        // Without "Expect: 100-continue", there is one header.
        curl.arg(&self.ca).args(["-H", "Expect:"]);
        if !self.token.is_empty() {
            curl.args(["-H", &format!("Authorization: Bearer {}", self.token)]);
        }
        curl.args(options).arg(format!("{}{path}", self.url));
        Answer::read(&run(&mut curl).expect_success().stdout)
    }

    /// Sends a request with a body of JSON.
    ///
    /// # Panics
    ///
    /// Panics if there is no answer.
    #[must_use]
    #[track_caller]
    pub fn send(&self, method: &str, id: &str, body: &Value, headers: &[&str]) -> Answer {
        let body = body.to_string();
        let mut options = vec!["-X", method, "-H", "Content-Type: application/json"];
        options.extend(["--data-binary", &body]);
        for header in headers {
            options.extend(["-H", header]);
        }
        self.curl(&versioned(id), &options)
    }

    /// Sends a file as the body of a request.
    ///
    /// # Panics
    ///
    /// Panics if there is no answer.
    #[must_use]
    #[track_caller]
    pub fn send_file(&self, method: &str, id: &str, file: &Path) -> Answer {
        let body = format!("@{}", file.display());
        let json = "Content-Type: application/json";
        let options = ["-X", method, "-H", json, "--data-binary", &body];
        self.curl(&versioned(id), &options)
    }

    /// Puts a resource.
    ///
    /// # Panics
    ///
    /// Panics if there is no answer.
    #[must_use]
    #[track_caller]
    pub fn put(&self, id: &str, body: &Value) -> Answer {
        self.send("PUT", id, body, &[])
    }

    /// Reads a resource or a list.
    ///
    /// # Panics
    ///
    /// Panics if there is no answer.
    #[must_use]
    #[track_caller]
    pub fn get(&self, id: &str) -> Answer {
        self.curl(&versioned(id), &[])
    }

    /// Deletes a resource.
    ///
    /// # Panics
    ///
    /// Panics if there is no answer.
    #[must_use]
    #[track_caller]
    pub fn delete(&self, id: &str) -> Answer {
        self.curl(&versioned(id), &["-X", "DELETE"])
    }
}

fn versioned(id: &str) -> String {
    format!("{id}?api-version=2024-05-01")
}

/// Returns the ID of a resource group of the cases' subscription.
#[must_use]
pub fn group_id(group: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}")
}

/// Returns the ID of a resource of `Microsoft.Network`; `path` is its type and its name, then those of
/// a child.
#[must_use]
pub fn network_id(group: &str, path: &str) -> String {
    format!("{}/providers/Microsoft.Network/{path}", group_id(group))
}
