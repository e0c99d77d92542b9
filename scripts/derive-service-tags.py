#!/usr/bin/env python3
"""Derives the small bundled service-tag file from one of Microsoft's weekly files.

usage: derive-service-tags.py ServiceTags_Public_YYYYMMDD.json config/service-tags.json

Keeps the tags that a virtual network endpoint can use (feature VSE), those of Cognitive Services,
which lack the mark, and the children of both that name a region. Drops IPv6 prefixes: endpoints
carry IPv4 only. The shape stays Microsoft's, with one compact line per tag, so that the diff of an
update is readable. The same input always gives the same bytes.
"""

import json
import sys

# The service is an endpoint service, but its tags do not carry the VSE mark.
UNMARKED = {"CognitiveServicesFrontend", "CognitiveServicesManagement"}


def is_ipv4(prefix):
    return ":" not in prefix


def derive(source):
    """Returns the document that `source` becomes."""
    kept = {
        tag["name"]
        for tag in source["values"]
        if "VSE" in (tag["properties"].get("networkFeatures") or [])
    } | UNMARKED

    def wanted(tag):
        base, _, child = tag["name"].partition(".")
        return base in kept and (not child or tag["properties"]["region"])

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


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.split("\n\n")[1])
    _, source, target = sys.argv
    # Microsoft's files may begin with a byte order mark.
    with open(source, encoding="utf-8-sig") as file:
        document = derive(json.load(file))
    with open(target, "w", encoding="utf-8", newline="\n") as file:
        file.write(render(document))


if __name__ == "__main__":
    main()
