"""What is measured: one column of the table for each load and path."""

import dataclasses

# What a ratio of each unit is of, and what a processor second is set against: (unit, so many of them).
GIGABIT, MILLION = ("Gbit", 1e9), ("million", 1e6)


@dataclasses.dataclass(frozen=True)
class Column:
    key: str
    title: str
    # tcp, udp, train, ask or connect; see load.py.
    kind: str
    unit: str
    path: str = "internet"
    # Streams, flows, or connections at once.
    count: int = 1
    reverse: bool = False
    # The processors of client and server; without them, the scheduler places both.
    cpus: tuple = ()
    # Whether the issue sets a target for it: these are what `--quick` takes of every peer.
    is_main: bool = False
    # The congestion control of TCP, if not that of all columns.
    congestion: str = ""
    # The peers that it is for, if not for all that have its path, and the most rounds.
    only: tuple = ()
    most_rounds: int = 99

    @property
    def counted(self):
        return GIGABIT if self.unit == "bit/s" else MILLION


INTERNET = (
    Column("tcp1", "TCP, 1 stream", "tcp", "bit/s", is_main=True),
    Column("tcp1_back", "TCP, 1 stream, back", "tcp", "bit/s", reverse=True),
    Column("tcp4", "TCP, 4 streams", "tcp", "bit/s", count=4, is_main=True),
    Column("tcp4_back", "TCP, 4 streams, back", "tcp", "bit/s", count=4, reverse=True),
    Column("udp64_1", "UDP 64 B, 1 flow", "udp", "packets/s", is_main=True),
    Column("udp64_8", "UDP 64 B, 8 flows mixed", "udp", "packets/s", count=8, is_main=True),
    Column("uso", "UDP 1400 B by USO", "train", "bit/s"),
    Column("crr64", "connect-request-close, 64 at once", "connect", "1/s", count=64, is_main=True),
    Column("rr1", "request/response, 1, one CPU", "ask", "1/s", cpus=(0, 0), is_main=True),
    Column("rr1_two", "request/response, 1, two CPUs", "ask", "1/s", cpus=(0, 1)),
    Column("rr64", "request/response, 64 at once", "ask", "1/s", count=64, is_main=True),
)

# BBR paces by timers: on a path without loss it measures the clock of the sender more than the path. It
# is here because some machines have it for their default.
BBR = tuple(
    dataclasses.replace(
        column, key=f"{column.key}_bbr", title=f"{column.title}, BBR", congestion="bbr", is_main=False,
        only=("postern", "kernel"), most_rounds=3,
    )
    for column in INTERNET
    if column.key in ("tcp1", "tcp4")
)

# The paths that stay inside: the NIC beside it, and a service by its endpoint.
INSIDE = tuple(
    dataclasses.replace(
        column, key=f"{path}_{column.key}", title=f"{title}: {column.title}", path=path, is_main=False
    )
    for path, title in (("nic", "NIC to NIC"), ("native", "service, native"), ("st6", "service, st6"))
    for column in INTERNET
    if column.key in ("tcp1", "crr64")
)

# Packets of live flows in random order, by policy size; see profiles.py.
LIVE = Column("live", "live flows in random order", "live", "packets/s", path="live", is_main=True)

ALL = (*INTERNET, *BBR, *INSIDE, LIVE)
