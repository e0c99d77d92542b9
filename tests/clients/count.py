"""Adds one to a number, many times, as one of several writers; prints one JSON object.

    count.py URL SUBSCRIPTION GROUP NETWORK TIMES

The number is the tag `n` of a virtual network. Every writer reads, adds and puts what it has read, if
the resource is still what it read (`If-Match`), and reads again if it is not. Who calls comes from the
same variables as for network.py.
"""

import json
import sys

from azure.core.exceptions import HttpResponseError

from network import Clients


def main() -> int:
    url, subscription, group, name, times = sys.argv[1:]
    networks = Clients(url, subscription).network.virtual_networks
    added = refused = 0
    while added < int(times):
        network = networks.get(group, name)
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
