"""Words that name a patient, kept only to notice them: nothing here prints, stores or returns one."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath

_RUNS = re.compile(r"[^\W_]+", re.UNICODE)
_LETTERS = re.compile(r"[^\W\d_]+", re.UNICODE)
_SHORTEST_LATIN = 4
_SHORTEST_OTHER = 2  # a Chinese, Japanese or Korean name has two or three characters


# How names are written where a header does not say it, or says it wrongly
_ENCODINGS = ("utf-8", "gb18030", "euc_kr", "shift_jis", "iso2022_jp", "latin-1")


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _bare(plain: str) -> str:
    """The text without accents, as a folder's name may spell it."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(sign))


def readings(value: bytes) -> list[str]:
    """Return what bytes may say, in any encoding that takes them; plain ASCII says one thing."""
    found = []
    for encoding in ("ascii",) if value.isascii() and b"\x1b" not in value else _ENCODINGS:
        try:
            found.append(value.decode(encoding))
        except UnicodeDecodeError:
            continue
    return found


@dataclass(frozen=True)
class Identity:
    """The tokens of PatientName, PatientID and birth date of a study; ``repr`` shows how many, never which.

    A token is a run of at least 4 letters or digits (2 where they are not Latin), with and without its accents.
    """

    _tokens: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def of(cls, values: Iterable[str]) -> Identity:
        """Collect the tokens of some identifying values."""
        found: set[str] = set()
        for value in values:
            plain = _plain(value)
            for token in (*_RUNS.findall(plain), *_LETTERS.findall(plain)):
                shortest = _SHORTEST_LATIN if token.isascii() else _SHORTEST_OTHER
                if len(token) >= shortest:
                    found |= {token, _bare(token)}
        return cls(frozenset(found))

    def __or__(self, other: Identity) -> Identity:
        return Identity(self._tokens | other._tokens)

    def shares(self, text: str) -> bool:
        """True when a token occurs anywhere in ``text``, whatever the case, even inside a longer word."""
        plain = _plain(text)
        spellings = {plain, _bare(plain)}
        spellings |= {"".join(_RUNS.findall(one)) for one in spellings}
        return any(token in one for token in self._tokens for one in spellings)

    def safe(self, text: str, otherwise: str = "") -> str:
        """Return ``text``, or ``otherwise`` where it shares a token."""
        return otherwise if self.shares(text) else text

    def safe_path(self, path: PurePath) -> str:
        """Return the path's name, or a name made of a hash, so that a message can tell files apart."""
        name = path.name
        return f"file-{hashlib.sha256(name.encode()).hexdigest()[:8]}" if self.shares(name) else name
