//! What is said on the control socket: one JSON request a line, one JSON answer a line.
//!
//! An answer is `{"result": ...}` or `{"error": {"code": ..., "message": ...}}`. Requests name
//! their verb and hold nothing that is not expected, so that a misspelt key is an error and not a
//! default.

use crate::protocol::verify::FlowTuple;
use postern_network::config::Source;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest request, in bytes, line end not counted. The file of an `apply` travels inside it.
pub const MAX_REQUEST: usize = 8 * 1024 * 1024;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "verb",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Request {
    /// Makes the policy of a configuration file the running one.
    Apply {
        /// The file's name, for messages.
        name: String,
        /// What is in it.
        text: String,
        /// Whether to tell what would change, and change nothing.
        #[serde(default)]
        dry_run: bool,
    },
    /// Asks as a client of Azure Resource Manager does, and is answered with status and body.
    Arm(ArmRequest),
    /// Returns where resources are filed that do not say so.
    Defaults,
    /// Returns a template, or a file, of what there is.
    Export {
        /// A resource group of the default subscription, or its ID; without one, all of them.
        #[serde(default)]
        group: Option<String>,
        /// Whether as a configuration file.
        #[serde(default)]
        toml: bool,
    },
    /// Switches endpoints of services on or off on a subnet.
    Endpoint {
        /// The virtual network.
        vnet: String,
        /// The subnet.
        subnet: String,
        /// The services, such as `Microsoft.Storage`.
        services: Vec<String>,
        /// On or off.
        on: bool,
    },
    /// Makes another service-tag file the running one.
    TagsReload {
        /// The file's name, for messages.
        name: String,
        /// What is in it.
        text: String,
    },
    /// Returns where a file and what runs differ.
    Diff {
        /// The file's name, for messages.
        name: String,
        /// What is in it.
        text: String,
    },
    /// Returns the path of the file that the daemon was started with.
    ConfigPath,
    /// Lists the endpoints of every subnet.
    EndpointList,
    /// Lists the network security groups.
    NsgList,
    /// Returns the rules of one group.
    NsgShow {
        /// The group.
        name: String,
    },
    /// Returns the groups and rules that act on a NIC.
    NsgEffective {
        /// The NIC.
        nic: String,
    },
    /// Returns whether the groups of a NIC let a packet pass, and by which rule.
    NsgVerify {
        /// The NIC.
        nic: String,
        /// The packet.
        flow: FlowTuple,
    },
    /// Returns the effective routes of a NIC.
    Routes {
        /// The NIC.
        nic: String,
    },
    /// Returns what gateways have learned.
    LearnedRoutes,
    /// Returns the services.
    ServiceList,
    /// Returns a service.
    ServiceShow {
        /// The service.
        name: String,
    },
    /// Returns the last calls of a service.
    ServiceLog {
        /// The service.
        name: String,
    },
    /// Returns live flows.
    Flows {
        /// How many at most.
        limit: usize,
        /// Only flows of this NIC.
        #[serde(default)]
        nic: Option<String>,
    },
    /// Returns the counters.
    Stats,
    /// Returns what runs.
    Status,
    /// Returns what a client on this host needs to log in to the API.
    Login {
        /// The service principal; the first one without it.
        #[serde(default)]
        principal: Option<String>,
    },
    /// Stops the daemon and removes all that it made.
    Down,
}

/// A request of Azure Resource Manager's protocol. Who may open the socket may do everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArmRequest {
    /// The method, such as `PUT`.
    pub method: String,
    /// The path, with the query if there is one.
    pub target: String,
    /// Headers, such as `If-Match`.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(default)]
    pub body: String,
}

/// The answer to an [`ArmRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArmAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body; null if there is none.
    pub body: Value,
}

/// What kind of error an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultCode {
    /// The line is not a request.
    BadRequest,
    /// The line is longer than [`MAX_REQUEST`].
    RequestTooLarge,
    /// The configuration or the change is refused; the running policy is untouched.
    Refused,
    /// There is no resource of that name.
    NotFound,
    /// A device could not be made or changed; the running policy is untouched.
    AttachFailed,
    /// The daemon itself failed.
    Internal,
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The kind, for programs.
    pub code: FaultCode,
    /// What, where, and what would be accepted, for people.
    pub message: String,
}

impl Fault {
    /// Returns a fault of this kind with this message.
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Puts the name of the file that was refused in front of every line.
    #[must_use]
    pub(crate) fn in_file(self, name: &str) -> Self {
        self.in_source(name, &Source::default())
    }

    /// As [`Self::in_file`], with the lines of the file where keys name its tables.
    pub(crate) fn in_source(self, name: &str, source: &Source) -> Self {
        Self::new(self.code, source.in_file(name, &self.message))
    }
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// The request was done.
    Result(Value),
    /// It was not.
    Error(Fault),
}

impl Answer {
    /// Returns the answer as one line, line end included.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_else(|_| {
            // An answer is made of strings, numbers and maps with string keys: it always encodes.
            br#"{"error":{"code":"internal","message":"the answer cannot be encoded"}}"#.to_vec()
        });
        line.push(b'\n');
        line
    }
}

/// Reads a request from a line, with or without its line end.
///
/// # Errors
///
/// Returns a fault that says where the line stops being a request.
pub fn parse(line: &[u8]) -> Result<Request, Fault> {
    serde_json::from_slice(line)
        .map_err(|error| Fault::new(FaultCode::BadRequest, format!("not a request: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::verify::{FlowDirection, FlowProtocol};
    use serde_json::json;

    #[test]
    fn every_request_survives_the_trip() {
        let requests = [
            Request::Apply {
                name: "a.toml".to_owned(),
                text: "x = 1\n\"\u{1}\"".to_owned(),
                dry_run: true,
            },
            Request::Arm(ArmRequest {
                method: "PUT".to_owned(),
                target: "/subscriptions?api-version=2022-12-01".to_owned(),
                headers: vec![("If-Match".to_owned(), "*".to_owned())],
                body: "{}".to_owned(),
            }),
            Request::Defaults,
            Request::Export {
                group: Some("rg".to_owned()),
                toml: true,
            },
            Request::Endpoint {
                vnet: "VNet1".to_owned(),
                subnet: "subnet1".to_owned(),
                services: vec!["Microsoft.Storage".to_owned()],
                on: true,
            },
            Request::TagsReload {
                name: "tags.json".to_owned(),
                text: "{}".to_owned(),
            },
            Request::Diff {
                name: "a.toml".to_owned(),
                text: String::new(),
            },
            Request::ConfigPath,
            Request::EndpointList,
            Request::NsgList,
            Request::NsgShow {
                name: "nsg1".to_owned(),
            },
            Request::NsgEffective {
                nic: "vm0".to_owned(),
            },
            Request::NsgVerify {
                nic: "vm0".to_owned(),
                flow: FlowTuple {
                    direction: FlowDirection::Outbound,
                    protocol: FlowProtocol::Tcp,
                    local: "10.0.1.4:5".parse().unwrap(),
                    remote: "8.8.8.8:443".parse().unwrap(),
                },
            },
            Request::Routes {
                nic: "vm0".to_owned(),
            },
            Request::LearnedRoutes,
            Request::ServiceList,
            Request::ServiceShow {
                name: "contoso".to_owned(),
            },
            Request::ServiceLog {
                name: "contoso".to_owned(),
            },
            Request::Flows {
                limit: 10,
                nic: None,
            },
            Request::Flows {
                limit: 10,
                nic: Some("vm0".to_owned()),
            },
            Request::Stats,
            Request::Status,
            Request::Down,
        ];
        for request in requests {
            let line = serde_json::to_vec(&request).unwrap();
            assert!(!line.contains(&b'\n'), "a request is one line");
            assert_eq!(parse(&line), Ok(request));
        }
    }

    #[test]
    fn the_wire_words_are_camel_case() {
        let line = serde_json::to_string(&Request::EndpointList).unwrap();
        assert_eq!(line, r#"{"verb":"endpointList"}"#);
        let fault = Fault::new(FaultCode::RequestTooLarge, "too long");
        let line = Answer::Error(fault).to_line();
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"error\":{\"code\":\"requestTooLarge\",\"message\":\"too long\"}}\n"
        );
        let line = Answer::Result(json!({"epoch": 7})).to_line();
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"result\":{\"epoch\":7}}\n"
        );
    }

    #[test]
    fn what_is_not_a_request_is_a_fault() {
        let lines: [&[u8]; 8] = [
            b"",
            b"status",
            b"{}",
            b"{\"verb\":\"statue\"}",
            b"{\"verb\":\"routes\"}",
            b"{\"verb\":\"routes\",\"nic\":\"vm0\",\"nics\":1}",
            b"{\"verb\":\"flows\",\"limit\":-1}",
            b"{\"verb\":\"status\"} {\"verb\":\"down\"}",
        ];
        for line in lines {
            let fault = parse(line).unwrap_err();
            assert_eq!(
                fault.code,
                FaultCode::BadRequest,
                "{}",
                String::from_utf8_lossy(line)
            );
        }
        assert_eq!(parse(b"\xff\xfe").unwrap_err().code, FaultCode::BadRequest);
    }
}
