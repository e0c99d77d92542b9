use super::*;
use std::collections::HashSet;

fn bundled() -> Catalog {
    Catalog::bundled().unwrap()
}

fn service(name: &str) -> &'static Service {
    Service::find(name).unwrap()
}

fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn regions(names: &[&str]) -> Locations {
    Locations::Regions(names.iter().map(|name| Location::new(name)).collect())
}

/// A file with one tag; `tag` is the text of its properties.
fn file(properties: &str) -> String {
    format!(
        r#"{{"changeNumber":1,"cloud":"Public","values":[
            {{"name":"Storage","id":"Storage","properties":{properties}}}]}}"#
    )
}

const GOOD: &str =
    r#"{"changeNumber":1,"region":"","addressPrefixes":["20.60.0.0/24","2603::/48"]}"#;

fn refusal(text: &str) -> String {
    Catalog::from_bytes("tags.json", text.as_bytes())
        .unwrap_err()
        .to_string()
}

#[test]
fn the_bundled_file_has_the_published_quantities() {
    let catalog = bundled();
    assert_eq!((catalog.change_number(), catalog.cloud()), (375, "Public"));
    let marked: Vec<&Tag> = catalog
        .tags()
        .iter()
        .filter(|tag| tag.is_endpoint)
        .collect();
    assert_eq!(marked.len(), 9);
    let distinct: HashSet<Ipv4Net> = marked
        .iter()
        .flat_map(|tag| tag.prefixes.iter().copied())
        .collect();
    assert_eq!(distinct.len(), 5245);
    for (name, count) in [
        ("Storage", 495),
        ("Sql", 1113),
        ("AzureKeyVault", 335),
        ("AzureCosmosDB", 604),
        ("EventHub", 363),
        ("ServiceBus", 456),
        ("AppService", 1089),
        ("AzureActiveDirectory", 200),
        ("AzureContainerRegistry", 590),
    ] {
        assert_eq!(catalog.tag(name).unwrap().prefixes.len(), count, "{name}");
    }
}

#[test]
fn the_bundled_file_supplies_every_service_without_overlap() {
    let catalog = bundled();
    for service in Service::all() {
        assert_eq!(catalog.lacking(service, &Locations::All), None, "{service}");
        assert!(
            !catalog.prefixes(service, &Locations::All).is_empty(),
            "{service}"
        );
    }
    assert_eq!(catalog.overlaps(), []);
}

#[test]
fn every_irregular_region_of_the_file_gets_its_programmatic_name() {
    let catalog = bundled();
    for region in [
        "germanywestcentral",
        "germanynorth",
        "norwayeast",
        "norwaywest",
        "switzerlandnorth",
        "switzerlandwest",
        "francecentral",
        "francesouth",
        "brazilsoutheast",
        "chilecentral",
    ] {
        let tags = catalog.supplying_tags(service("Microsoft.Storage"), &regions(&[region]));
        let names: Vec<_> = tags
            .iter()
            .map(|tag| tag.name.to_ascii_lowercase())
            .collect();
        assert_eq!(names, [format!("storage.{region}")]);
    }
    // After the mapping, every regional tag is named after its region, stages aside.
    let odd: Vec<_> = catalog
        .tags()
        .iter()
        .filter(|tag| {
            let child = tag
                .name
                .split_once('.')
                .map(|(_, child)| child.to_ascii_lowercase());
            tag.location
                .as_ref()
                .is_some_and(|at| child.as_deref() != Some(at.as_str()))
        })
        .filter(|tag| !tag.name.ends_with("Stage"))
        .map(|tag| tag.name.as_str())
        .collect();
    assert_eq!(odd, Vec::<&str>::new());
}

#[test]
fn the_tag_named_after_the_region_stands_before_a_stage() {
    let catalog = bundled();
    let tags = catalog.supplying_tags(service("Microsoft.Storage"), &regions(&["eastus2"]));
    assert_eq!(
        tags.iter().map(|tag| tag.name.as_str()).collect::<Vec<_>>(),
        ["Storage.EastUS2"]
    );
}

#[test]
fn service_names_compare_without_case() {
    let storage = service("microsoft.STORAGE");
    assert_eq!(storage.name, "Microsoft.Storage");
    assert_eq!(Service::find("Microsoft.Storage Microsoft.Sql"), None);
    assert_eq!(Service::find("Storage"), None);
}

#[test]
fn storage_and_its_global_reach_are_one_service_and_exclude_each_other() {
    let (near, far) = (
        service("Microsoft.Storage"),
        service("Microsoft.Storage.Global"),
    );
    assert_eq!(near.id(), far.id());
    assert_eq!(far.family(), near);
    assert!(near.excludes(far) && far.excludes(near) && !near.excludes(near));
    assert!(!near.excludes(service("Microsoft.Sql")));
    assert_eq!(Service::name_of(far.id()), Some("Microsoft.Storage"));
}

#[test]
fn numbers_of_services_are_distinct_but_for_storage() {
    let numbers: HashSet<u16> = Service::all()
        .iter()
        .map(|service| service.id().0)
        .collect();
    assert_eq!(numbers.len(), Service::all().len() - 1);
}

#[test]
fn korea_central_storage_covers_the_region_and_its_pair() {
    let (catalog, storage) = (bundled(), service("Microsoft.Storage"));
    let locations = storage.locations(&Location::new("Korea Central"));
    assert_eq!(locations.values(), ["koreacentral", "koreasouth"]);
    let prefixes = catalog.prefixes(storage, &locations);
    let covers = |name: &str| {
        let tag = catalog.tag(name).unwrap();
        tag.prefixes.iter().all(|prefix| prefixes.contains(prefix))
    };
    assert!(covers("Storage.KoreaCentral") && covers("Storage.KoreaSouth"));
    let japan = catalog.tag("storage.japaneast").unwrap();
    assert!(
        !japan
            .prefixes
            .iter()
            .any(|prefix| prefixes.contains(prefix))
    );
    assert_eq!(prefixes.len(), 17 + 15);
    assert!(prefixes.is_sorted());
}

#[test]
fn scopes_decide_the_locations() {
    let at = Location::new("koreacentral");
    for (name, wanted) in [
        ("Microsoft.Sql", vec!["koreacentral"]),
        ("Microsoft.AzureActiveDirectory", vec!["koreacentral"]),
        ("Microsoft.Storage.Global", vec!["*"]),
        ("Microsoft.KeyVault", vec!["*"]),
        ("Microsoft.Web", vec!["*"]),
        ("Microsoft.CognitiveServices", vec!["*"]),
    ] {
        assert_eq!(service(name).locations(&at).values(), wanted, "{name}");
    }
}

#[test]
fn regions_without_a_pair_stand_alone() {
    for region in [
        "qatarcentral",
        "polandcentral",
        "israelcentral",
        "italynorth",
        "nowhere",
    ] {
        let at = Location::new(region);
        assert_eq!(at.pair(), None);
        assert_eq!(
            service("Microsoft.Storage").locations(&at).values(),
            [region]
        );
    }
}

#[test]
fn one_way_pairs_do_not_lead_back() {
    let pair = |name: &str| Location::new(name).pair().map(|pair| pair.to_string());
    for (from, to, back) in [
        ("westindia", "southindia", Some("centralindia")),
        ("brazilsouth", "southcentralus", Some("northcentralus")),
        ("brazilsoutheast", "brazilsouth", Some("southcentralus")),
        ("westus3", "eastus", Some("westus")),
        ("usgovvirginia", "usgovtexas", None),
        ("usgovarizona", "usgovtexas", None),
    ] {
        assert_eq!(pair(from).as_deref(), Some(to));
        assert_eq!(pair(to).as_deref(), back, "{to}");
    }
    for &(one, other) in &[("koreacentral", "koreasouth"), ("eastus", "westus")] {
        assert_eq!(pair(one).as_deref(), Some(other));
        assert_eq!(pair(other).as_deref(), Some(one));
    }
}

#[test]
fn a_tag_without_regional_parts_stands_for_every_region() {
    let (catalog, aad) = (bundled(), service("Microsoft.AzureActiveDirectory"));
    let at = Location::new("koreacentral");
    assert_eq!(
        catalog.prefixes_in(aad, &at),
        catalog.tag("AzureActiveDirectory").unwrap().prefixes
    );
    let nowhere = Location::new("chinaeast");
    let storage = service("Microsoft.Storage");
    assert_eq!(catalog.prefixes_in(storage, &nowhere), []);
    let lacking = catalog.lacking(storage, &storage.locations(&nowhere));
    assert_eq!(
        lacking.as_deref(),
        Some("Storage in chinaeast or chinanorth")
    );
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let mut bytes = b"\xef\xbb\xbf".to_vec();
    bytes.extend(file(GOOD).bytes());
    let catalog = Catalog::from_bytes("tags.json", &bytes).unwrap();
    assert_eq!(
        catalog.tag("storage").unwrap().prefixes,
        nets(&["20.60.0.0/24"])
    );
}

#[test]
fn features_may_be_null_absent_or_there() {
    for (features, is_endpoint) in [
        ("", false),
        (r#","networkFeatures":null"#, false),
        (r#","networkFeatures":["API"]"#, false),
        (r#","networkFeatures":["API","VSE"]"#, true),
    ] {
        let text = file(&GOOD.replace("\"]}", &format!("\"]{features}}}")));
        let catalog = Catalog::from_bytes("tags.json", text.as_bytes()).unwrap();
        assert_eq!(
            catalog.tag("Storage").unwrap().is_endpoint,
            is_endpoint,
            "{features}"
        );
    }
}

#[test]
fn a_broken_file_is_refused_with_file_place_value_and_remedy() {
    let cases = [
        ("", "tags.json:1:0: not JSON: EOF while parsing a value"),
        (
            "[]",
            "tags.json: document = []: not what belongs here; accepted: an object",
        ),
        (
            "{}",
            "tags.json: changeNumber = nothing: not what belongs here; accepted: a whole number",
        ),
        (
            r#"{"changeNumber":"375"}"#,
            r#"tags.json: changeNumber = "375": not what belongs here"#,
        ),
        (
            r#"{"changeNumber":99999999999}"#,
            "accepted: a number below 2^32",
        ),
        (
            r#"{"changeNumber":1,"cloud":7}"#,
            "tags.json: cloud = 7: not what belongs here; accepted: a string",
        ),
        (
            r#"{"changeNumber":1,"cloud":"P","prefixes":[]}"#,
            "tags.json: values = nothing",
        ),
        (
            r#"{"changeNumber":1,"cloud":"P","values":[]}"#,
            "values = 0 tags: none of them belongs to a service",
        ),
        (
            r#"{"changeNumber":1,"cloud":"P","values":[7]}"#,
            "tags.json: values[0] = 7: not what",
        ),
        (
            r#"{"changeNumber":1,"cloud":"P","values":[{"name":"X"}]}"#,
            "values[0] (X).properties = null",
        ),
    ];
    for (text, wanted) in cases {
        let error = refusal(text);
        assert!(error.contains(wanted), "{text}: {error}");
        assert!(
            error.contains("tags.json") && error.contains("accepted: "),
            "{error}"
        );
    }
}

#[test]
fn a_broken_prefix_is_refused_with_its_tag() {
    for (prefix, wanted) in [
        (
            r#""20.60.0.0/33""#,
            r#"values[0] (Storage).properties.addressPrefixes[0] = "20.60.0.0/33": not a prefix"#,
        ),
        (
            r#""20.60.0.0""#,
            r#"= "20.60.0.0": not a prefix; accepted: an IPv4 or IPv6 prefix"#,
        ),
        (
            r#""20.60.0.1/24""#,
            r#"= "20.60.0.1/24": bits are set behind the prefix length; accepted: 20.60.0.0/24"#,
        ),
        (r#""2603::1/48""#, "accepted: 2603::/48"),
        ("7", "addressPrefixes[0] = 7: not a prefix"),
    ] {
        let text = file(&GOOD.replace(r#""20.60.0.0/24""#, prefix));
        let error = refusal(&text);
        assert!(error.contains(wanted), "{prefix}: {error}");
    }
    let error = refusal(&file(&GOOD.replace("[\"20", "null,\"x\":[\"20")));
    assert!(
        error.contains("properties.addressPrefixes = null: not what belongs here"),
        "{error}"
    );
}

#[test]
fn a_cut_or_doubled_file_is_refused() {
    let text = file(GOOD);
    let cut = refusal(&text[..text.len() / 2]);
    assert!(
        cut.starts_with("tags.json:2:") && cut.contains("not JSON"),
        "{cut}"
    );
    let tag = r#"{"name":"STORAGE","id":"S","properties":{"changeNumber":1,"region":"","addressPrefixes":[]}}"#;
    let doubled = refusal(&text.replace("}]}", &format!("}},{tag}]}}")));
    assert!(
        doubled.contains("values[1].name = \"STORAGE\": another tag has the same name"),
        "{doubled}"
    );
}

#[test]
fn overlaps_of_two_services_are_found_and_no_others() {
    let tag = |name: &str, prefixes: &str| {
        format!(
            r#"{{"name":"{name}","id":"{name}","properties":{{"changeNumber":1,"region":"","addressPrefixes":[{prefixes}]}}}}"#
        )
    };
    let tags = [
        tag("Storage", r#""20.0.0.0/16","20.0.1.0/24","30.0.0.0/24""#),
        tag("Sql", r#""20.0.2.0/24","40.0.0.0/24","20.0.1.128/25""#),
        tag("EventHub", r#""40.0.0.0/24","20.1.0.0/16""#),
    ];
    let text = format!(
        r#"{{"changeNumber":1,"cloud":"P","values":[{}]}}"#,
        tags.join(",")
    );
    let catalog = Catalog::from_bytes("tags.json", text.as_bytes()).unwrap();
    let found: Vec<String> = catalog.overlaps().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "20.0.1.128/25 of Microsoft.Sql lies in 20.0.0.0/16 of Microsoft.Storage",
            "20.0.1.128/25 of Microsoft.Sql lies in 20.0.1.0/24 of Microsoft.Storage",
            "20.0.2.0/24 of Microsoft.Sql lies in 20.0.0.0/16 of Microsoft.Storage",
            "40.0.0.0/24 of Microsoft.Sql lies in 40.0.0.0/24 of Microsoft.EventHub",
        ]
    );
    let lacking = catalog.lacking(service("Microsoft.KeyVault"), &Locations::All);
    assert_eq!(lacking.as_deref(), Some("AzureKeyVault"));
}

/// Two regions of one service, in the first and in a later edition.
#[test]
fn a_file_with_regional_tags_only_supplies_its_regions() {
    let file = |first: &str| {
        let text = format!(
            r#"{{"changeNumber":1,"cloud":"P","values":[
            {{"name":"Storage.KoreaCentral","id":"1","properties":{{"changeNumber":1,
              "region":"koreacentral","addressPrefixes":[{first}]}}}},
            {{"name":"Storage.KoreaSouth","id":"2","properties":{{"changeNumber":1,
              "region":"koreasouth","addressPrefixes":["52.239.1.0/24"]}}}}]}}"#
        );
        Catalog::from_bytes("tags.json", text.as_bytes()).unwrap()
    };
    let (storage, at) = (service("Microsoft.Storage"), Location::new("koreacentral"));
    let prefixes = |catalog: &Catalog| catalog.prefixes(storage, &storage.locations(&at));
    let old = file(r#""52.239.0.0/24""#);
    assert_eq!(prefixes(&old), nets(&["52.239.0.0/24", "52.239.1.0/24"]));
    let new = file(r#""52.239.0.0/24","52.239.9.0/28""#);
    let wanted = nets(&["52.239.0.0/24", "52.239.1.0/24", "52.239.9.0/28"]);
    assert_eq!(prefixes(&new), wanted);
    assert!(
        new.lacking(storage, &Locations::All).is_some(),
        "there is no global tag"
    );
}
