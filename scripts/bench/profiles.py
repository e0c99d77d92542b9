"""Packets of live flows by the size of the policy."""

import json
import pathlib
import time

import large
from lab import MTU, Unavailable
from load import processor_seconds, sample
from peers import Postern

# Where the flows go: addresses of the Internet side from here on.
FIRST = "93.184.217.1"
# IPv4 and UDP header and the load's payload.
FRAME = 20 + 8 + 64


class Small(Postern):
    """The policy of the other columns, with few live flows."""

    key, title = "small", "small: 2 NICs, 10 rules"
    paths = ("live",)
    overhead = 2.0
    flows = 1_000
    # Seconds that flows are opened for, at most.
    opening = 60

    def namespaces(self):
        return ["vm", "vm2"]

    def start(self):
        begin = time.monotonic()
        super().start()
        self.start_s = time.monotonic() - begin
        # Counted as they arrive, and gone: a socket for each destination there is none.
        counter = "type filter hook prerouting priority raw\nudp dport >= 2000 counter drop"
        self.lab.run("inet", "nft", "-f", "-", text=f"table ip count {{ chain arrivals {{\n{counter}\n}}\n}}\n")

    def stop(self):
        try:
            self.lab.run("inet", "nft", "delete table ip count")
        except Unavailable:
            # It did not come that far.
            pass
        super().stop()

    def arrived(self):
        """Packets that the receiver has got; bytes tell of trains."""
        rules = json.loads(self.lab.run("inet", "nft", "-j", "list", "table", "ip", "count"))["nftables"]
        counter = next(e["counter"] for r in rules if "rule" in r for e in r["rule"]["expr"] if "counter" in e)
        return counter["bytes"] // FRAME

    def live(self):
        """Flows that live, as the daemon counts them."""
        return self.ask("stats")["flows"]["count"]

    def process_seconds(self):
        """Seconds that Postern's threads have worked: what the sender costs is not in it."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def measure(self, column, seconds):
        paths = ",".join(self.lab.path(name) for name in self.namespaces())
        command = [self.options.load, "udp-spread", f"to={FIRST}", f"flows={self.flows}", f"namespaces={paths}"]
        spread = self.lab.start(command, "listening")

        def tell(words):
            spread.stdin.write(f"{words}\n".encode())
            spread.stdin.flush()
            return json.loads(spread.stdout.readline())

        try:
            begin, live = time.monotonic(), 0
            while live < self.flows and time.monotonic() - begin < self.opening:
                tell("open")
                live = self.live()
            opening = time.monotonic() - begin
            before, start, arrived = processor_seconds(), time.monotonic(), self.arrived()
            own = self.process_seconds()
            touched = tell(f"touch {seconds}")
            elapsed, busy = time.monotonic() - start, processor_seconds() - before
            received = self.arrived() - arrived
            own = self.process_seconds() - own
            rate = received / touched["seconds"]
        finally:
            self.lab.stop(spread)
        more = {"flows_wanted": self.flows, "flows_live": live, "opening_s": opening, "start_s": self.start_s}
        more |= {"sent": touched["sent"], "received": received}
        if received:
            more["process_us_per_packet"] = own / received * 1e6
        return sample(column, rate, elapsed, busy, more)


class Big(Small):
    """32 NICs in as many subnets, 320 groups of 1,000 rules, 160,000 routes, and very many live flows."""

    key, title = "big", "big: 32 NICs, 320 groups of 1,000 rules"
    overhead = 40.0
    flows = 1_000_000

    def namespaces(self):
        return [f"big{nic}" for nic in range(large.NICS)]

    def file(self):
        # Written once: the same for every round.
        if not hasattr(self, "text"):
            self.text = large.toml(self.lab)
        return self.text

    def patience(self):
        return 120

    def start(self):
        for name in self.namespaces():
            if name not in self.lab.made:
                self.lab.add(name)
        super().start()
