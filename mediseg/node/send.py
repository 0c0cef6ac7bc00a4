"""The sending side: results to an archive by C-STORE, with one association for all that is due."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mediseg.errors import UsageError
from mediseg.node import stow
from mediseg.node.config import Destination, NodeConfig, WebDestination
from mediseg.node.peers import limit_silence
from mediseg.node.queue import Sending, Told

_WARNING = range(0xB000, 0xBFFF)
_MOST_CONTEXTS = 128
_PATIENCE_S = 30
_ENDED = "the association was ended by the destination"


def send_all(
    config: NodeConfig, destination: Destination | WebDestination, sendings: Sequence[Sending], told: Told
) -> None:
    """Send files to a destination, by C-STORE or STOW-RS, and tell of each what came of it."""
    there = []
    for one in sendings:
        if one.path.is_file():
            there.append(one)
        else:
            told(one, "the file is gone", True)
    if not there:
        return
    if isinstance(destination, WebDestination):
        stow.store_all(destination, there, told)
    else:
        _store_all(config, destination, there, told)


def _store_all(config: NodeConfig, destination: Destination, sendings: Sequence[Sending], told: Told) -> None:
    kinds = {one: _kind(one.path) for one in sendings}
    for one in [one for one in sendings if kinds[one] is None]:
        told(one, "the file is damaged", True)
    there = [one for one in sendings if kinds[one] is not None]
    if not there:
        return
    association = _associated(config, destination, {kind for kind in kinds.values() if kind is not None})
    if not association.is_established:
        for one in there:
            told(one, f"{destination.name} does not answer or refuses the association", False)
        return
    try:
        for one in there:
            told(one, *_sent(association, one.path))
    finally:
        if association.is_established:
            association.release()


def _kind(path: Path) -> tuple[str, str] | None:
    """Return a file's SOP class and transfer syntax; None for a damaged one, which must not hold up the others."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError
    from pydicom.uid import UID

    from mediseg.io.dicom.attributes import UNREADABLE

    try:
        meta = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"]).file_meta
        kind = UID(str(meta.MediaStorageSOPClassUID)), UID(str(meta.TransferSyntaxUID))
    except (InvalidDicomError, *UNREADABLE):
        return None
    return kind if all(uid.is_valid for uid in kind) else None


def _associated(config: NodeConfig, destination: Destination, wanted: set[tuple[str, str]]) -> Any:
    from pynetdicom import AE, evt

    entity = AE(ae_title=config.ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _PATIENCE_S
    entity.connection_timeout = 10
    for sop_class, syntax in sorted(wanted)[:_MOST_CONTEXTS]:
        entity.add_requested_context(sop_class, syntax)
    tls: dict[str, Any] = {"tls_args": (_client_context(config), None)} if config.tls else {}
    handlers: list[Any] = [(evt.EVT_CONN_OPEN, limit_silence)]
    title = destination.ae_title
    return entity.associate(destination.host, destination.port, ae_title=title, evt_handlers=handlers, **tls)


def _sent(association: Any, path: Path) -> tuple[str, bool]:
    from pydicom import dcmread

    if not association.is_established:
        return _ENDED, False
    dataset = dcmread(path)
    try:
        status = association.send_c_store(dataset)
    except RuntimeError:  # it was ended since it was asked above
        return _ENDED, False
    except ValueError:  # no accepted context: it does not take this kind of object
        return "the destination does not take this kind of object", True
    code = status.get("Status") if status else None
    if code is None:
        return "no answer", False
    return ("", False) if code == 0 or code in _WARNING else (f"refused with status 0x{code:04X}", False)


def _client_context(config: NodeConfig) -> ssl.SSLContext:
    assert config.tls is not None
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=config.tls.authority)
        context.check_hostname = False  # hospitals' certificates name AE titles or nothing; the authority vouches
        context.load_cert_chain(config.tls.certificate, config.tls.key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"tls: certificate, key or authority cannot be used: {error}") from error
    return context
