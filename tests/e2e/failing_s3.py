"""An S3 server in a pod that can be killed and that can be made to answer 503, with versitygw's or MinIO's image.

The server's data outlive its process. Pods reach it through a gate, a second container beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.e2e.chart_lab import S3_PORT, image, pod, server, service

SERVER_PORT = 7069

# A relay. While the file `closed` is there, whatever arrives on any connection, new or old, is
# answered with 503 and an end of the connection.
GATE = f"""
import asyncio, os
BODY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
ANSWER = b"HTTP/1.1 503 Slow Down\\r\\nContent-Type: application/xml\\r\\nConnection: close\\r\\n"
ANSWER += b"Content-Length: %d\\r\\n\\r\\n%s" % (len(BODY), BODY)
async def relay(source, target, refuse):
    try:
        while data := await source.read(65536):
            if refuse is not None and os.path.exists("/data/closed"):
                print("refused", flush=True)
                refuse.write(ANSWER)
                await refuse.drain()
                break
            target.write(data)
            await target.drain()
    except OSError:
        pass
    finally:
        for each in (target, refuse):
            if each is not None:
                each.close()
async def serve(reader, writer):
    try:
        up, down = await asyncio.open_connection("127.0.0.1", {SERVER_PORT})
    except OSError:
        writer.close()
        return
    await asyncio.gather(relay(reader, down, writer), relay(up, writer, None))
async def main():
    async with await asyncio.start_server(serve, "0.0.0.0", {S3_PORT}) as server:
        await server.serve_forever()
asyncio.run(main())
"""

# Kills every process whose program is argv[1]; the gate shares the server's process namespace.
KILL_PROGRAM = """
import os, pathlib, sys
for each in pathlib.Path("/proc").iterdir():
    if each.name.isdigit() and os.path.basename(os.path.realpath(each / "exe")) == sys.argv[1]:
        os.kill(int(each.name), 9)
        print("killed", each.name)
"""


def objects(placement: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pod, on nodes that `placement` says, and the Service in front of its gate."""
    mount = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    prep = image("FINGPT_E2E_PREP")
    folders = "import os; [os.makedirs(f'/data/{name}') for name in ('store', 'meta')]"
    spec: dict[str, Any] = {
        "shareProcessNamespace": True,
        "volumes": [{"name": "data", "emptyDir": {}}],
        "initContainers": [
            {"name": "folders", "image": prep, "command": ["python", "-c", folders], **mount}
        ],
        "containers": [
            {"name": "s3", "image": image("FINGPT_E2E_S3"), **server(SERVER_PORT), **mount},
            {"name": "gate", "image": prep, "command": ["python", "-c", GATE], **mount},
        ],
        **placement,
    }
    return pod("s3", {"app": "s3"}, spec), service("s3", S3_PORT)
