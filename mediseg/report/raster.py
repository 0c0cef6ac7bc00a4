"""Figures and text as pixels: the same drawings that the page shows as SVG, for archives that hold only pictures.

Colours come from the page's style sheet, so that both look alike. The font is the one that Pillow carries: it knows
ASCII and a few signs, so text is spelt with those.
"""

from __future__ import annotations

import base64
import io
import re
import unicodedata
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from mediseg.report import svg

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

Points = list[tuple[float, float]]
_FINER = 2  # lines are drawn this much larger, then shrunk, which makes them smooth
_SPELT = str.maketrans({
    "×": "x", "–": "-", "—": "-", "−": "-", "²": "2", "³": "3", "≤": "<=", "≥": ">=", "≈": "~", "µ": "u", "→": "->",
    "‘": "'", "’": "'", "ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "æ": "ae", "√": "sqrt",
})  # fmt: skip
_KEPT = "°·±…“”"
#: layer of a drawing -> (name of its colour in the style sheet, or the colour itself; line width)
_STROKES = {
    "contour": ("contour", 1.6),
    "medial": ("#ffffff", 1.2),
    "acpc": ("acpc", 1.5),
    "roi-robust": ("robust", 2.0),
    "roi-given": ("robust", 2.0),
    "roi-final": ("final", 1.5),
    "roi-box": ("box", 1.5),
    "roi-line": ("lineroi", 1.5),
    "mask": ("#ffcf33", 1.2),
    "scale": ("#ffffff", 1.5),
    "ruler": ("#ffffff", 1.0),
    "composite": ("ink", 1.2),
}
_HIDDEN = "grid"  # the page shows it when asked; paper cannot be asked
_PLAN_WIDTHS = {"edge": 1.8, "fov": 1.4, "": 0.6}


@lru_cache(maxsize=32)
def font(size: int) -> FreeTypeFont:
    """Return the font that Pillow carries, in pixels."""
    from PIL import ImageFont

    found = ImageFont.load_default(size)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType, so it cannot write the report's text")
    return found


def spelt(text: str) -> str:
    """Return a text with the signs that the font has: others lose their accents, or become ``?``."""
    plain = unicodedata.normalize("NFKD", text.translate(_SPELT))
    return "".join(c if c.isascii() or c in _KEPT else "?" for c in plain if not unicodedata.combining(c))


@lru_cache(maxsize=1)
def colours() -> dict[str, str]:
    """Return the style sheet's colours by name."""
    css = (resources.files("mediseg.report") / "templates" / "style.css").read_text(encoding="utf-8")
    return dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{3,6})", css))


def rgb(name: str) -> tuple[int, int, int]:
    """Return a colour by its name in the style sheet, or ``#rgb`` or ``#rrggbb`` itself."""
    code = colours().get(name, name).lstrip("#")
    full = code if len(code) == 6 else "".join(2 * c for c in code)
    return int(full[:2], 16), int(full[2:4], 16), int(full[4:], 16)


def part_colour(number: int) -> tuple[int, int, int]:
    """Return the colour of a part; the style sheet's seven come round again."""
    return rgb(f"p{(number - 1) % 7 + 1}")


def outlines(d: str) -> list[tuple[Points, bool]]:
    """Return the lines of a path made of M, L and Z, each with whether it is closed."""
    found = []
    for part in re.findall(r"M([^M]*)", d):
        numbers = [float(word) for word in re.findall(r"-?\d*\.?\d+", part)]
        found.append((list(zip(numbers[::2], numbers[1::2], strict=True)), part.rstrip().endswith("Z")))
    return found


class Canvas:
    """A picture that is drawn on in the figure's own lengths; ``finish`` gives its pixels."""

    def __init__(self, width_px: int, height_px: int, scale: float, ground: Image | None = None) -> None:
        from PIL import Image, ImageDraw

        size = (width_px * _FINER, height_px * _FINER)
        self.image = Image.new("RGB", size, "white") if ground is None else ground.convert("RGB").resize(size)
        self.scale = scale * _FINER
        self.size = (width_px, height_px)
        self._draw = ImageDraw.Draw(self.image, "RGBA")

    def line(self, points: Points, colour: tuple[int, ...], width_px: float, *, closed: bool = False) -> None:
        """Draw a line; ``width_px`` is of the finished picture."""
        ends = [(x * self.scale, y * self.scale) for x, y in [*points, *(points[:1] if closed else [])]]
        self._draw.line(ends, fill=colour, width=max(1, round(width_px * _FINER)), joint="curve")

    def fill(self, lines: list[Points], colour: tuple[int, int, int], share: float) -> None:
        """Fill outlines by the even-odd rule, so that holes stay holes."""
        from PIL import Image, ImageChops, ImageDraw

        mask = Image.new("1", self.image.size)
        for points in lines:
            one = Image.new("1", self.image.size)
            if len(points) >= 3:
                ImageDraw.Draw(one).polygon([(x * self.scale, y * self.scale) for x, y in points], fill=1)
            mask = ImageChops.logical_xor(mask, one)
        self.image.paste(colour, mask=mask.convert("L").point(lambda value: int(value * share)))

    def text(self, at: tuple[float, float], text: str, colour: tuple[int, ...], size: float, anchor: str) -> None:
        """Write a text with a dark rim; ``size`` in the figure's lengths, ``anchor`` as in SVG."""
        letters = font(max(8, round(size * self.scale)))
        self._draw.text(
            (at[0] * self.scale, at[1] * self.scale), spelt(text), fill=colour, font=letters,
            anchor={"start": "ls", "middle": "ms", "end": "rs"}[anchor],
            stroke_width=max(1, round(0.06 * size * self.scale)), stroke_fill=(0, 0, 0),
        )  # fmt: skip

    def finish(self) -> Image:
        """Return the picture at its true size."""
        from PIL import Image

        return self.image.resize(self.size, Image.Resampling.LANCZOS)


def drawn(figure: svg.Figure, width_px: int) -> Image:
    """Return a figure with all of its layers, ``width_px`` wide."""
    from PIL import Image

    ground = Image.open(io.BytesIO(base64.b64decode(figure.image.partition(",")[2])))
    scale = width_px / figure.width
    canvas = Canvas(width_px, max(1, round(figure.height * scale)), scale, ground)
    for layer in figure.layers:
        _draw_layer(canvas, layer, figure.font_mm)
    return canvas.finish()


def _draw_layer(canvas: Canvas, layer: svg.Layer, font_mm: float) -> None:
    if layer.key == _HIDDEN:
        return
    for path in layer.paths:
        lines = outlines(path.d)
        if layer.key == "parts":
            canvas.fill([points for points, _ in lines], part_colour(int(path.style.removeprefix("part-"))), 0.5)
        elif path.style != "slab":
            colour, width = stroke(layer.key, path.style)
            for points, closed in lines:
                canvas.line(points, colour, width, closed=closed)
    letters = _letters(layer.key)
    for label in layer.labels:
        canvas.text((label.x, label.y), label.text, letters, font_mm, label.anchor)


def _letters(key: str) -> tuple[int, int, int]:
    if key.startswith("plan-"):
        return rgb(key.removeprefix("plan-"))
    return _station_colour(key) if key.startswith("station-") else (233, 242, 247)


def _station_colour(key: str) -> tuple[int, int, int]:
    """Return the colour of ``station-N``; the style sheet's seven come round again."""
    return rgb(f"st{(int(key.removeprefix('station-')) - 1) % 7 + 1}")


def stroke(key: str, style: str) -> tuple[tuple[int, ...], float]:
    """Return the colour and the width in pixels of a layer's lines."""
    if key.startswith("plan-"):
        return (*rgb(key.removeprefix("plan-")), 255 if style else 107), _PLAN_WIDTHS[style]
    if key.startswith("station-"):
        return _station_colour(key), 1.6
    name, width = _STROKES.get(key, ("#ffffff", 1.5))
    return rgb(name), width


def charted(chart: svg.Chart, width_px: int) -> Image:
    """Return a line chart with its axes and bands, ``width_px`` wide."""
    scale = width_px / chart.width
    canvas = Canvas(width_px, round(chart.height * scale), scale)
    ink, soft = rgb("ink"), rgb("line")
    floor, end = chart.height - chart.bottom, chart.width - chart.right
    for y, _ in chart.y_ticks:
        canvas.line([(chart.left, y), (end, y)], soft, 1)
    for x, width, number, _ in chart.bands:
        box = [(x, chart.top), (x + width, chart.top), (x + width, floor), (x, floor)]
        canvas.fill([box], part_colour(number), 0.25)
    for points, _ in outlines(chart.curve):
        canvas.line(points, rgb("accent"), 2)
    canvas.line([(chart.left, chart.top), (chart.left, floor), (end, floor)], ink, 1.2)
    middle = (chart.left + end) / 2
    return _labelled(
        canvas.finish(),
        [
            *((chart.left - 1.5, y + 1.2, text, "rs", 3.4) for y, text in chart.y_ticks),
            *((x, floor + 4.6, text, "ms", 3.4) for x, text in chart.x_ticks),
            (chart.left, floor + 9.8, "rostrum", "ls", 3.6),
            (middle, floor + 9.8, chart.x_title, "ms", 3.6),
            (end, floor + 9.8, "splenium", "rs", 3.6),
            (chart.left, chart.top - 1, chart.y_title, "ls", 3.6),
        ],
        scale,
    )


def _labelled(image: Image, labels: list[tuple[float, float, str, str, float]], scale: float) -> Image:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(image)
    for x, y, text, anchor, size in labels:
        draw.text((x * scale, y * scale), spelt(text), fill=rgb("ink"), font=font(round(size * scale)), anchor=anchor)
    return image


def pixels(image: Image) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Return a picture as an array (rows, columns, red green blue)."""
    return np.asarray(image.convert("RGB"), dtype=np.uint8)
