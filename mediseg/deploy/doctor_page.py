"""What the doctor found, as lines for a terminal and as one page to hand to whoever looks after the computer."""

from __future__ import annotations

from html import escape

from mediseg.deploy.doctor import Examination

_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{text-align:left;vertical-align:top;"
    "padding:.3rem .6rem;border-bottom:1px solid #d5d9de;white-space:nowrap}"
    "td:last-child{white-space:normal;overflow-wrap:anywhere}"
    ".ok{color:#0a6b2d}.bad{color:#a40e26;font-weight:600}small{color:#4d5560}"
)
_USE = "Research use only; not a medical device."


def verdict(found: Examination) -> str:
    """Return one line: all well, or how many checks are not."""
    wrong = sum(not check.ok for check in found.checks)
    if not wrong:
        return f"sound: {len(found.checks)} checks passed, {found.seconds:.1f} s, {found.peak_mb:.0f} MB at most"
    return f"not sound: {wrong} of {len(found.checks)} checks failed"


def as_text(found: Examination) -> str:
    """Return the lines that a terminal shows."""
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in found.facts.items()]
    for check in found.checks:
        advice = f"; {check.advice}" if check.advice else ""
        lines.append(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.found}{advice}")
    lines += [f"time {step.name}: {step.seconds:.1f} s, {step.peak_mb:.0f} MB" for step in found.steps]
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes), verdict(found)])


def as_html(found: Examination) -> str:
    """Return one self-contained page."""
    facts = "".join(_row(name.replace("_", " "), value) for name, value in found.facts.items())
    checks = "".join(_check_row(c.ok, c.name, c.found, c.advice) for c in found.checks)
    steps = "".join(_row(s.name, f"{s.seconds:.1f} s", f"{s.peak_mb:.0f} MB") for s in found.steps)
    notes = "".join(f"<p>{escape(note)}</p>" for note in found.notes)
    mood = "ok" if found.is_sound else "bad"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>mediseg doctor</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>mediseg doctor</h1>"
        f'<p class="{mood}">{escape(verdict(found))}</p>{notes}'
        f"<h2>Installation</h2><table><tbody>{facts}</tbody></table>"
        "<h2>Checks</h2><table><thead><tr><th>Result</th><th>Check</th><th>Found</th></tr></thead>"
        f"<tbody>{checks}</tbody></table>"
        "<h2>Time and memory on the phantom</h2><table><thead><tr><th>Step</th><th>Time</th><th>Memory</th></tr>"
        f"</thead><tbody>{steps}</tbody></table><small>{_USE}</small></main></body></html>\n"
    )


def _row(head: str, *cells: str) -> str:
    return f'<tr><th scope="row">{escape(head)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'


def _check_row(ok: bool, name: str, found: str, advice: str) -> str:
    word, mood = ("passed", "ok") if ok else ("FAILED", "bad")
    more = f"<br><strong>{escape(advice)}</strong>" if advice else ""
    return f'<tr><td class="{mood}">{word}</td><td>{escape(name)}</td><td>{escape(found)}{more}</td></tr>'
