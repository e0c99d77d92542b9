"""Calls a service that refuses, as an application does with the defaults of its client; prints one
JSON object.

    refused.py KIND HOST CA    what to call it with, its host name, the PEM of the CA to trust

{"heard": what the client reports}, or {"missing": what is not installed} where the client cannot run.
"""

import json
import os
import sys
import time

# It protects nothing.
KEY = "SharedAccessKeyName=k;SharedAccessKey=cG9zdGVybi1lbmQtdG8tZW5kLXRlc3Q="
MEBIBYTE = 1 << 20


def blob_upload(host: str, ca: str):
    """Bigger than what one request of the SDK holds, with its retries."""
    from azure.storage.blob import BlobClient

    client = BlobClient(
        f"https://{host}",
        "letters",
        "letter",
        credential={"account_name": host.split(".")[0], "account_key": KEY[-32:]},
        connection_verify=ca,
    )
    client.upload_blob(os.urandom(96 * MEBIBYTE))


def blob_trickle(host: str, ca: str):
    """An upload that takes longer than the answer to it."""
    import requests

    def pieces():
        for _ in range(30):
            time.sleep(0.1)
            yield bytes(20_000)

    answer = requests.put(f"https://{host}/letters/letter", data=pieces(), verify=ca)
    return f"{answer.status_code} {answer.text}"


def events(host: str, ca: str, transport: str):
    from azure.eventhub import EventHubProducerClient, TransportType

    client = EventHubProducerClient.from_connection_string(
        f"Endpoint=sb://{host}/;{KEY}",
        eventhub_name="hub",
        transport_type=TransportType[transport],
        connection_verify=ca,
    )
    with client:
        client.get_eventhub_properties()


def queue(host: str, ca: str, transport: str):
    from azure.servicebus import ServiceBusClient, ServiceBusMessage, TransportType

    client = ServiceBusClient.from_connection_string(
        f"Endpoint=sb://{host}/;{KEY}",
        transport_type=TransportType[transport],
        connection_verify=ca,
    )
    with client, client.get_queue_sender("queue") as sender:
        sender.send_messages(ServiceBusMessage("letter"))


def kafka(host: str, ca: str):
    """The client tries again until its time is over; why, it logs."""
    import io
    import logging

    from kafka import KafkaAdminClient

    log = io.StringIO()
    logging.basicConfig(stream=log, level=logging.WARNING)
    try:
        KafkaAdminClient(
            bootstrap_servers=f"{host}:9093",
            security_protocol="SASL_SSL",
            ssl_cafile=ca,
            sasl_mechanism="PLAIN",
            sasl_plain_username="$ConnectionString",
            sasl_plain_password="none",
        )
    except Exception as error:
        return f"{log.getvalue()} {error}"


def sql(host: str, ca: str, encrypt: str):
    # OpenSSL of the driver reads it when it is loaded.
    os.environ["SSL_CERT_FILE"] = ca
    import mssql_python

    server = host.split(".")[0]
    mssql_python.connect(
        f"Server={host};Database=d;UID=u@{server};PWD=p;Encrypt={encrypt};"
    )


def mysql(host: str, ca: str):
    import pymysql

    pymysql.connect(host=host, user="u", password="p", ssl={"ca": ca})


def http2(host: str, ca: str):
    import ssl

    import httpx

    trust = ssl.create_default_context(cafile=ca)
    with httpx.Client(http1=False, http2=True, verify=trust) as client:
        heard = [client.put(f"https://{host}/x", content=bytes(n)) for n in (0, 3 * MEBIBYTE)]
    return " ".join(f"{answer.http_version} {answer.status_code} {answer.text}" for answer in heard)


def main() -> int:
    kind, host, ca = sys.argv[1:]
    name, _, argument = kind.partition(":")
    call = globals()[name]
    try:
        said = call(host, ca, argument) if argument else call(host, ca)
        result = {"heard": str(said)}
    except Exception as error:  # whatever a client makes of it is what its user sees
        text = f"{type(error).__name__}: {error}"
        result = {"missing": text} if "Failed to load the driver" in text else {"heard": text}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
