"""``mediseg steps``: every step with its values, settings, units and defaults."""

from __future__ import annotations

import json
from typing import Any

import click


@click.command("steps", short_help="list the steps", epilog="Example: mediseg steps extract_brain")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a step.")
def command(name: str | None, as_json: bool) -> int:
    """List the steps, or describe the step NAME with every parameter, its unit and default."""
    from mediseg.steps import describe, describe_all

    for info in (describe(name),) if name else describe_all():
        if as_json:
            click.echo(json.dumps(_fields(info)))
        else:
            click.echo(_text(info, whole=name is not None))
    return 0


def _fields(info: Any) -> dict[str, Any]:
    settings = {
        s.name: {
            "type": s.type.__name__,
            "default": s.default,
            "unit": s.unit,
            "low": s.setting.low,
            "high": s.setting.high,
            "choices": list(s.setting.choices),
            "doc": s.setting.doc,
        }
        for s in info.settings.values()
    }
    return {"name": info.name, "gives": info.gives, "takes": info.values, "settings": settings, "doc": info.doc}


def _text(info: Any, *, whole: bool) -> str:
    takes = ", ".join(value if required else f"[{value}]" for value, required in info.values.items())
    lines = [f"{info.name}: {takes} -> {info.gives}"]
    for s in info.settings.values():
        unit = f" {s.unit}" if s.unit else ""
        bounds = f", {s.setting.low:g} to {s.setting.high:g}" if s.setting.low is not None else ""
        choices = f", one of {', '.join(s.setting.choices)}" if s.setting.choices else ""
        lines.append(f"    {s.name} = {s.default}{unit} ({s.type.__name__}{bounds}{choices}): {s.setting.doc}")
    if whole:
        lines += ["", info.doc]
    return "\n".join(lines)
