"""One measurement: verifies the translation at the receiver, then loads the path and reads the clock."""

import json
import os
import time

from lab import Unavailable, run

PORT = 5100
# A port of a shared source that has served a destination rests before it does so again: connections
# go to many ports.
SERVER_PORTS = 64
DATAGRAM, TRAIN, SEGMENT = 64, 45 * 1400, 1400


def processor_seconds():
    """Seconds that all CPUs of the machine have worked: everything but idle, waiting and stolen."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, hard, soft = map(int, stat.readline().split()[1:8])
    return (user + nice + system + hard + soft) / os.sysconf("SC_CLK_TCK")


class Load:
    """Loads the path of a peer."""

    def __init__(self, lab, peer, program):
        self.lab = lab
        self.peer = peer
        self.program = program

    def at(self, path, port):
        namespace, address = self.peer.target(path)
        listen = f"[::]:{port}" if path == "st6" else f"{address}:{port}"
        return namespace, listen, f"{address}:{port}"

    def verify(self, path):
        """Raises unless the receiver sees the source that it has to see."""
        namespace, listen, to = self.at(path, PORT)
        # A service by its endpoint is for TCP alone.
        udp = "udp=true" if path in ("internet", "nic") else "udp=false"
        witness = self.server(namespace, "witness", f"at={listen}", udp)
        try:
            self.lab.run("vm", self.program, "knock", f"to={to}", udp, timeout=20)
        except Unavailable as error:
            self.lab.stop(witness)
            raise Unavailable(f"nothing arrives: {error}") from None
        seen = json.loads(self.lab.finish(witness, timeout=10))
        for protocol, source in seen.items():
            if source is not None and not self.peer.source(path)(source):
                raise Unavailable(f"the receiver sees {source} by {protocol}, which is not the translation")
        return seen

    def measure(self, column, seconds):
        """Returns a sample: the rate as received, and the processor time of the whole machine."""
        seen = self.verify(column.path)
        before, start = processor_seconds(), time.monotonic()
        rate, more = getattr(self, column.kind)(column, seconds)
        elapsed, busy = time.monotonic() - start, processor_seconds() - before
        return sample(column, rate, elapsed, busy, {**more, "seen": seen})

    def server(self, namespace, *words):
        return self.lab.start(self.lab.inside(namespace, self.program, *words), "listening")

    def client(self, seconds, *words):
        output = self.lab.run("vm", self.program, *words, f"seconds={seconds}", timeout=seconds + 20)
        return json.loads(output)

    def tcp(self, column, seconds):
        namespace, listen, to = self.at(column.path, PORT + 1)
        bind = ["-B", listen.rsplit(":", 1)[0]] if column.path != "st6" else ["-6"]
        command = ["iperf3", "-s", "-1", "-p", PORT + 1, "--forceflush", *bind]
        server = self.lab.start(self.lab.inside(namespace, *command), None)
        while b"Server listening" not in (line := server.stdout.readline()):
            if not line:
                raise Unavailable("iperf3 does not listen")
        command = ["iperf3", "-J", "-c", to.rsplit(":", 1)[0], "-p", PORT + 1, "-t", seconds]
        command += ["-P", column.count, *(["-R"] if column.reverse else [])]
        command += ["-C", column.congestion or self.lab.congestion]
        try:
            said = run(*self.lab.inside("vm", *command), timeout=seconds + 20)
        finally:
            self.lab.stop(server)
        end = json.loads(said)["end"]
        more = {"retransmits": end["sum_sent"].get("retransmits"), "congestion": end.get("sender_tcp_congestion")}
        return end["sum_received"]["bits_per_second"], more

    def udp(self, column, seconds):
        return self.datagrams(column, seconds, f"bytes={DATAGRAM}", "trains=false", "segment=0")

    def train(self, column, seconds):
        return self.datagrams(column, seconds, f"bytes={TRAIN}", "trains=true", f"segment={SEGMENT}")

    def datagrams(self, column, seconds, size, trains, segment):
        namespace, listen, to = self.at(column.path, PORT + 2)
        flows = f"flows={column.count}"
        receiver = self.server(namespace, "udp-receive", f"at={listen}", flows, trains)
        try:
            sent = self.client(seconds, "udp-send", f"to={to}", flows, size, segment)
        except Unavailable:
            self.lab.stop(receiver)
            raise
        received = json.loads(self.lab.finish(receiver))
        if not received["packets"]:
            raise Unavailable("no datagram arrives")
        if not self.peer.source(column.path)(received["source"]):
            raise Unavailable(f"datagrams arrive from {received['source']}, which is not the translation")
        # What the queues still held when the sender stopped took its time too.
        spent = max(sent["seconds"], received["seconds"] or 0)
        count = received["bytes"] * 8 if column.kind == "train" else received["packets"]
        more = {"sent": sent["sent"], "received": received["packets"], "bytes": received["bytes"]}
        if column.kind == "udp":
            more["late"] = received["late"]
        return count / spent, more

    def requests(self, column, seconds, role, *words):
        namespace, listen, to = self.at(column.path, PORT + 20)
        cpus = [f"cpu={cpu % os.cpu_count()}" for cpu in column.cpus]
        congestion = f"congestion={self.lab.congestion}"
        server = self.server(namespace, "serve", f"at={listen}", f"ports={SERVER_PORTS}", congestion, *cpus[1:])
        try:
            words = (*words, f"to={to}", f"connections={column.count}", congestion, *cpus[:1])
            asked = self.client(seconds, role, *words)
        except Unavailable:
            self.lab.stop(server)
            raise
        served = json.loads(self.lab.finish(server))
        for source in served["sources"]:
            if not self.peer.source(column.path)(source):
                raise Unavailable(f"the server sees {source}, which is not the translation")
        if not asked["done"]:
            raise Unavailable("no request is answered")
        more = {key: asked[key] for key in ("p50_us", "p99_us", "failed")}
        return asked["done"] / asked["seconds"], more

    def ask(self, column, seconds):
        return self.requests(column, seconds, "ask")

    def connect(self, column, seconds):
        return self.requests(column, seconds, "connect", f"ports={SERVER_PORTS}")


def sample(column, rate, elapsed, busy, more):
    """What is kept of a measurement. `rate` is as received; a rate per busy CPU tells one that was won by
    working on a CPU that was idle before from one that was won by less work."""
    name, many = column.counted
    cpus = busy / elapsed
    return {
        "rate": rate,
        "elapsed_s": elapsed,
        "busy_cpus": cpus,
        "rate_per_busy_cpu": rate / cpus if cpus else None,
        f"cpu_s_per_{name.lower()}": busy / (rate * elapsed / many) if rate else None,
        **more,
    }
