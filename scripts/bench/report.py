"""The tables, as Markdown."""

from samples import median, ratio, reason, short, values

# Rows of the issue: measure, (peer, column) above, (peer, column) below, target, moonshot.
TARGETS = (
    ("TCP, 1 stream / kernel", ("postern", "tcp1"), ("kernel", "tcp1"), 0.95, 1.2),
    ("TCP, 4 streams / kernel", ("postern", "tcp4"), ("kernel", "tcp4"), 0.5, 0.75),
    ("UDP 64 B, one flow / kernel", ("postern", "udp64_1"), ("kernel", "udp64_1"), 2.3, 2.5),
    ("UDP 64 B, 8 flows mixed / kernel", ("postern", "udp64_8"), ("kernel", "udp64_8"), 1.3, 1.7),
    ("connect-request-close, 64 at once / kernel", ("postern", "crr64"), ("kernel", "crr64"), 1.25, 1.35),
    ("request/response, 1, one CPU / kernel", ("postern", "rr1"), ("kernel", "rr1"), 0.5, 0.7),
    ("request/response, 64 at once / kernel", ("postern", "rr64"), ("kernel", "rr64"), 0.9, 1.0),
    ("st6 / SNAT, TCP, 1 stream", ("postern", "st6_tcp1"), ("postern", "tcp1"), 1.0, 1.05),
    ("st6 / SNAT, connect-request-close", ("postern", "st6_crr64"), ("postern", "crr64"), 1.0, 1.05),
    ("TCP, 1 stream / plain TUN", ("postern", "tcp1"), ("plain", "tcp1"), 7, 9),
    *(
        (f"{title} / {name}", ("postern", column), (peer, column), 1, None)
        for peer, name in (("ovs", "Open vSwitch"), ("slirp4netns", "slirp4netns"), ("pasta", "pasta"))
        for column, title in (("tcp1", "TCP, 1 stream"), ("udp64_1", "UDP 64 B, 1 flow"))
    ),
    ("big / small, packets on live flows", ("big", "live"), ("small", "live"), 0.8, 0.9),
)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def number(value):
    return "-" if value is None else f"{value:.2f}"


def spread(by_round, unit=""):
    if not by_round:
        return "-"
    least, most = short(min(by_round.values())), short(max(by_round.values()))
    return f"{short(median(by_round), unit)} ({least} to {most})"


def escape(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def rates(samples, columns, peers):
    """Every cell: the median, the least and the greatest."""
    head = ["", *(peer.title for peer in peers)]
    rows = [
        [f"{column.title}, {column.unit}", *(spread(values(samples, p.key, column.key)) for p in peers)]
        for column in columns
    ]
    return table(head, rows)


def ratios(samples, columns, peers, field="rate"):
    """Medians over the kernel's, with the least and the greatest of single rounds."""
    others = [peer for peer in peers if peer.key != "kernel"]
    rows = []
    for column in columns:
        below = values(samples, "kernel", column.key, field)
        if below:
            found = [ratio(values(samples, peer.key, column.key, field), below) for peer in others]
            cells = [f"{number(f[0])} ({number(f[1])} to {number(f[2])})" if f else "-" for f in found]
            rows.append([column.title, *cells])
    return table(["", *(peer.title for peer in others)], rows)


def latencies(samples, columns, peers):
    rows = []
    for column in columns:
        if column.kind in ("ask", "connect"):
            cells = [
                " / ".join(short(median(values(samples, peer.key, column.key, f))) for f in ("p50_us", "p99_us"))
                for peer in peers
            ]
            rows.append([f"{column.title}, us", *cells])
    return table(["p50 / p99", *(peer.title for peer in peers)], rows)


def processors(samples, columns, peers):
    rows = []
    for column in columns:
        name, _ = column.counted
        field = f"cpu_s_per_{name.lower()}"
        cells = []
        for peer in peers:
            cost = median(values(samples, peer.key, column.key, field))
            busy = median(values(samples, peer.key, column.key, "busy_cpus"))
            cells.append("-" if cost is None else f"{short(cost)} ({number(busy)})")
        thing = "Gbit" if name == "Gbit" else "million packets" if column.unit == "packets/s" else "million"
        rows.append([f"{column.title}, s per {thing}", *cells])
    return table(["CPU seconds (CPUs busy)", *(peer.title for peer in peers)], rows)


def targets(samples):
    rows = []
    for name, above, below, target, moonshot in TARGETS:
        found = ratio(values(samples, *above), values(samples, *below))
        if found is None:
            said = reason(samples, *above) or reason(samples, *below) or "not part of this run"
            rows.append([name, "-", "-", str(target), str(moonshot or "-"), f"not measured: {escape(said)}"])
            continue
        per_cpu = ratio(
            values(samples, *above, "rate_per_busy_cpu"), values(samples, *below, "rate_per_busy_cpu")
        )
        verdict = "moonshot" if moonshot and found[0] >= moonshot else "reached" if found[0] >= target else "missed"
        span = f"{number(found[1])} to {number(found[2])}"
        cells = [f"{number(found[0])} ({span})", number(per_cpu and per_cpu[0])]
        rows.append([name, *cells, str(target), str(moonshot or "-"), verdict])
    return table(["ratio", "measured (rounds)", "per busy CPU", "target", "moonshot", ""], rows)


def missing(samples, columns, peers):
    """What was not measured, and why. Failed rounds of a cell that has others count too."""
    lines = []
    for peer in peers:
        said = {}
        for s in samples:
            if s["peer"] == peer.key and "error" in s:
                said.setdefault(s["error"], []).append(f"{s['column']} (round {s['round']})")
        lines += [f"- {peer.title}: {', '.join(where)}: {escape(why)}" for why, where in said.items()]
    return "\n".join(lines or ["Everything that was planned was measured."]) + "\n"


def markdown(samples, columns, peers, profiles, facts):
    """The whole report."""
    live = [c for c in columns if c.kind == "live"]
    columns = [c for c in columns if c.kind != "live"]
    warning = "**Too short to quote: this run only shows that everything works.**\n\n" if facts["quick"] else ""
    parts = [f"# Benchmark\n\n{warning}" + "".join(f"- {key}: {escape(value)}\n" for key, value in facts.items())]
    parts.append("## Targets\n\n" + targets(samples))
    if columns and peers:
        parts.append("## Ratios to the kernel\n\n" + ratios(samples, columns, peers))
        parts.append("## Ratios to the kernel, per busy CPU\n\n" + ratios(samples, columns, peers, "rate_per_busy_cpu"))
        parts.append("## Rates as received: median (least to greatest)\n\n" + rates(samples, columns, peers))
        parts.append("## Times of requests and connections\n\n" + latencies(samples, columns, peers))
        parts.append("## Processor time of the whole machine\n\n" + processors(samples, columns, peers))
    if live and profiles:
        parts.append("## Live flows, by size of the policy\n\n" + rates(samples, live, profiles))
        parts.append(flows(samples, profiles))
    parts.append("## Not measured\n\n" + missing(samples, columns + live, [*peers, *profiles]))
    return "\n".join(parts)


def flows(samples, profiles):
    rows = []
    for peer in profiles:
        fields = ("flows_live", "opening_s", "start_s", "sent", "received", "process_us_per_packet")
        cells = [values(samples, peer.key, "live", f) for f in fields]
        rows.append([peer.title, *(short(median(c)) for c in cells)])
    head = ["profile", "flows live", "opened in, s", "policy in force after, s", "packets sent", "received"]
    return table([*head, "Postern's own time, us a packet"], rows)
