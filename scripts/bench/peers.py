"""What is compared: how each forwarder is put between the endpoints, and taken away again.

A peer has `key`, `title`, the `paths` that it offers, and `start` and `stop`. Open vSwitch and the
profiles have files of their own."""

import json
import time

import policy
from lab import MTU, Unavailable, run


class Peer:
    paths = ("internet",)
    # Seconds that starting, verifying and stopping take, for the plan alone.
    overhead = 1.0

    def __init__(self, lab, options):
        self.lab = lab
        self.options = options

    def source(self, path):
        """Whom the receiver has to see: a function of the address as text."""
        return lambda seen: seen == (policy.PUBLIC if path == "internet" else policy.NIC)

    def target(self, path):
        """The namespace and the address of the server."""
        return policy.TARGETS[path]

    def start(self):
        raise NotImplementedError

    def stop(self):
        self.lab.renew_router()


def wire(lab, name, address, gateway, routes=()):
    """A pair of devices from the router to an endpoint, with the offloads that veth has by default."""
    peer = lab.netns("router")
    lab.ip(
        name,
        f"link add veth0 mtu {MTU} type veth peer name {name} netns {peer} mtu {MTU}",
        f"address add {address} dev veth0",
        "link set veth0 up",
        *routes,
    )
    lab.ip("router", f"address add {gateway} dev {name}", f"link set {name} up")


def wire_internet(lab):
    """The public side of a router that owns the public address itself."""
    wire(lab, "inet", f"{policy.INTERNET}/24", f"{policy.PUBLIC}/32", [f"route add {policy.PUBLIC} dev veth0"])
    lab.ip("router", f"route add 93.184.216.0/24 dev inet src {policy.PUBLIC}")


class Kernel(Peer):
    """Forwarding with nftables over veth: what the ratios are to."""

    key, title = "kernel", "kernel, veth + nftables SNAT"
    paths = ("internet", "nic", "native")
    overhead = 0.7

    def start(self):
        lab = self.lab
        wire_internet(lab)
        for name, address, gateway in (
            ("vm", policy.NIC, "10.0.1.1"),
            ("vm2", policy.NIC2, "10.0.2.1"),
            ("svc", policy.SERVICE, "20.60.16.1"),
        ):
            wire(lab, name, f"{address}/24", f"{gateway}/24", [f"route add default via {gateway}"])
        lab.run("router", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        lab.run("router", "nft", "-f", "-", text=policy.nft())


class Postern(Peer):
    """Postern with the policy `small`, everything at its default."""

    key, title = "postern", "Postern"
    paths = ("internet", "nic", "native", "st6")
    offload = "on"

    def source(self, path):
        if path == "st6":
            # The identity of the subnet, and the private address in the last two groups.
            return lambda seen: seen.startswith("fd40:") and seen.endswith(":a00:104")
        return super().source(path)

    def file(self):
        return policy.toml(self.lab, self.offload)

    def start(self):
        self.home = self.lab.dir / f"{self.key}-{time.monotonic_ns()}"
        self.home.mkdir()
        config = self.home / "bench.toml"
        config.write_text(self.file())
        command = [self.options.postern, "--socket", self.home / "postern.sock"]
        command += ["run", "-c", config, "--state-dir", self.home / "state"]
        if self.options.workers:
            command += ["--workers", self.options.workers]
        self.process = None
        self.process = self.lab.start(command, "ready", self.home / "log", timeout=self.patience())

    def patience(self):
        return 15

    def ask(self, *verb):
        """What the running daemon says, as JSON."""
        command = [self.options.postern, "--socket", self.home / "postern.sock", *verb, "-o", "json"]
        return json.loads(run(*command, timeout=30))

    def stop(self):
        if self.process:
            self.lab.stop(self.process)
            self.process = None


class Plain(Postern):
    """A plain TUN forwarder: Postern with every offload off, so that each packet crosses alone."""

    key, title = "plain", "plain TUN, no offload"
    offload = "off"
    paths = ("internet",)


class Loopback(Peer):
    """The endpoints alone, without any forwarder: a ceiling."""

    key, title = "loopback", "loopback, endpoints alone"
    paths = ("internet",)
    overhead = 0.5

    def target(self, path):
        return "vm", "127.0.0.1"

    def source(self, path):
        return lambda seen: seen == "127.0.0.1"

    def start(self):
        self.lab.ip("vm", f"link set lo mtu {MTU}")

    def stop(self):
        self.lab.ip("vm", "link set lo mtu 65536")


class Slirp(Peer):
    """slirp4netns: a TCP/IP stack in a process, whose sockets are in the router."""

    key, title = "slirp4netns", "slirp4netns"

    def start(self):
        self.process = None
        wire_internet(self.lab)
        log = self.lab.dir / "slirp.log"
        command = self.lab.inside(
            "router", "slirp4netns", "--netns-type=path", "--configure", f"--mtu={MTU}",
            "--disable-host-loopback", "--disable-dns", self.lab.path("vm"), "veth0",
        )
        self.process = self.lab.start(command, "received tapfd", log)
        wait_route(self.lab)

    def stop(self):
        if self.process:
            self.lab.stop(self.process)
            self.process = None
        super().stop()


class Pasta(Slirp):
    """pasta (of passt): no stack of its own, TCP and UDP to sockets of the router."""

    key, title = "pasta", "pasta"

    def start(self):
        self.process = None
        wire_internet(self.lab)
        # It takes the router's way out as its model.
        self.lab.ip("router", f"route add default via {policy.INTERNET} dev inet src {policy.PUBLIC}")
        command = self.lab.inside(
            "router", "pasta", "--runas", "0", "--netns-only", "--config-net", "-4", "-f",
            "-a", "10.0.2.100", "-n", "24", "-g", "10.0.2.2", "-I", "veth0", "-m", MTU,
            "-t", "none", "-u", "none", "-T", "none", "-U", "none",
            "--netns", self.lab.path("vm"),
        )
        self.process = self.lab.start(command, "Namespace interface", self.lab.dir / "pasta.log")
        wait_route(self.lab)


def wait_route(lab):
    """Until the endpoint has its way out."""
    limit = time.monotonic() + 5
    while "default" not in lab.run("vm", "ip", "-4", "route"):
        if time.monotonic() > limit:
            raise Unavailable("the workload gets no route")
        time.sleep(0.02)
