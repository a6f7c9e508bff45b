"""Bundles fetched and published: whole, checked, and from where they are said to be."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

from peakatlas.atlas.storage.atomic import owned_name, write_bytes
from peakatlas.atlas.storage.remote import RemoteStorage
from peakatlas.engine.documents import MOST_BYTES
from peakatlas.engine.errors import BundleError
from peakatlas.engine.models.hub import looks_like_hub_id

from . import card as cards
from .bundle import Bundle
from .catalogue import NAME, SHIPPED, cached
from .folder import FORMAT_VERSION, SETTINGS_FILE
from .settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    Reader = Callable[[str, int], bytes]
    """Bytes of a file of the bundle, by its name, at most so many."""

MOST_ARRAYS = 4 << 30
"""Longest file of arrays, in bytes."""


class Fetched(NamedTuple):
    """A bundle in the cache."""

    folder: Path
    digest: str
    """SHA-256 of ``bundle.json``, which names that of the arrays: the identity of the bundle."""


def get_bundle(
    source: str,
    name: str | None = None,
    *,
    sha256: str | None = None,
    revision: str | None = None,
    force: bool = False,
) -> Fetched:
    """Fetch a bundle into the cache, under a name.

    Parameters
    ----------
    source : str
        URL of its folder, hub id ``owner/name``, or folder.
    name : str, optional
        The last part of the source if not given.
    sha256 : str, optional
        What the SHA-256 of ``bundle.json`` must be.
    revision : str, optional
        Branch, tag or commit of a hub repository.
    force : bool
        Whether to replace a bundle of that name.

    Raises
    ------
    BundleError
        If it cannot be fetched, is damaged or another than said; or the name is taken.
    AtlasError, MissingDependencyError
        If a server does not answer, or a package that speaks its protocol is not installed.
    """
    name = name or source.rstrip("/").rpartition("/")[2]
    folder = _place(name, force=force)
    read = _reader(source, revision)
    data = read(SETTINGS_FILE, MOST_BYTES)
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise BundleError(
            f"{source}: the SHA-256 of {SETTINGS_FILE} is {digest}, not {sha256}: it is another "
            "bundle than the one that was wanted. Ask whoever gave the digest."
        )
    settings = read_settings(data, f"{source}/{SETTINGS_FILE}", FORMAT_VERSION)
    aside = folder.with_name(owned_name(folder.name))
    try:
        write_bytes(aside / settings.arrays_file, read(settings.arrays_file, MOST_ARRAYS))
        write_bytes(aside / SETTINGS_FILE, data)
        card = _card(read)
        if card is not None:
            write_bytes(aside / cards.CARD_FILE, card)
        Bundle.load(aside)  # whole, and its arrays are those that it names
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Fetched(folder, digest)


def publish_bundle(
    folder: Path, hub_id: str, *, private: bool = False, api: HfApi | None = None
) -> str:
    """Put a bundle with its card into a repository of the Hugging Face hub.

    The account is that of ``hf auth login`` or HF_TOKEN.

    Parameters
    ----------
    folder : Path
    hub_id : str
        ``owner/name``; made if it is not there.
    private : bool
        Whether a new repository is private.
    api : HfApi, optional

    Returns
    -------
    str
        Address of the commit.

    Raises
    ------
    BundleError
        If there is no bundle or no card, or the hub refuses.
    """
    Bundle.load(folder)
    if cards.read_card(folder) is None:
        raise BundleError(
            f"{folder} has no card that belongs to it. Write one first: peakatlas bundles card "
            f"{folder} --licence … --source … --build …."
        )
    if not looks_like_hub_id(hub_id):
        raise BundleError(f"{hub_id!r} is not of the form owner/name.")
    api = api or HfApi()
    try:
        api.create_repo(hub_id, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=hub_id,
            folder_path=str(folder),
            allow_patterns=cards.bundle_files(folder),
            commit_message="Bundle of peakatlas",
        )
    except (OSError, HfHubHTTPError, HFValidationError) as fault:
        raise BundleError(
            f"{hub_id}: the hub refuses ({' '.join(str(fault).split())[:300]}). Check the name, "
            "and log in: hf auth login."
        ) from fault
    return str(done)


def _place(name: str, *, force: bool) -> Path:
    if not NAME.match(name):
        raise BundleError(f"{name!r} cannot be the name of a bundle. Give another with --name.")
    if (SHIPPED / name).exists():
        raise BundleError(f"a bundle called {name} comes with peakatlas. Give another --name.")
    folder = cached() / name
    if folder.exists() and not force:
        raise BundleError(f"{folder} is there already. Give --force to replace it, or --name.")
    return folder


def _reader(source: str, revision: str | None) -> Reader:
    if "://" in source:
        storage = RemoteStorage.open(source, {})
        return lambda name, most: _remote(storage, name, most)
    if Path(source).is_dir():
        return lambda name, most: _bounded(Path(source) / name, f"{source}/{name}", most)
    if looks_like_hub_id(source):
        return lambda name, most: _hub(source, revision, name, most)
    raise BundleError(f"{source} is no folder, no URL and no hub id owner/name. Give one.")


def _remote(storage: RemoteStorage, name: str, most: int) -> bytes:
    try:
        size = storage.size(name)
        if size > most:
            raise BundleError(f"{storage.where(name)} has {size:,} bytes; {most:,} are the most.")
        return storage.read_bytes(name)
    except FileNotFoundError:
        raise BundleError(
            f"{storage.where(name)} is not there: it is no bundle. Give a bundle's URL."
        ) from None


def _bounded(path: Path, where: str, most: int) -> bytes:
    try:
        if path.stat().st_size > most:
            raise BundleError(f"{where} has more than {most:,} bytes.")
        return path.read_bytes()
    except FileNotFoundError:
        raise BundleError(
            f"{where} is not there: it is no bundle. Give what `peakatlas train` wrote."
        ) from None


def _hub(hub_id: str, revision: str | None, name: str, most: int) -> bytes:
    try:
        path = Path(hf_hub_download(hub_id, name, revision=revision))
    except EntryNotFoundError:
        raise BundleError(
            f"{hub_id} of the hub has no {name}: it is no bundle. Check the id."
        ) from None
    except (OSError, HfHubHTTPError, HFValidationError) as fault:
        raise BundleError(
            f"{hub_id}: {name} cannot be fetched from the Hugging Face hub "
            f"({' '.join(str(fault).split())[:300]}). Check the name and the network."
        ) from fault
    return _bounded(path, f"{hub_id}/{name}", most)


def _card(read: Reader) -> bytes | None:
    try:
        return read(cards.CARD_FILE, cards.MOST_BYTES)
    except BundleError:
        return None
