#!/usr/bin/env python3
"""Measures the control plane with many networks, over the control socket.

    cargo build --release -p postern-daemon
    sudo scripts/bench-arm.py target/release/postern

A daemon of its own in a temporary directory, without any NIC: a template of 2,000 resources is deployed
(500 virtual networks of 10 subnets, 700 security groups, 200 route tables, 600 application security
groups), then 500 more networks; subnets are put and networks read, one request after the other; the
daemon is killed and started again on what it has stored. Memory is the process's resident set.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/bench"
NETWORK = f"{GROUP}/providers/Microsoft.Network"
DEPLOYMENTS = f"{GROUP}/providers/Microsoft.Resources/deployments"
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"


class Daemon:
    def __init__(self, postern, home):
        self.path = str(home / "postern.sock")
        arguments = ["--socket", self.path, "--log", "warn", "run", "-c", str(home / "host.toml")]
        begin = time.monotonic()
        self.process = subprocess.Popen([postern, *arguments, "--state-dir", str(home / "state")])
        while True:
            try:
                connection = socket.socket(socket.AF_UNIX)
                connection.connect(self.path)
                self.stream = connection.makefile("rwb")
                # Answered once the policy is in force.
                self.ask({"verb": "endpointList"})
                break
            except OSError:
                if self.process.poll() is not None:
                    sys.exit("postern did not start")
                time.sleep(0.002)
        self.started = time.monotonic() - begin

    def ask(self, request):
        self.stream.write(json.dumps(request).encode() + b"\n")
        self.stream.flush()
        line = self.stream.readline()
        if not line:
            raise OSError("the daemon is gone")
        return json.loads(line)

    def arm(self, method, path, body=None):
        request = {
            "verb": "arm",
            "method": method,
            "target": f"{path}?api-version=2024-05-01",
            "body": "" if body is None else json.dumps(body),
        }
        answer = self.ask(request)["result"]
        if answer["status"] >= 300:
            sys.exit(f"{method} {path}: {str(answer)[:600]}")

    def deploy(self, name, resources):
        template = {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": resources}
        body = {"properties": {"mode": "Incremental", "template": template}}
        begin = time.monotonic()
        self.arm("PUT", f"{DEPLOYMENTS}/{name}", body)
        return time.monotonic() - begin

    def mebibytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) // 1024


def many(kind, prefix, count, properties):
    return {
        "type": f"Microsoft.Network/{kind}",
        "apiVersion": "2024-05-01",
        "name": f"[concat('{prefix}', copyIndex())]",
        "location": "koreacentral",
        "copy": {"name": kind, "count": count},
        "properties": properties,
    }


def networks(prefix):
    net = "concat('10.', mod(copyIndex('virtualNetworks'), 250), '."
    subnet = {
        "name": "[concat('s', copyIndex('subnets'))]",
        "properties": {"addressPrefix": f"[{net}', copyIndex('subnets'), '.0/24')]"},
    }
    properties = {
        "addressSpace": {"addressPrefixes": [f"[{net}0.0/16')]"]},
        "copy": [{"name": "subnets", "count": 10, "input": subnet}],
    }
    return many("virtualNetworks", prefix, 500, properties)


def rate(seconds, act):
    times = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        act(len(times))
        times.append(time.monotonic() - begin)
    ordered = sorted(times)
    p50, p99 = (ordered[len(ordered) * at // 100] * 1e3 for at in (50, 99))
    return f"{len(times) / sum(times):.1f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def measure(postern, home):
    (home / "host.toml").write_text('[settings]\ncloseMode = "rst"\n')
    daemon = Daemon(postern, home)
    try:
        print(f"start, nothing stored: {daemon.started * 1e3:.0f} ms, {daemon.mebibytes()} MiB")
        daemon.arm("PUT", GROUP, {"location": "koreacentral"})
        others = [("networkSecurityGroups", "n", 700), ("routeTables", "r", 200)]
        others.append(("applicationSecurityGroups", "a", 600))
        resources = [many(kind, prefix, count, {}) for kind, prefix, count in others]
        took = daemon.deploy("first", [*resources, networks("v")])
        print(f"deploy 2,000 resources: {took:.2f} s, {daemon.mebibytes()} MiB")
        took = daemon.deploy("second", [networks("w")])
        print(f"deploy 500 networks more: {took:.2f} s, {daemon.mebibytes()} MiB")

        def put(at):
            prefix = f"10.{at % 500 % 250}.{100 + at // 500}.0/24"
            path = f"{NETWORK}/virtualNetworks/v{at % 500}/subnets/x{at // 500}"
            daemon.arm("PUT", path, {"properties": {"addressPrefix": prefix}})

        print("PUT subnet:", rate(15, put))
        read = lambda at: daemon.arm("GET", f"{NETWORK}/virtualNetworks/v{at % 500}")
        print("GET virtual network:", rate(5, read))
        daemon.process.kill()
        daemon.process.wait()
        size = os.path.getsize(home / "state" / "store.redb") >> 20
        daemon = Daemon(postern, home)
        memory = daemon.mebibytes()
        print(f"start after a kill, {size} MiB stored: {daemon.started * 1e3:.0f} ms, {memory} MiB")
    finally:
        daemon.process.terminate()
        daemon.process.wait()


if len(sys.argv) != 2:
    sys.exit(__doc__)
with tempfile.TemporaryDirectory() as directory:
    measure(os.path.abspath(sys.argv[1]), pathlib.Path(directory))
