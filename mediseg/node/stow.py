"""Results to an archive by DICOMweb's STOW-RS: one request a file, over one connection for all that is due."""

from __future__ import annotations

import json
import secrets
import ssl
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from mediseg.node.config import WebDestination
from mediseg.node.queue import Sending, Told

_TIMEOUT_S = 60.0
_LONGEST_ANSWER = 1_000_000
_FAILED, _REASON, _VALUE = "00081198", "00081197", "Value"
#: PS3.18 table I.2-2 and PS3.7 annex C: kinds of objects that are never taken
_NEVER = {0x0122, 0x0124}
_PROCESSING_FAILURE = 0x0110
_NEVER_STATUS = {413, 415}  # too large, not this kind


def store_all(destination: WebDestination, sendings: Sequence[Sending], told: Told) -> None:
    """Send files to a DICOMweb service and tell of each what came of it."""
    try:
        connection, headers = _connection(destination), _headers(destination)
    except (OSError, UnicodeDecodeError, ssl.SSLError) as error:
        for one in sendings:
            told(one, f"the authorization or authority file cannot be read ({type(error).__name__})", False)
        return
    try:
        for number, one in enumerate(sendings):
            try:
                data = one.path.read_bytes()
            except OSError as error:
                told(one, f"the file cannot be read ({type(error).__name__})", False)
                continue
            try:
                why, is_forever = _stored(connection, urlsplit(destination.url).path, headers, data)
            except (OSError, HTTPException) as error:
                why = f"{destination.name} does not answer ({type(error).__name__})"
                for left in sendings[number:]:  # it is not there: the rest need not wait for it as long
                    told(left, why, False)
                return
            told(one, why, is_forever)
    finally:
        connection.close()


def _headers(destination: WebDestination) -> dict[str, str]:
    headers = {"Accept": "application/dicom+json"}
    if destination.authorization is not None:
        headers["Authorization"] = Path(destination.authorization).read_text(encoding="ascii").strip()
    return headers


def _connection(destination: WebDestination) -> HTTPConnection:
    parts = urlsplit(destination.url)
    if parts.scheme == "http":
        return HTTPConnection(parts.netloc, timeout=_TIMEOUT_S)
    context = ssl.create_default_context(cafile=destination.authority)
    return HTTPSConnection(parts.netloc, timeout=_TIMEOUT_S, context=context)


def _stored(connection: HTTPConnection, base: str, headers: dict[str, str], data: bytes) -> tuple[str, bool]:
    """Send one file; return why it was not taken, and whether trying again is of no use."""
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join([head, data, f"\r\n--{boundary}--\r\n".encode()])
    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    connection.request("POST", f"{base.rstrip('/')}/studies", body, {**headers, "Content-Type": kind})
    answer = connection.getresponse()
    text = answer.read(_LONGEST_ANSWER)
    if answer.status in (200, 202, 409):
        reason = _failure_reason(text)
        if reason is not None:
            return f"refused with failure reason 0x{reason:04X}", reason in _NEVER
        if answer.status != 409:
            return "", False
    return f"refused with HTTP status {answer.status}", answer.status in _NEVER_STATUS


def _failure_reason(text: bytes) -> int | None:
    """Return why the object is in the answer's list of those that were not stored; None where it is not.

    An answer that is no DICOM JSON says no more than its HTTP status.
    """
    try:
        failed = json.loads(text or b"{}").get(_FAILED, {}).get(_VALUE, [])
        return int(failed[0].get(_REASON, {}).get(_VALUE, [_PROCESSING_FAILURE])[0]) if failed else None
    except (ValueError, AttributeError, TypeError, LookupError):
        return None
