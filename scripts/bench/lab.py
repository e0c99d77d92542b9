"""Namespaces and processes of one run of the benchmark; all are gone when it ends, however it ends."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

# Endpoints and the box between them. One peer at a time connects them, so all are measured in the same.
NAMES = ("vm", "vm2", "inet", "svc", "svc6", "router")
MTU = 1500
# What TCP paces and backs off by, unless a column names another: the kernel's own default, whatever
# this machine has.
CONGESTION = "cubic"


class Unavailable(Exception):
    """Why a peer, or one measurement of it, could not be made."""


class Lab:
    """The namespaces, the processes in them, and a directory for files."""

    def __init__(self):
        self.prefix = f"postern-bench-{os.getpid()}"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.prefix}-"))
        self.processes = []
        self.made = []
        self.is_told = False
        self.congestion = CONGESTION
        available = pathlib.Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
        if CONGESTION not in available:
            self.congestion = available[0]
            print(f"NOT AVAILABLE: {CONGESTION}; TCP runs with {self.congestion}", flush=True)

    def open(self):
        for name in NAMES:
            self.add(name)

    def netns(self, name):
        return f"{self.prefix}-{name}"

    def path(self, name):
        return f"/run/netns/{self.netns(name)}"

    def add(self, name):
        self.made.append(name)
        run("ip", "netns", "add", self.netns(name))
        self.ip(name, "link set lo up")
        try:
            self.run(name, "sysctl", "-qw", f"net.ipv4.tcp_congestion_control={self.congestion}")
        except Unavailable:
            # A namespace may set what the machine allows to everybody, the load as root more: only the
            # sockets of the user-mode stacks keep the machine's.
            pass
        default = self.run(name, "sysctl", "-n", "net.ipv4.tcp_congestion_control").strip()
        if default != self.congestion and not self.is_told:
            self.is_told = True
            print(f"NOT AVAILABLE: {self.congestion} for sockets that do not ask: these have {default}", flush=True)

    def remove(self, name):
        """Ends what runs in a namespace and removes it with its devices."""
        self.made.remove(name)
        if not os.path.exists(self.path(name)):
            return
        pids = subprocess.run(["ip", "netns", "pids", self.netns(name)], capture_output=True, text=True)
        for pid in pids.stdout.split():
            try:
                os.kill(int(pid), 9)
            except ProcessLookupError:
                pass
        run("ip", "netns", "delete", self.netns(name))

    def renew_router(self):
        """An empty router: no device, no rule, no connection of the peer before."""
        for name in ("vm", "vm2", "inet", "svc"):
            # The pair goes at once, and not when the kernel comes to clean the namespace up.
            subprocess.run(["ip", "-n", self.netns(name), "link", "delete", "veth0"], capture_output=True)
        self.remove("router")
        self.add("router")

    def ip(self, name, *commands):
        run("ip", "-n", self.netns(name), "-batch", "-", text="\n".join(commands) + "\n")

    def inside(self, name, *command):
        """The command line that runs something in a namespace."""
        return ["ip", "netns", "exec", self.netns(name), *map(str, command)]

    def run(self, name, *command, timeout=10, text=None, env=None):
        return run(*self.inside(name, *command), timeout=timeout, text=text, env=env)

    def start(self, command, ready=None, log=None, timeout=15, env=None):
        """Starts a process and waits for a line of its output, or of `log`, that has `ready` in it."""
        output = open(log, "wb") if log else subprocess.PIPE
        errors = output if log else subprocess.DEVNULL
        process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=output, stderr=errors, env=env
        )
        self.processes.append(process)
        if ready and not self.wait_ready(process, ready, log, timeout):
            said = pathlib.Path(log).read_text(errors="replace")[-400:] if log else ""
            self.stop(process)
            # Behind `ip netns exec NAME`, if it runs in a namespace.
            program = command[4] if command[0] == "ip" else command[0]
            raise Unavailable(f"{pathlib.Path(program).name} does not start: {said.strip()}")
        return process

    def wait_ready(self, process, ready, log, timeout):
        if not log:
            return ready.encode() in process.stdout.readline()
        limit = time.monotonic() + timeout
        while time.monotonic() < limit:
            if ready in pathlib.Path(log).read_text(errors="replace"):
                return True
            if process.poll() is not None:
                return False
            time.sleep(0.01)
        return False

    def finish(self, process, timeout=5):
        """Ends a load process by the end of its input; returns what it prints."""
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.stop(process)
            raise Unavailable("the receiver does not end") from None
        self.processes.remove(process)
        return output.decode()

    def stop(self, process, timeout=10):
        if process in self.processes:
            self.processes.remove(process)
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()

    def close(self):
        for process in reversed(list(self.processes)):
            self.stop(process, 5)
        for name in list(self.made):
            try:
                self.remove(name)
            except Unavailable as error:
                print(f"left behind: {error}", flush=True)
        shutil.rmtree(self.dir, ignore_errors=True)


def run(*command, timeout=10, text=None, env=None):
    """Runs a command; returns what it prints, or raises with what it says."""
    try:
        done = subprocess.run(
            list(map(str, command)), input=text, capture_output=True, text=True, timeout=timeout, env=env
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{' '.join(map(str, command))[:200]} takes longer than {timeout} s") from None
    except FileNotFoundError:
        raise Unavailable(f"{command[0]} is not installed") from None
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(map(str, command))[:200]}: {complaint(done)}")
    return done.stdout


def complaint(done):
    """What a command that failed has to say; iperf3 says it in JSON."""
    try:
        return json.loads(done.stdout)["error"]
    except (ValueError, KeyError, TypeError):
        return (done.stderr or done.stdout).strip()[:300]
