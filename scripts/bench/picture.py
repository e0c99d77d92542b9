"""The picture: a group of bars for each column, one bar for each peer, as long as its ratio to the kernel."""

from xml.sax.saxutils import escape as escape_text

from samples import ratio, values

COLOURS = {
    "postern": "#0b6fb8",
    "loopback": "#9aa3ab",
    "plain": "#7fb8de",
    "ovs": "#d98a29",
    "slirp4netns": "#a35fb0",
    "pasta": "#4e9a58",
}
LEFT, RIGHT, BAR, GAP, TOP = 320, 60, 11, 12, 84
# A longer bar is cut, and its number says how long it would be.
LONGEST, SCALE = 3.0, 180


def escape(text):
    """Text for an element or a quoted attribute."""
    return escape_text(str(text), {'"': "&quot;", "'": "&apos;"})


def text(x, y, content, size=12, anchor="start", colour="#222"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{colour}">{escape(content)}</text>'
    )


def rectangle(x, y, width, height, colour):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def svg(samples, columns, peers, note):
    """The picture as the text of an SVG file."""
    others = [peer for peer in peers if peer.key != "kernel"]
    parts, y = [], TOP
    for column in columns:
        below = values(samples, "kernel", column.key)
        bars = [(p, ratio(values(samples, p.key, column.key), below)) for p in others]
        bars = [(peer, found) for peer, found in bars if found]
        if not bars:
            continue
        parts.append(text(LEFT - 10, y + len(bars) * BAR / 2 + 4, column.title, anchor="end"))
        for peer, (middle, least, most) in bars:
            length = min(middle, LONGEST) * SCALE
            parts.append(rectangle(LEFT, y, length, BAR - 2, COLOURS.get(peer.key, "#555")))
            if least is not None:
                ends = [LEFT + min(value, LONGEST) * SCALE for value in (least, most)]
                parts.append(
                    f'<path d="M{ends[0]:.1f} {y + 4.5}H{ends[1]:.1f}" stroke="#222" stroke-width="1"/>'
                )
            at = max(length, min(most or 0, LONGEST) * SCALE) + LEFT + 5
            parts.append(text(at, y + BAR - 3, f"{middle:.2f}", size=10))
            y += BAR
        y += GAP
    width, height = LEFT + LONGEST * SCALE + RIGHT, y + 30
    head = [text(10, 24, "Rate over the kernel's (veth + nftables SNAT); line: single rounds", 15)]
    head.append(text(10, 42, note, 11, colour="#666"))
    x = 10
    for peer in others:
        head.append(rectangle(x, 54, 10, 10, COLOURS.get(peer.key, "#555")))
        head.append(text(x + 14, 63, peer.title, 11))
        x += 30 + 6.2 * len(peer.title)
    width = max(width, x)
    for at in (0.5, 1, 1.5, 2, 2.5, 3):
        place = LEFT + at * SCALE
        colour = "#222" if at == 1 else "#ddd"
        head.append(f'<path d="M{place} {TOP - 6}V{y}" stroke="{colour}" stroke-width="1"/>')
        head.append(text(place, y + 14, at, 10, "middle", "#666"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(head + parts) + "\n</svg>\n"
    )
