"""Adds one to a number, many times, as one of several writers; prints one JSON object.

    count.py URL SUBSCRIPTION GROUP NETWORK TIMES FOLDER WRITERS

The number is the tag `n` of a virtual network. Every writer reads, adds and puts what it has read, if
the resource is still what it read (`If-Match`), and reads again if it is not. Before its first put it
waits until all WRITERS have read, which they tell each other in FOLDER: so they meet, however long each
takes to start. Who calls comes from the same variables as for network.py.
"""

import json
import os
import sys
import time

from azure.core.exceptions import HttpResponseError

from network import Clients


def meet(folder: str, writers: int) -> None:
    """Returns when so many writers are here."""
    with open(os.path.join(folder, f"read-{os.getpid()}"), "w", encoding="ascii"):
        pass
    deadline = time.monotonic() + 300
    while len(os.listdir(folder)) < writers:
        if time.monotonic() > deadline:
            raise TimeoutError("the other writers have not read within 300 s")
        time.sleep(0.01)


def main() -> int:
    url, subscription, group, name, times, folder, writers = sys.argv[1:]
    networks = Clients(url, subscription).network.virtual_networks
    added = refused = 0
    while added < int(times):
        network = networks.get(group, name)
        if added == refused == 0:
            meet(folder, int(writers))
        network.tags["n"] = str(int(network.tags["n"]) + 1)
        try:
            networks.begin_create_or_update(
                group, name, network, headers={"If-Match": network.etag}
            ).result()
            added += 1
        except HttpResponseError as error:
            if error.status_code != 412:
                raise
            refused += 1
    print(json.dumps({"added": added, "refused": refused}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
