//! What clients write and nobody reads: passwords, keys, tokens, and whatever else Azure takes and never
//! shows.
//!
//! A secret is taken out of a body before anything else looks at it, so that no answer, export, error
//! or file can have it. A digest stays beside the document, under the place that the secret had: it tells
//! whether the next write changes anything. What a write does not mention stays as it is, as on the
//! platform, so that a PUT of what a GET shows is no change.
//!
//! The types and their properties are those that the public REST specifications mark as secrets, as
//! passwords, or as written alone (`TYPES`). Types that are kept and not known are judged by the names
//! of their properties (`is_secret_name`); so are those that are known, for properties that come later.

use crate::id::ResourceId;
use crate::seal::Seal;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Digests of secrets, by the places that they had: pointers in which an item of a list is called
/// `[NAME]`, or by its number where it has no name.
pub type Digests = BTreeMap<String, String>;

/// What of the properties of a type is secret: paths, in which `*` is any field, and lists are passed
/// through. A type ends in `=NAME` where it is one resource of it alone.
const TYPES: &[(&str, &[&str])] = &[
    (
        "Microsoft.AAD/domainServices",
        &["ldapsSettings.pfxCertificate"],
    ),
    (
        "Microsoft.ApiManagement/service/backends",
        &["credentials.authorization.parameter"],
    ),
    ("Microsoft.ApiManagement/service/certificates", &["data"]),
    (
        "Microsoft.ApiManagement/service/loggers",
        &["credentials.*"],
    ),
    (
        "Microsoft.App/connectedEnvironments/certificates",
        &["value"],
    ),
    ("Microsoft.App/managedEnvironments/certificates", &["value"]),
    (
        "Microsoft.Automation/automationAccounts/certificates",
        &["base64Value"],
    ),
    (
        "Microsoft.Automation/automationAccounts/connections",
        &["fieldDefinitionValues.*"],
    ),
    ("Microsoft.Batch/batchAccounts/certificates", &["data"]),
    ("Microsoft.Compute/virtualMachines", OS_PROFILE),
    (
        "Microsoft.Compute/virtualMachines/runCommands",
        &["protectedParameters.value"],
    ),
    ("Microsoft.Compute/virtualMachineScaleSets", SCALE_SET),
    (
        "Microsoft.Compute/virtualMachineScaleSets/virtualMachines",
        OS_PROFILE,
    ),
    (
        "Microsoft.ContainerInstance/containerGroups",
        &["volumes.secret"],
    ),
    (
        "Microsoft.ContainerRegistry/registries/webhooks",
        &["serviceUri", "customHeaders.*"],
    ),
    ("Microsoft.EventGrid/eventSubscriptions", EVENT_SUBSCRIPTION),
    (
        "Microsoft.EventGrid/topics/eventSubscriptions",
        EVENT_SUBSCRIPTION,
    ),
    (
        "Microsoft.EventGrid/domains/topics/eventSubscriptions",
        EVENT_SUBSCRIPTION,
    ),
    (
        "Microsoft.EventGrid/systemTopics/eventSubscriptions",
        EVENT_SUBSCRIPTION,
    ),
    (
        "Microsoft.HDInsight/clusters",
        &["clusterDefinition.configurations"],
    ),
    (
        "Microsoft.Insights/actionGroups",
        &[
            "logicAppReceivers.callbackUrl",
            "azureFunctionReceivers.httpTriggerUrl",
        ],
    ),
    ("Microsoft.KeyVault/vaults/keys", &["keyMaterial"]),
    ("Microsoft.KeyVault/vaults/secrets", &["value"]),
    (
        "Microsoft.Kusto/clusters/databases/scripts",
        &["scriptContent"],
    ),
    (
        "Microsoft.MachineLearningServices/workspaces/connections",
        &["credentials"],
    ),
    (
        "Microsoft.MachineLearningServices/workspaces/datastores",
        &["credentials.secrets"],
    ),
    (
        "Microsoft.Network/applicationGateways",
        &["sslCertificates.properties.data"],
    ),
    (
        "Microsoft.Network/connections",
        &["sharedKey", "authorizationKey"],
    ),
    ("Microsoft.Network/connections/sharedKey", &["value"]),
    (
        "Microsoft.Network/expressRouteCircuits",
        &[
            "authorizations.properties.authorizationKey",
            "peerings.properties.sharedKey",
        ],
    ),
    (
        "Microsoft.Network/expressRouteCircuits/authorizations",
        &["authorizationKey"],
    ),
    (
        "Microsoft.NotificationHubs/namespaces/notificationHubs",
        NOTIFICATIONS,
    ),
    (
        "Microsoft.OperationalInsights/workspaces/storageInsightConfigs",
        &["storageAccount.key"],
    ),
    (
        "Microsoft.Resources/deploymentStacks",
        &["parameters.*.value"],
    ),
    (
        "Microsoft.Sql/servers/databases/extensions",
        &["storageKey"],
    ),
    (
        "Microsoft.Sql/servers/databases/vulnerabilityAssessments",
        &["storageContainerSasKey"],
    ),
    ("Microsoft.Web/certificates", &["pfxBlob"]),
    (
        "Microsoft.Web/connections",
        &["parameterValues", "nonSecretParameterValues.password"],
    ),
    ("Microsoft.Web/sites", SITE),
    ("Microsoft.Web/sites/slots", SITE),
    ("Microsoft.Web/sites/config=web", SITE_CONFIG),
    ("Microsoft.Web/sites/slots/config=web", SITE_CONFIG),
    ("Microsoft.Web/sites/config=appsettings", &["*"]),
    ("Microsoft.Web/sites/slots/config=appsettings", &["*"]),
    ("Microsoft.Web/staticSites/config=appsettings", &["*"]),
    (
        "Microsoft.Web/staticSites/config=functionappsettings",
        &["*"],
    ),
    ("Microsoft.Web/sites/config=connectionstrings", &["*.value"]),
    (
        "Microsoft.Web/sites/slots/config=connectionstrings",
        &["*.value"],
    ),
    ("Microsoft.Web/sites/config=backup", &["storageAccountUrl"]),
    (
        "Microsoft.Web/sites/slots/config=backup",
        &["storageAccountUrl"],
    ),
    (
        "Microsoft.Web/sites/config=logs",
        &[
            "applicationLogs.azureBlobStorage.sasUrl",
            "applicationLogs.azureTableStorage.sasUrl",
            "httpLogs.azureBlobStorage.sasUrl",
        ],
    ),
    (
        "Microsoft.Web/sites/extensions",
        &["packageUri", "setParameters"],
    ),
];

const OS_PROFILE: &[&str] = &[
    "osProfile.secrets",
    "osProfile.windowsConfiguration.additionalUnattendContent.content",
    "userData",
];
const SCALE_SET: &[&str] = &[
    "virtualMachineProfile.osProfile.secrets",
    "virtualMachineProfile.osProfile.windowsConfiguration.additionalUnattendContent.content",
    "virtualMachineProfile.userData",
];
const EVENT_SUBSCRIPTION: &[&str] = &[
    "destination.properties.endpointUrl",
    "deliveryWithResourceIdentity.destination.properties.endpointUrl",
];
const NOTIFICATIONS: &[&str] = &[
    "apnsCredential.properties.apnsCertificate",
    "mpnsCredential.properties.mpnsCertificate",
];
const SITE: &[&str] = &[
    "siteConfig.appSettings.value",
    "siteConfig.connectionStrings.connectionString",
];
const SITE_CONFIG: &[&str] = &["appSettings.value", "connectionStrings.connectionString"];

/// Names of properties whose texts are secret in any type, in lower case; so are those that end so.
const NAMES: &[&str] = &[
    "accesskey",
    "accountkey",
    "adminkey",
    "apikey",
    "authorizationkey",
    "certificatekey",
    "connectionstring",
    "encodedcertificate",
    "encryptedcredential",
    "functionkey",
    "hostkey",
    "masterkey",
    "passphrase",
    "passwd",
    "password",
    "pfxblob",
    "policykey",
    "primarykey",
    "privatekey",
    "privatekeypem",
    "pwd",
    "saskey",
    "sastoken",
    "secondarykey",
    "secret",
    "secretkey",
    "secretvalue",
    "sharedkey",
    "signingkey",
    "storagekey",
    "token",
    "workspacekey",
];

/// Those of them that nothing but a secret is called: also a number or a list there is one.
const PASSWORDS: &[&str] = &["passphrase", "passwd", "password", "pwd"];

/// Names of properties that are secret in any type, whatever is in them.
const WHOLE: &[&str] = &[
    "certificatepassword",
    "certificatevalue",
    "customdata",
    "pfxcertificate",
    "protectedparameters",
    "protectedsettings",
    "secureproperties",
    "securevalue",
];

/// What marks the value beside it as secret where it is true.
const FLAGS: &[&str] = &["isencrypted", "issecret", "issecure", "secret", "secure"];

/// What of a body is no part of what its owner writes into it.
const PLAIN: &[&str] = &[
    "etag", "id", "kind", "location", "name", "sku", "tags", "type", "zones",
];

/// Takes the secrets out of a body, and returns their digests.
pub(crate) fn take(id: &ResourceId, body: &mut Map<String, Value>, seal: &Seal) -> Digests {
    let mut found = Digests::new();
    if !may_have_any(id, body) {
        return found;
    }
    let key = id.key();
    each(id, body, &mut |path, value| {
        let digest = seal.digest_value(&format!("secret of {key} at {path}"), &value);
        found.insert(path.to_owned(), digest);
    });
    found
}

/// Returns the secrets in a body.
pub(crate) fn find(id: &ResourceId, body: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    if let Value::Object(fields) = body
        && may_have_any(id, fields)
    {
        each(id, &mut fields.clone(), &mut |_, value| found.push(value));
    }
    found
}

/// Returns the digests of a document after a write: those that came, and those of before whose places
/// are still there.
pub(crate) fn keep(old: Option<&Digests>, taken: Digests, body: &Map<String, Value>) -> Digests {
    let mut kept: Digests = old
        .into_iter()
        .flatten()
        .filter(|(path, _)| has_place(body, path))
        .map(|(path, digest)| (path.clone(), digest.clone()))
        .collect();
    kept.extend(taken);
    kept
}

/// Returns the digests of an inline child as its parent has them, below a place of it; one that is only
/// properties has none of its own.
pub(crate) fn below(place: &str, is_bare: bool, digests: Digests) -> Digests {
    let moved = |(path, digest): (String, String)| {
        let own = path.strip_prefix("/properties").filter(|_| is_bare);
        (format!("{place}{}", own.unwrap_or(&path)), digest)
    };
    digests.into_iter().map(moved).collect()
}

/// Returns the place of an item of a list.
pub(crate) fn place_of(list: &str, name: &str) -> String {
    format!("/properties/{list}{}", step(&format!("[{name}]")))
}

/// Returns whether a property of that name has a secret in any type, if it is a text.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    WHOLE.iter().any(|known| is(name, known)) || NAMES.iter().any(|known| ends(name, known))
}

/// A visitor of secrets: it gets each with the place that it had.
type Visit<'v> = dyn FnMut(&str, Value) + 'v;

/// Returns the paths of the type of a resource.
fn paths(id: &ResourceId) -> impl Iterator<Item = &'static &'static str> {
    let kind = id.kind();
    let is_it = move |known: &&(&str, _)| match known.0.split_once('=') {
        Some((known, name)) => {
            known.eq_ignore_ascii_case(&kind) && name.eq_ignore_ascii_case(id.name())
        }
        None => known.0.eq_ignore_ascii_case(&kind),
    };
    TYPES.iter().filter(is_it).flat_map(|(_, paths)| *paths)
}

/// Returns whether there may be secrets in a body: most have none, and are looked at once.
fn may_have_any(id: &ResourceId, body: &Map<String, Value>) -> bool {
    fn inside(value: &Value, hides: bool) -> bool {
        match value {
            Value::Object(fields) => {
                let hides = hides || hides_value(fields);
                fields.iter().any(|(name, inner)| {
                    let are_secrets = inner.is_array() && is(name, "secrets");
                    is_secret(name, inner, hides) || inside(inner, are_secrets)
                })
            }
            Value::Array(items) => items.iter().any(|item| inside(item, hides)),
            _ => false,
        }
    }
    let own = || {
        let mut fields = body.iter().filter(|(name, _)| !is_plain(name));
        fields.any(|(_, value)| inside(value, false))
    };
    paths(id).next().is_some() || own()
}

fn is_plain(name: &str) -> bool {
    PLAIN.iter().any(|plain| plain.eq_ignore_ascii_case(name))
}

/// Takes each secret out of a body.
fn each(id: &ResourceId, body: &mut Map<String, Value>, visit: &mut Visit<'_>) {
    // Deployments say themselves what they keep.
    if id.is("Microsoft.Resources/deployments") {
        return;
    }
    let properties = body.iter_mut();
    let mut properties = properties.filter(|(name, _)| name.eq_ignore_ascii_case("properties"));
    if let Some((name, Value::Object(properties))) = properties.next() {
        let path = step(name);
        for known in paths(id) {
            let steps: Vec<&str> = known.split('.').collect();
            take_at(properties, &steps, &path, visit);
        }
    }
    for (name, value) in body.iter_mut() {
        if !is_plain(name) {
            take_named(value, &step(name), false, visit);
        }
    }
}

/// Takes what is at a path.
fn take_at(fields: &mut Map<String, Value>, steps: &[&str], above: &str, visit: &mut Visit<'_>) {
    let Some((first, rest)) = steps.split_first() else {
        return;
    };
    let fits = |name: &&String| match *first {
        "*" => *name != "provisioningState",
        first => is(name, first),
    };
    let names: Vec<String> = fields.keys().filter(fits).cloned().collect();
    for name in names {
        let path = format!("{above}{}", step(&name));
        if rest.is_empty() {
            let value = fields.remove(&name).unwrap_or_default();
            tell(&path, value, visit);
        } else {
            for (path, inner) in objects(fields.get_mut(&name), path) {
                take_at(inner, rest, &path, visit);
            }
        }
    }
}

/// Returns an object, or those in a list, with their places.
fn objects(value: Option<&mut Value>, path: String) -> Vec<(String, &mut Map<String, Value>)> {
    match value {
        Some(Value::Object(fields)) => vec![(path, fields)],
        Some(Value::Array(items)) => {
            let items = items.iter_mut().enumerate();
            let items = items.filter_map(|(at, item)| {
                let fields = item.as_object_mut()?;
                let name = name_of(fields).map_or_else(|| at.to_string(), str::to_owned);
                Some((format!("{path}{}", step(&format!("[{name}]"))), fields))
            });
            items.collect()
        }
        _ => Vec::new(),
    }
}

/// Takes what is secret by its name, or by what stands beside it.
fn take_named(value: &mut Value, path: &str, hides: bool, visit: &mut Visit<'_>) {
    for (path, fields) in objects(Some(value), path.to_owned()) {
        let hides = hides || hides_value(fields);
        let names: Vec<String> = fields.keys().cloned().collect();
        for name in names {
            let path = format!("{path}{}", step(&name));
            let Some(inner) = fields.get_mut(&name) else {
                continue;
            };
            if is_secret(&name, inner, hides) {
                let value = fields.remove(&name).unwrap_or_default();
                tell(&path, value, visit);
            } else {
                let are_secrets = inner.is_array() && is(&name, "secrets");
                take_named(inner, &path, are_secrets, visit);
            }
        }
    }
    // Lists in lists have no names.
    if let Value::Array(items) = value {
        for (at, item) in items.iter_mut().enumerate() {
            if item.is_array() {
                let path = format!("{path}{}", step(&format!("[{at}]")));
                take_named(item, &path, hides, visit);
            }
        }
    }
}

fn is_secret(name: &str, value: &Value, hides: bool) -> bool {
    if WHOLE.iter().any(|known| is(name, known)) {
        return !value.is_null();
    }
    let is_value = is(name, "value") || is(name, "defaultvalue");
    match value {
        Value::String(_) => is_value && hides || is_secret_name(name),
        Value::Object(_) | Value::Array(_) => is_value && hides || is_password(name),
        Value::Number(_) => is_value && hides || is_password(name),
        _ => false,
    }
}

fn is_password(name: &str) -> bool {
    PASSWORDS.iter().any(|known| ends(name, known))
}

/// Returns whether the value that stands in an object is secret by what stands beside it.
fn hides_value(fields: &Map<String, Value>) -> bool {
    let has_flag = fields.iter().any(|(name, value)| {
        *value == Value::Bool(true) && FLAGS.iter().any(|flag| is(name, flag))
    });
    let is_secure = text(fields, "type").is_some_and(|kind| {
        let kind = kind.to_ascii_lowercase();
        ["securestring", "secureobject", "secure"].contains(&kind.as_str())
    });
    has_flag || is_secure || name_of(fields).is_some_and(is_secret_name)
}

fn text<'f>(fields: &'f Map<String, Value>, wanted: &str) -> Option<&'f str> {
    let mut fields = fields.iter();
    let found = fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.and_then(|(_, value)| value.as_str())
}

fn name_of(fields: &Map<String, Value>) -> Option<&str> {
    text(fields, "name").filter(|name| !name.is_empty())
}

/// What says nothing is no secret.
fn tell(path: &str, value: Value, visit: &mut Visit<'_>) {
    if !value.is_null() {
        visit(path, value);
    }
}

/// Returns whether two names are the same but for case and the marks between words.
fn is(name: &str, known: &str) -> bool {
    letters(name).eq(letters(known))
}

/// Returns whether a name ends in this way but for case and the marks between words.
fn ends(name: &str, known: &str) -> bool {
    let mut letters = letters(name).rev();
    known
        .bytes()
        .rev()
        .all(|letter| letters.next() == Some(letter))
}

/// Returns the letters of a name as they are compared.
fn letters(name: &str) -> impl DoubleEndedIterator<Item = u8> + '_ {
    let letters = name.bytes().filter(|letter| !b"-_ ".contains(letter));
    letters.map(|letter| letter.to_ascii_lowercase())
}

fn step(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Returns whether the object is there that had what was at a place.
fn has_place(body: &Map<String, Value>, path: &str) -> bool {
    let mut steps: Vec<String> = path
        .split('/')
        .skip(1)
        .map(|step| step.replace("~1", "/").replace("~0", "~"))
        .collect();
    steps.pop();
    let mut steps = steps.iter();
    let Some(first) = steps.next() else {
        return true;
    };
    let mut at = body.get(first);
    for step in steps {
        at = at.and_then(|value| match value {
            Value::Object(fields) => fields.get(step),
            Value::Array(items) => {
                let name = step.strip_prefix('[')?.strip_suffix(']')?;
                let named = |item: &&Value| {
                    let fields = item.as_object();
                    fields.and_then(name_of).is_some_and(|it| it == name)
                };
                let by_name = items.iter().find(named);
                by_name.or_else(|| items.get(name.parse::<usize>().ok()?))
            }
            _ => None,
        });
    }
    at.is_some()
}
