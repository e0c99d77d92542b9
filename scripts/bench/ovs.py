"""Open vSwitch's userspace datapath, with directories of its own: the system's service is not touched."""

import json
import os
import shutil

import policy
from lab import MTU, Unavailable, run
from peers import Peer

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
ENDS = (("vm", f"{policy.NIC}/24"), ("inet", f"{policy.INTERNET}/24"))


class OpenVSwitch(Peer):
    """A bridge with connection tracking and source NAT; frames cross by AF_PACKET, as in Debian's build."""

    key, title = "ovs", "Open vSwitch, userspace, conntrack NAT"
    overhead = 1.5

    def start(self):
        self.processes = []
        self.home = self.lab.dir / "ovs"
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        places = ("RUNDIR", "LOGDIR", "DBDIR", "SYSCONFDIR")
        self.env = {**os.environ, **{f"OVS_{place}": str(self.home) for place in places}}
        if not os.path.exists(SCHEMA):
            raise Unavailable("openvswitch-switch is not installed")
        for name, address in ENDS:
            self.connect(name, address)
        self.introduce()
        self.start_switch()
        flows = self.home / "flows"
        flows.write_text(policy.openflow())
        run("ovs-ofctl", "add-flows", f"unix:{self.home}/br0.mgmt", flows, env=self.env)

    def connect(self, name, address):
        self.lab.ip(
            name,
            f"link add veth0 mtu {MTU} type veth peer name {name} netns {self.lab.netns('router')} mtu {MTU}",
            f"address add {address} dev veth0",
            "link set veth0 up",
        )
        self.lab.ip("router", f"link set {name} up")
        # This build neither cuts super-frames nor fills checksums in.
        self.lab.run(name, "ethtool", "-K", "veth0", "tx", "off")

    def introduce(self):
        """Each end takes the other for its gateway: the bridge routes without changing Ethernet addresses."""
        mac = {}
        for name, _ in ENDS:
            links = json.loads(self.lab.run(name, "ip", "-j", "link", "show", "veth0"))
            mac[name] = links[0]["address"]
        self.lab.ip(
            "vm",
            f"neigh add 10.0.1.1 lladdr {mac['inet']} dev veth0 nud permanent",
            "route add default via 10.0.1.1",
        )
        self.lab.ip(
            "inet",
            f"route add {policy.PUBLIC} dev veth0",
            f"neigh add {policy.PUBLIC} lladdr {mac['vm']} dev veth0 nud permanent",
        )

    def start_switch(self):
        home, database = self.home, f"unix:{self.home}/db.sock"
        run("ovsdb-tool", "create", home / "conf.db", SCHEMA, env=self.env)
        server = self.lab.inside("router", "ovsdb-server", home / "conf.db", f"--remote=p{database}")
        self.processes.append(self.lab.start([*server, "--pidfile", "-vconsole:off"], env=self.env))
        run("ovs-vsctl", f"--db={database}", "--no-wait", "--retry", "init", env=self.env)
        switch = self.lab.inside("router", "ovs-vswitchd", database, "--pidfile", "--disable-system")
        self.processes.append(self.lab.start([*switch, "-vconsole:off"], env=self.env))
        words = "add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure"
        for port, (name, _) in enumerate(ENDS, 1):
            words += f" -- add-port br0 {name} -- set interface {name} ofport_request={port}"
        run("ovs-vsctl", f"--db={database}", "--timeout=10", *words.split(), env=self.env)

    def stop(self):
        for process in reversed(self.processes):
            self.lab.stop(process)
        self.processes = []
        super().stop()
