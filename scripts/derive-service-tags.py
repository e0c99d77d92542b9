#!/usr/bin/env python3
"""Derives the small bundled service-tag file from one of Microsoft's weekly files.

usage: derive-service-tags.py [--services S,..] [--regions R,..] ServiceTags_Public_YYYYMMDD.json[.gz] TARGET

Keeps the tags that a virtual network endpoint can use (feature VSE), those of Cognitive Services,
which lack the mark, and the children of both that name a region. Drops IPv6 prefixes: endpoints
carry IPv4 only. The shape stays Microsoft's, with one compact line per tag, so that the diff of an
update is readable. The same input always gives the same bytes.

--services keeps only these tags, such as Storage,Sql; --regions only the children of these regions, as
the file spells them (the tags without a region stay).
"""

import argparse
import gzip
import json

# The service is an endpoint service, but its tags do not carry the VSE mark.
UNMARKED = {"CognitiveServicesFrontend", "CognitiveServicesManagement"}


def is_ipv4(prefix):
    return ":" not in prefix


def derive(source, services=None, regions=None):
    """Returns the document that `source` becomes."""
    kept = {
        tag["name"]
        for tag in source["values"]
        if "VSE" in (tag["properties"].get("networkFeatures") or [])
    } | UNMARKED

    def wanted(tag):
        base, _, child = tag["name"].partition(".")
        region = tag["properties"]["region"]
        if base not in kept or (services and base not in services):
            return False
        return not child or (region and (not regions or region in regions))

    values = []
    for tag in filter(wanted, source["values"]):
        properties = dict(tag["properties"])
        properties["addressPrefixes"] = list(filter(is_ipv4, properties["addressPrefixes"]))
        values.append({**tag, "properties": properties})
    return {**source, "values": values}


def render(document):
    """Returns the text of `document`, one line per tag."""

    def compact(value):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    head = [f"{compact(key)}:{compact(value)}" for key, value in document.items() if key != "values"]
    tags = ",\n".join(compact(tag) for tag in document["values"])
    return "{" + ",".join(head) + ',"values":[\n' + tags + "\n]}\n"


def names(text):
    return set(text.split(","))


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].removeprefix("usage: "))
    parser.add_argument("--services", type=names)
    parser.add_argument("--regions", type=names)
    parser.add_argument("source")
    parser.add_argument("target")
    args = parser.parse_args()
    opened = gzip.open if args.source.endswith(".gz") else open
    # Microsoft's files may begin with a byte order mark.
    with opened(args.source, "rt", encoding="utf-8-sig") as file:
        document = derive(json.load(file), args.services, args.regions)
    with open(args.target, "w", encoding="utf-8", newline="\n") as file:
        file.write(render(document))


if __name__ == "__main__":
    main()
