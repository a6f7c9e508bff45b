"""Objects of a store, each put whole, and on a condition: if absent, or if still the version seen.

Stores behind S3, Google and Azure URLs by the package `obstore`. Conditions are what keeps two
writers apart, so a store that ignores them is refused before anything is written.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from peakatlas.engine.errors import AtlasError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Version: TypeAlias = dict[str, str]
"""What names the content of an object as it was put or read."""
PROTOCOLS = ("s3", "gs", "az")
_TRANSFER = timedelta(minutes=5)
"""Longest time of one request: a shard on a slow line."""
_RETRIES = {"max_retries": 4, "retry_timeout": timedelta(minutes=2)}


@dataclass(frozen=True, kw_only=True)
class Found:
    """An object as it was read."""

    data: bytes
    version: Version
    changed: float
    """When it was put, by the clock of the store, in s since 1970."""


class Objects:
    """Objects below a URL; safe to share between threads. Use `open`.

    Parameters
    ----------
    url : str
        As the user gave it, without a slash at its end.
    store : obstore.store.ObjectStore
        Of the folder.
    """

    def __init__(self, url: str, store: Any) -> None:  # noqa: ANN401 (obstore is optional)
        self.url, self._store, self._api = url, store, import_module("obstore")

    @classmethod
    def open(cls, url: str) -> Objects:
        """Objects below a URL; nothing is asked of the store yet.

        Raises
        ------
        AtlasError
            If nothing can be written to such a URL, or no credentials are to be found.
        MissingDependencyError
            If `obstore` is not installed.
        """
        protocol = url.partition("://")[0]
        if protocol not in PROTOCOLS:
            raise AtlasError(
                f"{url}: an atlas is written into a folder or an object store "
                f"({', '.join(f'{name}://' for name in PROTOCOLS)}), not to {protocol}://. Write "
                "it into a folder and copy that; `peakatlas atlas publish` says how."
            )
        try:
            store: Any = import_module("obstore.store")
        except ImportError as error:
            raise MissingDependencyError(
                f"{url}: writing to an object store needs obstore, which is not installed. Install "
                "it: pip install 'peakatlas[remote]'."
            ) from error
        settings = _s3_settings(url) if protocol == "s3" else {}
        client = {"timeout": _TRANSFER, "allow_http": True}
        try:
            found = store.from_url(url, client_options=client, retry_config=_RETRIES, **settings)
        except (ValueError, import_module("obstore.exceptions").BaseError) as error:
            raise AtlasError(
                f"{url} cannot be opened ({_reason(error)}). Check the URL."
            ) from error
        return cls(url, found)

    def create(self, name: str, data: bytes) -> Version | None:
        """Put an object that is not there yet; None if it is.

        Raises
        ------
        AtlasError
            If the store refuses.
        """
        return self._put(name, data, "create")

    def replace(self, name: str, data: bytes, seen: Version) -> Version | None:
        """Put an object over the version that was seen; None if that is not there any more.

        Raises
        ------
        AtlasError
            If the store refuses.
        """
        return self._put(name, data, seen)

    def read(self, name: str) -> Found:
        """An object and its version.

        Raises
        ------
        FileNotFoundError
            If it is absent.
        AtlasError
            If the store refuses.
        """
        with self._named(name):
            got = self._api.get(self._store, name)
            return Found(
                data=bytes(got.bytes()),
                version=_version(got.meta),
                changed=got.meta["last_modified"].timestamp(),
            )

    def names(self, folder: str = "") -> list[str]:
        """Names of what lies right in a folder, sorted.

        Raises
        ------
        AtlasError
            If the store refuses, or there is no such bucket.
        """
        with self._named(folder):
            found = self._api.list_with_delimiter(self._store, folder or None)
        paths = [*found["common_prefixes"], *(each["path"] for each in found["objects"])]
        return sorted(path.rpartition("/")[2] for path in paths)

    def below(self, folder: str) -> list[str]:
        """Paths of all objects below a folder, sorted.

        Raises
        ------
        AtlasError
            If the store refuses.
        """
        with self._named(folder):
            return sorted(
                each["path"]
                for batch in self._api.list(self._store, folder, chunk_size=1000)
                for each in batch
            )

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that are absent are none the less."""
        for name in names:
            with self._named(name):
                try:
                    self._api.delete(self._store, name)
                except FileNotFoundError:
                    continue

    def check(self) -> float:
        """Refuse a store that cannot be written, or puts an object in spite of a condition.

        Returns
        -------
        float
            How far the clock of the store is ahead of this machine's, in s.

        Raises
        ------
        AtlasError
        """
        name = f".probe-{secrets.token_hex(8)}"
        try:
            first = self.create(name, b"1")
            again = self.create(name, b"2")
            over = self.replace(name, b"3", first) if first is not None else None
            stale = self.replace(name, b"4", first) if first is not None else None
            ahead = self.read(name).changed - time.time()
        finally:
            self.remove([name])
        if first is None or over is None or again is not None or stale is not None:
            raise AtlasError(
                f"{self.url}: the store takes no notice of conditions of a write (If-None-Match, "
                "If-Match), which keep two writers apart. Write the atlas into a folder and copy "
                "that; `peakatlas atlas publish` says how."
            )
        return ahead

    def _put(self, name: str, data: bytes, mode: str | Version) -> Version | None:
        refused = import_module("obstore.exceptions")
        with self._named(name):
            try:
                done = self._api.put(self._store, name, data, mode=mode, use_multipart=False)
            except (refused.AlreadyExistsError, refused.PreconditionError):
                return None
            except FileNotFoundError:
                if mode == "create":  # of a bucket
                    raise
                return None
        return _version(done)

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Errors of the store as ours."""
        refused = import_module("obstore.exceptions")
        where = f"{self.url}/{name}".rstrip("/")
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" not in str(error):
                raise FileNotFoundError(errno.ENOENT, "no such object", where) from error
            raise self._no_bucket() from error
        except refused.NotSupportedError as error:
            raise AtlasError(f"{where}: the store cannot do that ({_reason(error)}).") from error
        except (refused.PermissionDeniedError, refused.UnauthenticatedError) as error:
            raise AtlasError(
                f"{where}: the store refuses these credentials ({_reason(error)}). Check them, and "
                "that they may read, write, list and delete in the bucket."
            ) from error
        except refused.BaseError as error:
            if "NoSuchBucket" in str(error):
                raise self._no_bucket() from error
            raise AtlasError(
                f"{where}: the store does not answer as it should ({_reason(error)}). Check the "
                "URL, the network and AWS_ENDPOINT_URL, then run the same command again; it goes "
                "on where it stopped."
            ) from error

    def _no_bucket(self) -> AtlasError:
        return AtlasError(
            f"{self.url}: there is no such bucket. Make it, or check its name and the endpoint."
        )


def _version(values: Any) -> Version:  # noqa: ANN401 (a result of obstore)
    return {name: values[name] for name in ("e_tag", "version") if values.get(name) is not None}


def _reason(error: Exception) -> str:
    """What a store said, without what was done inside."""
    return " ".join(str(error).partition("\n\nDebug")[0].split())[:300]


def _s3_settings(url: str) -> dict[str, Any]:
    """Endpoint, region and credentials as other S3 clients find them, see `botocore`."""
    try:
        session: Any = import_module("botocore.session").get_session()
    except ImportError:
        return {}
    credentials = session.get_credentials()
    if credentials is None:
        raise AtlasError(
            f"{url}: no credentials are to be found. Set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        )

    def provide() -> dict[str, Any]:
        now = credentials.get_frozen_credentials()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(UTC) + timedelta(minutes=10),
        }

    found = {
        "endpoint": os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
        "region": session.get_config_variable("region"),
    }
    return {name: value for name, value in found.items() if value} | {
        "credential_provider": provide
    }
