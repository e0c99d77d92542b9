"""Uses a blob account as an application does, through the Azure SDK; prints one JSON object.

    blob.py HOST CA MEBIBYTES    the account's host name, the PEM of the CA to trust, how much to store

Done: {"own": name, "names": [...], "bytes": N, "sent": SHA-256, "received": SHA-256}. Refused or
failed: {"error": the SDK's exception, "status": HTTP status, "code": the service's error code}.
"""

import hashlib
import json
import os
import sys

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError
from azure.storage.blob import BlobServiceClient

# The key that the cases give to the account; it protects nothing.
KEY = "cG9zdGVybi1lbmQtdG8tZW5kLXRlc3Q="


def use(host: str, ca: str, mebibytes: int) -> dict:
    account = host.split(".", 1)[0]
    service = BlobServiceClient(
        f"https://{host}",
        credential={"account_name": account, "account_key": KEY},
        connection_verify=ca,
        connection_timeout=10,
        retry_total=0,
    )
    with service:
        container = service.get_container_client("letters")
        try:
            container.create_container()
        except ResourceExistsError:
            pass
        content = os.urandom(mebibytes << 20)
        name = f"letter-{os.getpid()}"
        container.upload_blob(name, content)
        names = [blob.name for blob in container.list_blobs()]
        received = container.download_blob(name).readall()
        container.delete_blob(name)
    return {
        "names": names,
        "own": name,
        "bytes": len(received),
        "sent": hashlib.sha256(content).hexdigest(),
        "received": hashlib.sha256(received).hexdigest(),
    }


def main() -> int:
    host, ca, mebibytes = sys.argv[1:]
    try:
        result = use(host, ca, int(mebibytes))
    except HttpResponseError as error:
        result = {
            "error": type(error).__name__,
            "status": error.status_code,
            "code": getattr(error, "error_code", None),
            "message": error.message,
        }
    except AzureError as error:
        result = {"error": type(error).__name__, "status": None, "message": str(error)}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
