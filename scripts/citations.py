#!/usr/bin/env python3
"""Checks that what comments and pages cite is there: every "section N" in docs/reference, and every
file of this repository that a page names.

Prints each citation that leads nowhere, and exits with 1 if there is one.
"""

import re
import subprocess
import sys
from pathlib import Path

REFERENCE = Path("docs/reference")
# A page is named in front of its section, or right behind "reference"; else it is the first.
PAGES = ["azure-semantics", "wire-identity", "arm-clients", "speed"]
# Documents of others, which cannot be looked into.
OTHERS = re.compile(r"\b(RFC \d+|virtio [\d.]+)\W*$")
NUMBER = r"\d+(?:\.\d+)?"
CITATION = re.compile(rf"\b[Ss]ections? ({NUMBER}(?:(?:, | and | to ){NUMBER})*)")
# A file or folder, as pages name it.
NAMED = re.compile(r"`((?:control|dataplane|tests|scripts|config|docs)/[\w./-]+)`")
# How far in front of a citation its page is named.
NEAR = 40


def sections(page: Path) -> set[str]:
    """The numbers of a page's sections, and of the items of numbered lists in them."""
    found, current = set(), None
    for line in page.read_text().splitlines():
        if heading := re.match(rf"##+ ({NUMBER})\.? ", line):
            current = heading[1]
            found.add(current)
        elif current and (item := re.match(r"(\d+)\. ", line)):
            found.add(f"{current}.{item[1]}")
    return found


def prose(path: Path) -> str:
    """The text of a page, or of a program's comments, in one line."""
    text = path.read_text()
    if path.suffix == ".rs":
        lines = [match[1] for match in re.finditer(r"//[/!]?(.*)", text)]
    elif path.suffix in {".py", ".sh"}:
        lines = [match[1] for match in re.finditer(r"#(.*)", text)]
    else:
        lines = text.splitlines()
    return re.sub(r"\s+", " ", " ".join(lines))


def page_of(before: str) -> str | None:
    """The page that a citation behind this text is of; none for a document of others."""
    if OTHERS.search(before):
        return None
    named = [(before.rfind(page), page) for page in PAGES]
    at, page = max(named)
    return page if at >= 0 else PAGES[0]


def main() -> int:
    known = {page: sections(REFERENCE / f"{page}.md") for page in PAGES}
    listed = subprocess.run(["git", "ls-files", "*.rs", "*.md", "*.py", "*.sh"], capture_output=True, text=True, check=True)
    wrong = count = 0
    for path in map(Path, listed.stdout.splitlines()):
        # A page may speak of its own sections; the changelog and this program speak of no page.
        if path.parent == REFERENCE or path.name in {"CHANGELOG.md", "citations.py"}:
            continue
        text = prose(path)
        if path.suffix == ".md":
            for name in NAMED.findall(text):
                count += 1
                if not Path(name).exists() and not Path(f"{name}.rs").exists():
                    wrong += 1
                    print(f"{path}: there is no {name}", file=sys.stderr)
        for citation in CITATION.finditer(text):
            page = page_of(text[max(0, citation.start() - NEAR) : citation.start()])
            if page is None:
                continue
            for number in re.findall(NUMBER, citation[1]):
                count += 1
                if number not in known[page]:
                    wrong += 1
                    print(f"{path}: {page}.md has no section {number}", file=sys.stderr)
    print(f"{count} citations, {wrong} lead nowhere")
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    sys.exit(main())
