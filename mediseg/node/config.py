"""What a node is told in its YAML file: who may send, what runs on what, where results go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mediseg.errors import UsageError, did_you_mean

#: a user name or a password has no place in an address: the queue and the log show it
_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#@]*)?")
_TITLE = re.compile(r"[ -\[\]-~]{1,16}")


#: what becomes of a report: an Encapsulated PDF, Secondary Capture images, or nothing that is sent
REPORTS = ("pdf", "pages", "none")


@dataclass(frozen=True)
class Caller:
    """Who may send: an AE title, from one address or (None) from any."""

    ae_title: str
    address: str | None = None


@dataclass(frozen=True)
class Destination:
    """Where results are sent by C-STORE."""

    ae_title: str
    host: str
    port: int

    @property
    def name(self) -> str:
        """How the queue knows it."""
        return f"{self.ae_title}@{self.host}:{self.port}"


@dataclass(frozen=True)
class WebDestination:
    """Where results are sent by STOW-RS: the address of a DICOMweb service, as ``https://pacs:8043/dicom-web``.

    ``authorization``: a file whose only line is that header's value, as ``Bearer ...`` or ``Basic ...``; ``authority``:
    the certificate of who signs the service's (None: those that this machine trusts).
    """

    url: str
    authorization: str | None = None
    authority: str | None = None

    @property
    def name(self) -> str:
        """How the queue knows it."""
        return self.url


@dataclass(frozen=True)
class Rule:
    """A recipe, and the series it is for: patterns (searched for, any case) that one series has to fit altogether."""

    recipe: str
    modality: str = ""
    description: str = ""
    body_part: str = ""

    def __str__(self) -> str:
        wanted = {"modality": self.modality, "description": self.description, "body_part": self.body_part}
        return ", ".join(f"{name} {pattern}" for name, pattern in wanted.items() if pattern) or "anything"

    def fits(self, series: Mapping[str, str]) -> bool:
        """True for a series with this ``modality``, ``description`` and ``body_part``."""
        wanted = {"modality": self.modality, "description": self.description, "body_part": self.body_part}
        return all(re.search(pattern, series[name], re.I) for name, pattern in wanted.items() if pattern)


@dataclass(frozen=True)
class Tls:
    """Certificate and key of this node, and the authority that signs its peers (all must show a certificate)."""

    certificate: str
    key: str
    authority: str


@dataclass(frozen=True)
class StatusPage:
    """Where the status page is. It wants the token that lies in the node's folder with ``token`` or off loopback."""

    host: str = "127.0.0.1"
    port: int = 8322
    token: bool = False

    @property
    def wants_token(self) -> bool:
        """True where who looks has to show the token."""
        return self.token or not self.is_loopback

    @property
    def is_loopback(self) -> bool:
        """True for an address that only this machine reaches."""
        return self.host in ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class NodeConfig:
    """A node. ``folder`` holds the queue, what was received, results and the audit log.

    ``quiet_seconds``: a study is complete when nothing of it came for so long. ``free_mb``: objects are refused when
    less room is left. ``keep_days``: what was received is deleted so long after its work has ended (0: never).
    ``report``: how a study's report becomes DICOM, one of REPORTS. ``status``: the status page, None for none.
    """

    folder: Path
    rules: tuple[Rule, ...]
    ae_title: str = "MEDISEG"
    host: str = "127.0.0.1"
    port: int = 11112
    callers: tuple[Caller, ...] = ()
    destinations: tuple[Destination | WebDestination, ...] = ()
    quiet_seconds: float = 60.0
    free_mb: float = 2000.0
    keep_days: float = 30.0
    case_minutes: float = 60.0
    threads: int = 2
    report: str = "pdf"
    tls: Tls | None = None
    status: StatusPage | None = StatusPage()
    settings: Mapping[str, object] = field(default_factory=dict)


_PARTS: dict[str, Any] = {"rules": Rule, "callers": Caller, "destinations": Destination}
#: settings that name a file; relative to the configuration's own
_FILES = ("certificate", "key", "authority", "authorization")
_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
}


def load_config(path: Path) -> NodeConfig:
    """Read and check a node's YAML file. Raises UsageError in one line for anything unknown, missing or wrong."""
    from mediseg.io import yamltext

    try:
        raw = yamltext.parsed(path.read_bytes(), path.name)
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {error.strerror}") from error
    return checked(raw, path.name, path.parent)


def checked(raw: Any, name: str, base: Path) -> NodeConfig:
    """Return a checked configuration; relative paths lie beside the file (``base``). Raises UsageError."""
    if not isinstance(raw, dict):
        raise UsageError(f"{name}: a node's file is a list of settings, one a line, as `port: 11112`")
    values = dict(raw)
    for part, kind in _PARTS.items():
        entries = values.get(part, [])
        if not isinstance(entries, list):
            raise UsageError(f"{name}: {part} is a list")
        values[part] = tuple(_built(_kind(kind, entry), entry, f"{name}: {part}") for entry in entries)
    if values.get("tls") is not None:
        values["tls"] = _built(Tls, values["tls"], f"{name}: tls")
    has_page = values.get("status") is not False
    if values.get("status") is not None and has_page:
        values["status"] = _built(StatusPage, values["status"], f"{name}: status")
    values["folder"] = base / str(values["folder"]) if values.get("folder") else None
    values = _beside(values, base)
    config: NodeConfig = _built(NodeConfig, {k: v for k, v in values.items() if v is not None}, name)
    if not has_page:
        config = replace(config, status=None)
    _check(config, name)
    return config


def _beside(values: dict[str, Any], base: Path) -> dict[str, Any]:
    """Return settings whose files, as the folder, are looked for beside the configuration, wherever the node starts."""

    def placed(part: Any) -> Any:
        names = [one.name for one in fields(part) if one.name in _FILES and getattr(part, one.name) is not None]
        return replace(part, **{name: str(base / getattr(part, name)) for name in names})

    found = dict(values)
    if isinstance(found.get("tls"), Tls):
        found["tls"] = placed(found["tls"])
    found["destinations"] = tuple(
        placed(one) if isinstance(one, WebDestination) else one for one in found.get("destinations", ())
    )
    return found


def check_files(config: NodeConfig) -> None:
    """Raise UsageError for the first file that the configuration names and that is not there."""
    for part in (config.tls, *config.destinations):
        for name in _FILES:
            path = getattr(part, name, None)
            if path is not None and not Path(path).is_file():
                where = "tls" if isinstance(part, Tls) else "destinations"
                raise UsageError(f"{where}: {name}: there is no file {path}")


def _kind(kind: Any, entry: Any) -> Any:
    """Return what an entry of a list describes: a destination with a ``url`` is one of DICOMweb."""
    return WebDestination if kind is Destination and isinstance(entry, dict) and "url" in entry else kind


def _built(kind: Any, raw: Any, where: str) -> Any:
    if not isinstance(raw, dict):
        raise UsageError(f"{where}: an entry names its settings, as {{{fields(kind)[0].name}: ...}}")
    known = {one.name: one for one in fields(kind)}
    for key, value in raw.items():
        if key not in known:
            raise UsageError(f'{where}: "{key}" is unknown{did_you_mean(str(key), known)}')
        wanted = _KINDS.get(str(known[key].type))
        if wanted is not None and (not isinstance(value, wanted) or isinstance(value, bool) != (wanted == (bool,))):
            raise UsageError(f"{where}: {key} is {value!r}, and has to be {known[key].type}")
    try:
        return kind(**raw)
    except TypeError as error:
        missing = re.findall(r"'(\w+)'", str(error))
        raise UsageError(f"{where}: {' and '.join(missing)} must be given") from error


def _check(config: NodeConfig, name: str) -> None:
    from mediseg.report.pdf import needs_fpdf

    if not config.rules:
        raise UsageError(f"{name}: rules must be given: which recipe runs on what")
    _check_addresses(config, name)
    if config.report not in REPORTS:
        raise UsageError(f'{name}: report is "{config.report}", and has to be one of {", ".join(REPORTS)}')
    if config.report == "pdf":
        needs_fpdf()
    for rule in config.rules:
        _check_rule(rule, name, config.settings)
    if not isinstance(config.settings, Mapping) or config.quiet_seconds < 0 or config.threads < 1:
        raise UsageError(f"{name}: settings, quiet_seconds or threads are out of bounds")


def _check_addresses(config: NodeConfig, name: str) -> None:
    archives = [one for one in config.destinations if isinstance(one, Destination)]
    others = [*(one.ae_title for one in config.callers), *(one.ae_title for one in archives)]
    for title in (config.ae_title, *others):
        if not _TITLE.fullmatch(title):
            raise UsageError(f'{name}: "{title}" is no AE title (1 to 16 characters, no backslash)')
    pages = () if config.status is None else (config.status.port,)
    for port in (config.port, *pages, *(one.port for one in archives)):
        if not 0 <= port <= 65535:
            raise UsageError(f"{name}: there is no port {port}")
    for one in config.destinations:
        if isinstance(one, WebDestination) and not _URL.fullmatch(one.url):
            raise UsageError(f"{name}: a destination's url has to be like https://pacs:8043/dicom-web")


def _check_rule(rule: Rule, name: str, settings: Mapping[str, object]) -> None:
    from mediseg.casefile import check_models
    from mediseg.recipe import load_recipe

    for pattern in (rule.modality, rule.description, rule.body_part):
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f'{name}: "{pattern}" is no pattern: {error}') from error
    check_models(load_recipe(rule.recipe))
