"""A server that speaks S3, in this process; the environment says where it is and with what keys."""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import contextmanager
from unittest.mock import patch

import pytest


@contextmanager
def s3_bucket():
    """URL of an empty bucket; skips where what it takes is not installed."""
    moto = pytest.importorskip("moto.server", reason="needs moto[s3], flask and flask-cors")
    responses = pytest.importorskip("moto.s3.responses").S3Response
    s3fs = pytest.importorskip("s3fs", reason="reading s3:// needs s3fs")
    pytest.importorskip("obstore", reason="writing to s3:// needs obstore")
    server, one_put = moto.ThreadedMotoServer(port=0), threading.Lock()
    put, bucket = responses.put_object, f"atlases-{secrets.token_hex(4)}"  # servers share theirs

    def put_alone(self):  # moto checks the condition and puts without a lock in between
        with one_put:
            return put(self)

    with patch.object(responses, "put_object", put_alone):
        server.start()
        try:
            _, port = server.get_host_and_port()
            with patch.dict(os.environ, {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "NO_PROXY": "127.0.0.1",
            }):  # fmt: skip
                s3fs.S3FileSystem.clear_instance_cache()
                s3fs.S3FileSystem(skip_instance_cache=True).mkdir(bucket)
                yield f"s3://{bucket}"
        finally:
            server.stop()


def fetched(url: str) -> dict[str, bytes]:
    """Content of every object below a URL by its path there."""
    import s3fs  # noqa: PLC0415 (may be absent)

    bucket, root = s3fs.S3FileSystem(skip_instance_cache=True), url.removeprefix("s3://")
    return {path.removeprefix(f"{root}/"): bucket.cat_file(path) for path in bucket.find(root)}
