//! What a client asks for: a template, its parameters, and the mode.

use crate::error::ArmError;
use crate::template::problem::invalid;
use crate::template::text;
use crate::template::value::{field, get};
use crate::types::read_tags;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What becomes of resources that the template does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They stay.
    #[default]
    Incremental,
    /// Those of the resource group are deleted.
    Complete,
}

/// A deployment as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentRequest {
    /// The template.
    pub template: Map<String, Value>,
    /// The values of its parameters.
    pub parameters: Map<String, Value>,
    /// What becomes of other resources.
    pub mode: Mode,
    /// Where the deployment itself is filed, at a subscription.
    pub location: Option<String>,
    /// The tags of the deployment itself.
    pub tags: Option<Value>,
    /// Whether what-if shows IDs alone.
    pub ids_only: bool,
    /// The parameters, in lower case, whose values come from secure ones of a template around it.
    pub secure: BTreeSet<String>,
}

impl Mode {
    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Incremental => "Incremental",
            Self::Complete => "Complete",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Incremental, Self::Complete]
            .into_iter()
            .find(|mode| mode.name().eq_ignore_ascii_case(text))
    }
}

impl DeploymentRequest {
    /// Returns the request to deploy a template without parameters.
    #[must_use]
    pub fn of(template: Map<String, Value>) -> Self {
        Self {
            template,
            parameters: Map::new(),
            mode: Mode::Incremental,
            location: None,
            tags: None,
            ids_only: false,
            secure: BTreeSet::new(),
        }
    }

    /// Reads the text of a template file.
    ///
    /// # Errors
    ///
    /// It is not a template; the error says where.
    pub fn from_template(text: &str) -> Result<Self, ArmError> {
        match text::parse(text, "template")? {
            Value::Object(template) => Ok(Self::of(template)),
            _ => Err(invalid("The template is a JSON object.")),
        }
    }

    /// Reads the body of a request, as clients send it: JSON, or what `az` sends.
    ///
    /// # Errors
    ///
    /// It is not such a body; the error says where.
    pub fn parse(text: &str) -> Result<Self, ArmError> {
        let mut body = text::parse(text, "request body")?;
        let properties = body
            .as_object_mut()
            .and_then(|body| take(body, "properties"));
        let Some(Value::Object(properties)) = properties else {
            return Err(content(
                "The request body needs 'properties' with 'template'.",
            ));
        };
        let mut request = Self::of_properties(properties)?;
        request.location = get(&body, "location")
            .and_then(Value::as_str)
            .map(str::to_owned);
        request.tags = get(&body, "tags").filter(|tags| !tags.is_null()).cloned();
        if let Some(tags) = &request.tags {
            read_tags(tags)?;
        }
        Ok(request)
    }

    /// Reads `properties` of a deployment, of a request or of a nested one.
    ///
    /// # Errors
    ///
    /// They are not as they must be, or the template is elsewhere.
    pub fn of_properties(mut properties: Map<String, Value>) -> Result<Self, ArmError> {
        let template = take(&mut properties, "template");
        let properties = &properties;
        if field(properties, "templateLink").is_some_and(|link| !link.is_null()) {
            // No network is reached from here, whatever the link says.
            return Err(invalid(
                "The template is given by 'templateLink', which is not supported: nothing is fetched from elsewhere. Accepted: the template itself as 'template'.",
            )
            .at("properties.templateLink"));
        }
        if field(properties, "parametersLink").is_some_and(|link| !link.is_null()) {
            return Err(invalid(
                "The parameters are given by 'parametersLink', which is not supported: nothing is fetched from elsewhere. Accepted: the values themselves as 'parameters'.",
            )
            .at("properties.parametersLink"));
        }
        let template = match template {
            Some(Value::Object(template)) => template,
            _ => {
                return Err(content(
                    "The deployment needs 'template' with the template as a JSON object.",
                ));
            }
        };
        let mut request = Self::of(template);
        if let Some(mode) = field(properties, "mode").filter(|mode| !mode.is_null()) {
            request.mode = mode.as_str().and_then(Mode::parse).ok_or_else(|| {
                content(&format!(
                    "The deployment mode {mode} is not valid; accepted: Incremental, Complete."
                ))
            })?;
        }
        if let Some(given) = field(properties, "parameters").filter(|given| !given.is_null()) {
            request.parameters = values(given)?;
        }
        request.ids_only = field(properties, "whatIfSettings")
            .and_then(|settings| get(settings, "resultFormat")?.as_str())
            .is_some_and(|format| format.eq_ignore_ascii_case("ResourceIdOnly"));
        Ok(request)
    }

    /// Adds the values of a parameter file: `{"parameters": {"x": {"value": 1}}}`, or the inner object
    /// alone, or plain `{"x": 1}`. Values given later win.
    ///
    /// # Errors
    ///
    /// The text is no such file.
    pub fn add_file(&mut self, text: &str) -> Result<(), ArmError> {
        let file = text::parse(text, "parameter file")?;
        let inner = match (
            get(&file, "parameters"),
            get(&file, "contentVersion").or(get(&file, "$schema")),
        ) {
            (Some(inner), Some(_)) => inner,
            (Some(inner), None) if get(inner, "value").is_none() => inner,
            _ => &file,
        };
        for (name, value) in values(inner)? {
            self.add(&name, value);
        }
        Ok(())
    }

    /// Adds `name=value`. The value is a text where the template declares one, and JSON elsewhere.
    ///
    /// # Errors
    ///
    /// There is no `=`, or the value is not JSON where it must be.
    pub fn add_assignment(&mut self, assignment: &str) -> Result<(), ArmError> {
        let (name, text) = assignment.split_once('=').ok_or_else(|| {
            content(&format!(
                "'{assignment}' is no parameter; accepted: name=value."
            ))
        })?;
        let name = name.trim();
        let kind = field(&self.template, "parameters")
            .and_then(|declared| get(get(declared, name)?, "type")?.as_str())
            .unwrap_or("string");
        let value = match kind.to_ascii_lowercase().as_str() {
            "string" | "securestring" => Value::from(text),
            "bool" => match text.to_ascii_lowercase().as_str() {
                "true" => Value::from(true),
                "false" => Value::from(false),
                _ => Value::from(text),
            },
            // A text that is no number stays a text, so that the check of the parameter names it.
            "int" => text
                .trim()
                .parse::<i64>()
                .map_or(Value::from(text), Value::from),
            _ => text::parse(text, &format!("value of the parameter '{name}'"))?,
        };
        self.add(name, value);
        Ok(())
    }

    fn add(&mut self, name: &str, value: Value) {
        self.parameters
            .retain(|known, _| !known.eq_ignore_ascii_case(name));
        self.parameters.insert(name.to_owned(), value);
    }
}

/// Takes a field out of an object, by its name without case.
fn take(fields: &mut Map<String, Value>, name: &str) -> Option<Value> {
    if let Some(value) = fields.get_mut(name) {
        return Some(value.take());
    }
    let mut others = fields.iter_mut();
    let found = others.find(|(other, _)| other.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.take())
}

/// Takes the values out of `{"x": {"value": 1}}`; a parameter that is not such an object is the value
/// itself.
fn values(given: &Value) -> Result<Map<String, Value>, ArmError> {
    let given = given
        .as_object()
        .ok_or_else(|| content("'parameters' is an object of names and values."))?;
    let mut found = Map::new();
    for (name, value) in given {
        if name.starts_with('$') || name.eq_ignore_ascii_case("contentVersion") {
            continue;
        }
        let is_wrapped = |key: &str| {
            value.as_object().is_some_and(|fields| {
                fields.len() == 1 || fields.keys().all(|one| one == key || one == "metadata")
            }) && get(value, key).is_some()
        };
        if is_wrapped("reference") {
            return Err(invalid(format!(
                "The parameter '{name}' refers to a key vault, which is not supported. Accepted: its value as 'value'."
            ))
            .at(format!("parameters.{name}")));
        }
        let inner = match is_wrapped("value") {
            true => get(value, "value").cloned().unwrap_or_default(),
            false => value.clone(),
        };
        found.insert(name.clone(), inner);
    }
    Ok(found)
}

fn content(message: &str) -> ArmError {
    ArmError::bad_request("InvalidRequestContent", message)
}
