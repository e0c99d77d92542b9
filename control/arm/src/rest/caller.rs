//! Who calls, and what they may do.

use super::line::Rank;
use super::request::{Request, Via};
use super::state::State;
use crate::error::ArmError;
use crate::estate::Estate;
use crate::id::{ResourceId, Scope};
use crate::roles::Who;
use crate::roles::link::{Link, new_links};
use crate::token::Claims;
use serde_json::Value;

/// The header with the tokens of other tenants, for references into them.
const AUXILIARY: &str = "x-ms-authorization-auxiliary";

/// The names that Azure itself has for this API; tokens for them are taken too, as clients that were
/// told no other audience ask for them.
const AZURE: [&str; 2] = ["management.azure.com", "management.core.windows.net"];

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Whoever may open the control socket.
    Local,
    /// A principal, by its token, with tokens of other tenants.
    Principal(Box<Claims>, Vec<Claims>),
}

impl Caller {
    /// Finds out who sent a request.
    ///
    /// # Errors
    ///
    /// It came by https and has no token, or one that does not count here.
    pub(crate) fn of(request: &Request, state: &State) -> Result<Self, ArmError> {
        if request.via == Via::Socket {
            return Ok(Self::Local);
        }
        let failed = |message: &str| ArmError::new(401, "AuthenticationFailed", message);
        let header = request.header("authorization").ok_or_else(|| {
            failed("Authentication failed. The 'Authorization' header is missing.")
        })?;
        let token = bearer(header).ok_or_else(|| {
            failed(
                "Authentication failed. The 'Authorization' header is provided in an invalid \
                 format; accepted: 'Bearer TOKEN'.",
            )
        })?;
        let claims = check(token, state)?;
        let more = request.header(AUXILIARY).unwrap_or_default();
        let more = more.split([';', ',']).filter_map(bearer);
        let more = more.take(3).map(|token| check(token, state));
        Ok(Self::Principal(
            Box::new(claims),
            more.collect::<Result<_, _>>()?,
        ))
    }

    /// Returns the tenant; none for who may see all of them.
    pub(crate) fn tenant(&self) -> Option<&str> {
        match self {
            Self::Local => None,
            Self::Principal(claims, _) => Some(&claims.tid),
        }
    }

    /// Returns whether it is the host itself, which may do anything.
    pub(crate) fn is_host(&self) -> bool {
        matches!(self, Self::Local)
    }

    /// Returns where a request of the caller stands in the line of those who change.
    pub(super) fn rank(&self) -> Rank {
        match self {
            Self::Local => Rank::Host,
            Self::Principal(..) => Rank::Principal,
        }
    }

    /// Returns whether the caller may do that at a scope of the caller's tenant.
    pub(crate) fn may(&self, state: &State, action: &str, at: &Scope) -> bool {
        self.may_at(state, action)(at)
    }

    /// Returns whether the caller may do that at scopes that are asked for one after the other: the roles
    /// are looked through once.
    pub(crate) fn may_at<'s>(
        &'s self,
        state: &'s State,
        action: &str,
    ) -> impl Fn(&Scope) -> bool + use<'s> {
        let granted = match self {
            Self::Local => None,
            Self::Principal(claims, _) => Some(granted(claims, state, action)),
        };
        move |at| granted.as_ref().is_none_or(|may| may(at))
    }

    /// Returns whether the caller has any role at, above or below a scope of the caller's tenant.
    pub(crate) fn is_known(&self, state: &State, at: &Scope) -> bool {
        match self {
            Self::Local => true,
            Self::Principal(claims, _) => {
                is_of(state, at, &claims.tid) && state.roles.is_known(who(claims), at)
            }
        }
    }

    /// Checks that a scope is one that the caller can have business with.
    ///
    /// # Errors
    ///
    /// There is no such subscription, or it is another tenant's.
    pub(crate) fn enter(&self, state: &State, scope: &Scope) -> Result<(), ArmError> {
        let Some(id) = scope.subscription() else {
            return Ok(());
        };
        let Some(subscription) = state.subscription(id) else {
            let message = format!("The subscription '{id}' could not be found.");
            return Err(ArmError::new(404, "SubscriptionNotFound", message));
        };
        match self {
            Self::Principal(claims, _)
                if !subscription.tenant.eq_ignore_ascii_case(&claims.tid) =>
            {
                let message = format!(
                    "The access token is from the wrong issuer '{}'. It must match one of the \
                     tenants associated with this subscription. Please use the authority (URL) of \
                     such a tenant to get the token.",
                    claims.iss
                );
                Err(ArmError::new(
                    401,
                    "InvalidAuthenticationTokenTenant",
                    message,
                ))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the caller may do that.
    ///
    /// # Errors
    ///
    /// The caller may not: 403 `AuthorizationFailed`; or [`Self::enter`] fails.
    pub(crate) fn authorise(
        &self,
        state: &State,
        action: &str,
        at: &Scope,
    ) -> Result<(), ArmError> {
        self.enter(state, at)?;
        if self.may(state, action, at) {
            return Ok(());
        }
        let message = format!(
            "{} does not have authorization to perform action '{action}' over scope '{at}' or the \
             scope is invalid. If access was recently granted, please refresh your credentials.",
            self.name(),
        );
        Err(ArmError::new(403, "AuthorizationFailed", message))
    }

    /// Checks that the caller may make what was written refer to what it newly refers to.
    ///
    /// # Errors
    ///
    /// The caller has no right to that at one of them: 403 `LinkedAuthorizationFailed`.
    pub(crate) fn authorise_links(
        &self,
        state: &State,
        next: &Estate,
        id: &ResourceId,
        action: &str,
    ) -> Result<(), ArmError> {
        if matches!(self, Self::Local) {
            return Ok(());
        }
        let Some(new) = next.document(id) else {
            return Ok(());
        };
        let old = state.estate.document(id);
        let links = new_links(old.map(|old| &**old), new);
        links
            .iter()
            .try_for_each(|link| self.authorise_link(state, id, action, link))
    }

    /// Checks that the caller may read every resource that the body of an action names: a network watcher
    /// of one's own must not tell of somebody else's NIC.
    ///
    /// # Errors
    ///
    /// The caller may not read one of them: 403 `LinkedAuthorizationFailed`.
    pub(crate) fn authorise_named(
        &self,
        state: &State,
        id: &ResourceId,
        action: &str,
        body: &Value,
    ) -> Result<(), ArmError> {
        match body {
            Value::Object(fields) => fields
                .values()
                .try_for_each(|value| self.authorise_named(state, id, action, value)),
            Value::Array(values) => values
                .iter()
                .try_for_each(|value| self.authorise_named(state, id, action, value)),
            Value::String(text) => match text.parse::<ResourceId>() {
                Ok(target) => {
                    let action_there = format!("{}/read", target.kind());
                    let link = Link {
                        target,
                        action: action_there,
                    };
                    self.authorise_link(state, id, action, &link)
                }
                Err(_) => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn authorise_link(
        &self,
        state: &State,
        id: &ResourceId,
        action: &str,
        link: &Link,
    ) -> Result<(), ArmError> {
        let Self::Principal(own, more) = self else {
            return Ok(());
        };
        let at = Scope::Resource(Box::new(link.target.clone()));
        let tenant = state.tenant_of(&at);
        let mut all = std::iter::once(&**own).chain(more);
        let claims = all
            .find(|claims| tenant.is_some_and(|tenant| tenant.eq_ignore_ascii_case(&claims.tid)));
        if claims.is_some_and(|claims| granted(claims, state, &link.action)(&at)) {
            return Ok(());
        }
        let (name, linked, target) = (self.name(), &link.action, &link.target);
        let message = match claims {
            Some(_) => format!(
                "{name} has permission to perform action '{action}' on scope '{id}'; however, it \
                 does not have permission to perform action(s) '{linked}' on the linked scope(s) \
                 '{target}' (respectively) or the linked scope(s) are invalid."
            ),
            None => format!(
                "The client has permission to perform action '{linked}' on scope '{id}', however \
                 the current tenant '{}' is not authorized to access linked subscription '{}'.",
                own.tid,
                target.scope.subscription().unwrap_or_default()
            ),
        };
        Err(ArmError::new(403, "LinkedAuthorizationFailed", message))
    }

    fn name(&self) -> String {
        match self {
            Self::Local => "The local client".to_owned(),
            Self::Principal(claims, _) => format!(
                "The client '{}' with object id '{}'",
                claims.appid, claims.oid
            ),
        }
    }
}

/// Returns whether the principal of a token may do that, at each scope that is asked for.
fn granted<'s>(
    claims: &'s Claims,
    state: &'s State,
    action: &str,
) -> impl Fn(&Scope) -> bool + use<'s> {
    let scopes = state.roles.granted(who(claims), action);
    move |at| is_of(state, at, &claims.tid) && scopes.iter().any(|scope| scope.holds(at))
}

/// Returns whose token it is.
pub(crate) fn who(claims: &Claims) -> Who<'_> {
    Who {
        tenant: &claims.tid,
        object: &claims.oid,
    }
}

/// Returns whether a scope is the tenant's. The root is everybody's: each sees their own tenant there.
fn is_of(state: &State, at: &Scope, tenant: &str) -> bool {
    let owner = state.tenant_of(at);
    match owner {
        Some(owner) => owner.eq_ignore_ascii_case(tenant),
        None => *at == Scope::Tenant,
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let is_bearer = ["Bearer", "EncryptedBearer"];
    let is_bearer = is_bearer
        .iter()
        .any(|name| name.eq_ignore_ascii_case(scheme));
    (is_bearer && !token.trim().is_empty()).then(|| token.trim())
}

/// Returns what a token says, if it counts here.
fn check(token: &str, state: &State) -> Result<Claims, ArmError> {
    let claims = state.config.key.check(token)?;
    let host = host_of(&claims.aud);
    let hosts = state.config.hosts.iter().map(String::as_str).chain(AZURE);
    if !hosts
        .into_iter()
        .any(|known| known.eq_ignore_ascii_case(host))
    {
        let allowed: Vec<_> = state
            .config
            .hosts
            .iter()
            .map(|host| format!("'https://{host}'"))
            .collect();
        let message = format!(
            "The access token has been obtained for wrong audience or resource '{}'. It should \
             match with one of the allowed audiences {}.",
            claims.aud,
            allowed.join(",")
        );
        let code = "InvalidAuthenticationTokenAudience";
        return Err(ArmError::new(401, code, message));
    }
    let invalid = |message: &str| ArmError::new(401, "InvalidAuthenticationToken", message);
    if state.tenant(&claims.tid).is_none() || !claims.iss.ends_with(&format!("/{}/", claims.tid)) {
        return Err(invalid("The access token is of no tenant of this host."));
    }
    let known = state.config.principals.iter().any(|known| {
        known.object_id.eq_ignore_ascii_case(&claims.oid)
            && known.tenant.eq_ignore_ascii_case(&claims.tid)
    });
    if !known {
        // It was removed from the configuration since it logged in.
        return Err(invalid(
            "The access token is of a principal that does not exist.",
        ));
    }
    Ok(claims)
}

/// Returns the host of a URL, without its port.
pub(crate) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    match authority.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or(address),
        None => authority.split(':').next().unwrap_or(authority),
    }
}
