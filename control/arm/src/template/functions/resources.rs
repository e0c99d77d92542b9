//! IDs of resources, and where the template is deployed to.

use super::super::problem::Problem;
use super::{ANY, Call, Entry};
use crate::id::Scope;
use serde_json::Value;

type Answer = Result<Value, Problem>;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "deployer",
        least: 0,
        most: 0,
        run: |call| Ok(call.evaluator.session.deployer.clone()),
    },
    Entry {
        name: "deployment",
        least: 0,
        most: 0,
        run: |call| Ok(call.evaluator.frame.place.deployment.clone()),
    },
    Entry {
        name: "environment",
        least: 0,
        most: 0,
        run: |call| Ok(call.evaluator.session.environment.clone()),
    },
    Entry {
        name: "extensionResourceId",
        least: 3,
        most: ANY,
        run: extension_resource_id,
    },
    Entry {
        name: "resourceGroup",
        least: 0,
        most: 0,
        run: resource_group,
    },
    Entry {
        name: "resourceId",
        least: 2,
        most: ANY,
        run: resource_id,
    },
    Entry {
        name: "resourceInfo",
        least: 1,
        most: 1,
        run: resource_info,
    },
    Entry {
        name: "subscription",
        least: 0,
        most: 0,
        run: |call| Ok(call.evaluator.frame.place.subscription.clone()),
    },
    Entry {
        name: "subscriptionResourceId",
        least: 2,
        most: ANY,
        run: subscription_resource_id,
    },
    Entry {
        name: "tenant",
        least: 0,
        most: 0,
        run: |call| Ok(call.evaluator.session.tenant.clone()),
    },
    Entry {
        name: "tenantResourceId",
        least: 2,
        most: ANY,
        run: tenant_resource_id,
    },
];

fn resource_group(call: &Call<'_>) -> Answer {
    match &call.evaluator.frame.place.group {
        Value::Null => Err(Problem::NotHere {
            function: call.name.to_owned(),
            accepted: "it may be in a template that is deployed to a resource group",
        }),
        group => Ok(group.clone()),
    }
}

fn resource_info(call: &Call<'_>) -> Answer {
    let symbol = call.text(0)?;
    call.evaluator.world.info(symbol).ok_or_else(|| {
        call.bad(format!(
            "the template has no resource with the symbolic name '{symbol}'"
        ))
    })
}

/// Pairs the parts of a type with names: `A.B/t1/t2` and `n1`, `n2` become `A.B/t1/n1/t2/n2`. A slash
/// at the end of the type is no part of it: templates have it, and the platform takes it.
///
/// # Errors
///
/// Says what the type is and how many names it takes.
fn names_of(kind: &str, names: &[&str]) -> Result<String, String> {
    let mut parts = kind.trim_end_matches('/').split('/');
    let provider = parts.next().unwrap_or_default();
    let types: Vec<&str> = parts.collect();
    if provider.is_empty() || types.is_empty() || types.iter().any(|part| part.is_empty()) {
        return Err(format!(
            "'{kind}' is no resource type such as 'Microsoft.Network/virtualNetworks'"
        ));
    }
    if types.len() != names.len() {
        return Err(format!(
            "the type '{kind}' requires {} resource name argument(s) and {} were provided",
            types.len(),
            names.len()
        ));
    }
    if let Some(bad) = names
        .iter()
        .find(|name| name.is_empty() || name.contains('/'))
    {
        return Err(format!("'{bad}' is no name of a resource"));
    }
    let pairs = types.iter().zip(names);
    let path: String = pairs
        .map(|(kind, name)| format!("/{kind}/{name}"))
        .collect();
    Ok(format!("{provider}{path}"))
}

/// Returns the arguments as texts; numbers serve as names too.
fn texts(call: &Call<'_>) -> Result<Vec<String>, Problem> {
    call.values()
        .enumerate()
        .map(|(at, value)| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(call.wrong(at, "a string")),
        })
        .collect()
}

/// Returns the ID from the arguments: up to `most` leading ones that are no type, the type, the names.
fn id(
    call: &Call<'_>,
    most: usize,
    scope: impl FnOnce(&[&str]) -> Result<String, Problem>,
) -> Answer {
    let texts = texts(call)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let at = texts
        .iter()
        .take(most.saturating_add(1))
        .position(|text| text.contains('/'))
        .ok_or_else(|| {
            call.bad(format!(
                "function requires fully qualified resource type 'Microsoft.Example/types' as one of the first {} arguments",
                most.saturating_add(1)
            ))
        })?;
    let (before, rest) = texts.split_at_checked(at).unwrap_or_default();
    let (kind, names) = rest.split_first().unwrap_or((&"", &[]));
    let path = names_of(kind, names).map_err(|why| call.bad(why))?;
    Ok(format!("{}/providers/{path}", scope(before)?).into())
}

/// Returns the subscription that the template is deployed to.
fn subscription(call: &Call<'_>) -> Result<String, Problem> {
    let subscription = call.evaluator.frame.place.scope.subscription();
    subscription
        .map(str::to_owned)
        .ok_or_else(|| call.bad("the template is not deployed to a subscription"))
}

fn resource_id(call: &Call<'_>) -> Answer {
    let place = &call.evaluator.frame.place;
    id(call, 2, |before| {
        Ok(match before {
            [] => match &place.scope {
                Scope::Tenant => String::new(),
                scope => scope.to_string(),
            },
            [group] => format!(
                "/subscriptions/{}/resourceGroups/{group}",
                subscription(call)?
            ),
            [subscription, group, ..] => {
                format!("/subscriptions/{subscription}/resourceGroups/{group}")
            }
        })
    })
}

fn subscription_resource_id(call: &Call<'_>) -> Answer {
    id(call, 1, |before| {
        Ok(match before {
            [subscription, ..] => format!("/subscriptions/{subscription}"),
            [] => format!("/subscriptions/{}", subscription(call)?),
        })
    })
}

fn tenant_resource_id(call: &Call<'_>) -> Answer {
    id(call, 0, |_| Ok(String::new()))
}

fn extension_resource_id(call: &Call<'_>) -> Answer {
    let texts = texts(call)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let [of, kind, names @ ..] = texts.as_slice() else {
        return Err(call.bad("it takes an ID, a type and names"));
    };
    if !of.starts_with('/') {
        return Err(call.wrong(0, "the ID of a resource or a scope"));
    }
    let path = names_of(kind, names).map_err(|why| call.bad(why))?;
    Ok(format!("{}/providers/{path}", of.trim_end_matches('/')).into())
}
