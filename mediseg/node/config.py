"""What a node is told in its YAML file: who may send, what runs on what, where results go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mediseg.errors import UsageError, did_you_mean

_TITLE = re.compile(r"[ -\[\]-~]{1,16}")


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
class Rule:
    """A recipe, and the series it is for: patterns (searched for, any case) that one series has to fit altogether."""

    recipe: str
    modality: str = ""
    description: str = ""
    body_part: str = ""

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
class NodeConfig:
    """A node. ``folder`` holds the queue, what was received, results and the audit log.

    ``quiet_seconds``: a study is complete when nothing of it came for so long. ``free_mb``: objects are refused when
    less room is left. ``keep_days``: what was received is deleted so long after its work has ended (0: never).
    """

    folder: Path
    rules: tuple[Rule, ...]
    ae_title: str = "MEDISEG"
    host: str = "127.0.0.1"
    port: int = 11112
    callers: tuple[Caller, ...] = ()
    destinations: tuple[Destination, ...] = ()
    quiet_seconds: float = 60.0
    free_mb: float = 2000.0
    keep_days: float = 30.0
    case_minutes: float = 60.0
    threads: int = 2
    tls: Tls | None = None
    settings: Mapping[str, object] = field(default_factory=dict)


_PARTS: dict[str, Any] = {"rules": Rule, "callers": Caller, "destinations": Destination}
_KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "str | None": (str,), "int": (int,), "float": (int, float)}


def load_config(path: Path) -> NodeConfig:
    """Read and check a node's YAML file. Raises UsageError in one line for anything unknown, missing or wrong."""
    from mediseg.io import yamltext

    try:
        raw = yamltext.parsed(path.read_bytes(), path.name)
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {error.strerror}") from error
    return checked(raw, path.name, path.parent)


def checked(raw: Any, name: str, base: Path) -> NodeConfig:
    """Return a checked configuration; a relative ``folder`` lies beside the file (``base``). Raises UsageError."""
    if not isinstance(raw, dict):
        raise UsageError(f"{name}: a node's file is a list of settings, one a line, as `port: 11112`")
    values = dict(raw)
    for part, kind in _PARTS.items():
        entries = values.get(part, [])
        if not isinstance(entries, list):
            raise UsageError(f"{name}: {part} is a list")
        values[part] = tuple(_built(kind, entry, f"{name}: {part}") for entry in entries)
    if values.get("tls") is not None:
        values["tls"] = _built(Tls, values["tls"], f"{name}: tls")
    values["folder"] = base / str(values["folder"]) if values.get("folder") else None
    config: NodeConfig = _built(NodeConfig, {k: v for k, v in values.items() if v is not None}, name)
    _check(config, name)
    return config


def _built(kind: Any, raw: Any, where: str) -> Any:
    if not isinstance(raw, dict):
        raise UsageError(f"{where}: an entry names its settings, as {{{fields(kind)[0].name}: ...}}")
    known = {one.name: one for one in fields(kind)}
    for key, value in raw.items():
        if key not in known:
            raise UsageError(f'{where}: "{key}" is unknown{did_you_mean(str(key), known)}')
        wanted = _KINDS.get(str(known[key].type))
        if wanted is not None and (not isinstance(value, wanted) or isinstance(value, bool)):
            raise UsageError(f"{where}: {key} is {value!r}, and has to be {known[key].type}")
    try:
        return kind(**raw)
    except TypeError as error:
        missing = re.findall(r"'(\w+)'", str(error))
        raise UsageError(f"{where}: {' and '.join(missing)} must be given") from error


def _check(config: NodeConfig, name: str) -> None:
    if not config.rules:
        raise UsageError(f"{name}: rules must be given: which recipe runs on what")
    others = [*(one.ae_title for one in config.callers), *(one.ae_title for one in config.destinations)]
    titles = [config.ae_title, *others]
    for title in titles:
        if not _TITLE.fullmatch(title):
            raise UsageError(f'{name}: "{title}" is no AE title (1 to 16 characters, no backslash)')
    for port in (config.port, *(one.port for one in config.destinations)):
        if not 0 <= port <= 65535:
            raise UsageError(f"{name}: there is no port {port}")
    for rule in config.rules:
        _check_rule(rule, name, config.settings)
    if not isinstance(config.settings, Mapping) or config.quiet_seconds < 0 or config.threads < 1:
        raise UsageError(f"{name}: settings, quiet_seconds or threads are out of bounds")


def _check_rule(rule: Rule, name: str, settings: Mapping[str, object]) -> None:
    from mediseg.casefile import check_models
    from mediseg.recipe import load_recipe

    for pattern in (rule.modality, rule.description, rule.body_part):
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f'{name}: "{pattern}" is no pattern: {error}') from error
    check_models(load_recipe(rule.recipe))
