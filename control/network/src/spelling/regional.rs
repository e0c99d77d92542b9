//! What there is in a region: service tags, and services with endpoints.

use crate::catalog::{Catalog, Location, Service, Tag};
use postern_arm::error::ArmError;
use serde_json::{Value, json};

const ENDPOINT_SERVICES: &str = "virtualNetworkAvailableEndpointServices";
const SERVICE_TAGS: &str = "serviceTags";

/// Answers a GET of a list that is about a region.
///
/// # Errors
///
/// There is no such list or region.
pub fn regional(catalog: &Catalog, location: &str, what: &str) -> Result<Value, ArmError> {
    let location = Location::new(location);
    if !catalog.knows(&location) {
        let message = format!(
            "The provided location '{location}' is not available for resource type \
             'Microsoft.Network/locations/{what}'. List of available regions for the resource type \
             is '{}'.",
            locations(catalog).join(",")
        );
        let code = "LocationNotAvailableForResourceType";
        return Err(ArmError::bad_request(code, message));
    }
    if what.eq_ignore_ascii_case(SERVICE_TAGS) {
        Ok(service_tags(catalog))
    } else if what.eq_ignore_ascii_case(ENDPOINT_SERVICES) {
        Ok(endpoint_services(catalog, &location))
    } else {
        let message = format!(
            "Microsoft.Network/locations/{what} is not known; accepted: {SERVICE_TAGS} and \
             {ENDPOINT_SERVICES}"
        );
        Err(ArmError::new(404, "InvalidResourceType", message))
    }
}

/// Returns the names of the regions.
#[must_use]
pub fn locations(catalog: &Catalog) -> Vec<String> {
    catalog.locations().map(ToString::to_string).collect()
}

/// Returns the tags in the shape of the Discovery API (reference section 5.2): change numbers are
/// texts. The region of the question picks who reports, and filters nothing.
fn service_tags(catalog: &Catalog) -> Value {
    let values: Vec<_> = catalog.tags().iter().map(tag).collect();
    json!({
        "name": catalog.cloud(),
        "id": format!("/providers/Microsoft.Network/serviceTags/{}", catalog.cloud()),
        "type": "Microsoft.Network/serviceTags",
        "changeNumber": catalog.change_number().to_string(),
        "cloud": catalog.cloud(),
        "values": values,
        "nextLink": null,
    })
}

fn tag(tag: &Tag) -> Value {
    let prefixes: Vec<_> = tag.prefixes.iter().map(ToString::to_string).collect();
    json!({
        "name": tag.name,
        "id": tag.name,
        "properties": {
            "changeNumber": tag.change_number.to_string(),
            "region": tag.location.as_ref().map_or("", Location::as_str),
            // The file's own name of the service behind a tag is not kept: that of the tag is near.
            "systemService": tag.name.split('.').next(),
            "addressPrefixes": prefixes,
        },
    })
}

/// Returns the services whose endpoint can be on in a network of the region.
fn endpoint_services(catalog: &Catalog, location: &Location) -> Value {
    const KIND: &str = "Microsoft.Network/virtualNetworkEndpointServices";
    let services = Service::all().iter();
    let available = services.filter(|service| {
        catalog
            .lacking(service, &service.locations(location))
            .is_none()
    });
    let value: Vec<_> = available
        .map(|service| {
            json!({
                "name": service.name,
                "id": format!("/providers/{KIND}/{}", service.name),
                "type": KIND,
            })
        })
        .collect();
    json!({ "value": value })
}
