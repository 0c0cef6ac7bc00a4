"""Which stack of a study a recipe works on, and in words why, and why not the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mediseg.errors import Code, Refusal, UsageError, Warn, did_you_mean
from mediseg.io.study import Series, Stack, Study

WHOLE_HEAD_MM = 100.0
MAX_OFF_SAGITTAL_DEG = 45.0
_LOCALIZER = re.compile(r"local|scout|survey|pilot|3[- ]?plane|three[- ]?plane|\bloc\b|aahead|haste_loc", re.I)
_DERIVED = frozenset((
    "PERFUSION", "ASL", "RELCBF", "RELCBV", "CBF", "CBV", "RCBF", "RCBV", "MTT", "TTP", "TMAX", "ADC", "EADC",
    "FA", "TENSOR", "TRACEW", "TRACE", "DIFFUSION", "DIFFUSION_ANISO", "MAP", "T1MAP", "T2MAP", "T2_STAR_MAP",
    "FIELDMAP", "B0", "B1", "PHASE_MAP", "SWI", "MINIP", "MIP", "MNIP", "SUBTRACTION", "SUB", "TTEST", "BOLD",
    "FMRI", "STAT", "SPECTRO", "SCREEN", "SAVE", "PROJECTION", "COMPOSED", "DOSE_INFO", "ERROR",
    "VIBE_DIXON_FF", "FAT_FRACTION", "CSA_RESULT", "MEAN_DIFF",
))  # fmt: skip
_DERIVED_PHRASES = ("PROJECTION IMAGE", "T1 MAP", "T2 MAP", "R2 MAP", "PHASE MAP", "B0 MAP", "B1 MAP", "SCREEN SAVE")
_T1 = re.compile(r"t1|mp2?rage|spgr|bravo|tfl|tfe|fspgr|flash|vibe", re.I)
_NOT_T1 = re.compile(r"t2|flair|\bpd\b|proton|swi|dwi|dti|diff|bold|epi|asl|perf|tof|angio|dark.?fluid|stir", re.I)
_ELSEWHERE = re.compile(r"spine|knee|abdomen|pelvis|chest|thorax|heart|shoulder|hip|ankle|foot|hand|wrist|breast", re.I)


Rejected = tuple[Series | Stack, str]  # what was left out, and why


@dataclass(frozen=True)
class Choice:
    """The stacks that a recipe works on (one, unless ``stations`` were wanted) and the reasons for and against."""

    stacks: tuple[Stack, ...]
    reason: str
    rejected: tuple[Rejected, ...]
    broken: tuple[str, ...] = ()  # files that could not be parsed; a slice of the stack may be among them

    @property
    def stack(self) -> Stack:
        """The stack, or the first of several."""
        return self.stacks[0]

    @property
    def left_out(self) -> tuple[tuple[str, str], ...]:
        """What was left out and why, in words; stacks of one series with one reason (time points) told once."""
        groups: dict[tuple[str, str, str], list[Series | Stack]] = {}
        for item, why in self.rejected:
            key = (item.info.study_uid, item.info.series_uid, "" if item.info.number is None else str(item.info.number))
            groups.setdefault(("\n".join(key), item.info.description, why), []).append(item)
        return tuple((_joint_name(items), why) for (_, _, why), items in groups.items())

    @property
    def warnings(self) -> tuple[Warn, ...]:
        """SERIES_SKIPPED for each that was left out, and for files that begin as DICOM and cannot be parsed."""
        found = [
            Warn(Code.SERIES_SKIPPED, f"{name}: left out, {why}", {"series": name, "reason": why})
            for name, why in self.left_out
        ]
        if self.broken:
            found.append(Warn(Code.SERIES_SKIPPED, damaged(self.broken), {"files": list(self.broken)}))
        return tuple(found)


def damaged(files: Sequence[str]) -> str:
    """Say which files could not be parsed or unpacked."""
    if len(files) == 1:
        return f"1 file is damaged and was left out: {files[0]}"
    return f"{len(files)} files are damaged and were left out: {files[0]}, ..."


def _joint_name(items: Sequence[Series | Stack]) -> str:
    if len(items) < 4:
        return "; ".join(item.name for item in items)
    return f"{items[0].name} and {len(items) - 1} more stacks of it"


def choose(study: Study, wanted: str = "head") -> Choice:
    """Return what to work on: the best ``head`` volume, a sagittal ``slice`` (or stack), or a spine's ``stations``.

    ``any`` is ``head`` that takes a single slice of any orientation, too. docs/series-choice.md has the rules.

    The same study gives the same answer whatever the order of its files. Raises Refusal with the reasons when nothing
    is fit, UsageError for another word.
    """
    fit, rejected = sorted_out(study, wanted)
    if not fit:
        refusal = _nothing_fit(study, Choice((), "", tuple(rejected)).left_out, wanted)
        refusal += f"; {damaged(study.broken)}; copy the study again" if study.broken else ""
        raise Refusal(refusal, tuple(w for stack in study.stacks for w in stack.warnings))
    _same_study(fit)
    return replace(_WANTED[wanted](fit, rejected), broken=study.broken)


def sorted_out(study: Study, wanted: str) -> tuple[list[Stack], list[Rejected]]:
    """Return the stacks that could serve, and what could not with the reason. Raises UsageError for another word."""
    if wanted not in _WANTED:
        raise UsageError(f'no input "{wanted}"{did_you_mean(wanted, _WANTED)}')
    rejected: list[Rejected] = [(one, one.unfit) for one in study.series if one.unfit]
    fit: list[Stack] = []
    for stack in study.stacks:
        why = _other_modality(stack, study) or _unfit(stack, wanted)
        if why is None:
            fit.append(stack)
        else:
            rejected.append((stack, why))
    return fit, rejected


def _nothing_fit(study: Study, left_out: Sequence[tuple[str, str]], wanted: str) -> str:
    modalities = sorted({one.info.modality for one in study.series})
    shown = [f"{name}: {why}" for name, why in left_out[:3]]
    more = f"; and {len(left_out) - 3} more" if len(left_out) > 3 else ""
    if modalities == [""]:
        return f"the study does not say what it is ({'; '.join(shown)}{more})"
    if modalities and "MR" not in modalities:
        return f"the study is {', '.join(modalities)}; this recipe needs MR ({'; '.join(shown)}{more})"
    need = {"head": "a head volume", "any": "an image", "slice": "a sagittal slice", "stations": "spine stations"}[
        wanted
    ]
    return f"nothing in the study is fit as {need}: {'; '.join(shown)}{more}"


def _same_study(fit: Sequence[Stack]) -> None:
    count = len({stack.info.study_uid for stack in fit})
    if count > 1:
        raise Refusal(
            f"the input holds images of {count} studies, so it is not clear whose to take; give one study at a time"
        )


def _other_modality(stack: Stack, study: Study) -> str | None:
    if stack.info.modality:
        return None if stack.info.modality == "MR" else f"it is {stack.info.modality}; this recipe needs MR"
    count, first = len(stack.files), study.identity.safe_path(stack.files[0])
    which = f"{first} and the {count - 1} other files of it do" if count > 1 else f"{first} does"
    return f"{which} not say that it is MR; if it is, write that into the header: dcmodify -i Modality=MR FILE..."


def _unfit(stack: Stack, wanted: str) -> str | None:
    """Say why a stack cannot serve at all, or return None."""
    if stack.unfit is not None:
        return stack.unfit
    if stack.component != "M":
        return {"P": "it shows phase", "R": "it is the real part", "I": "it is the imaginary part"}[stack.component]
    if kind := derived_kind(stack):
        return f"it is a computed map or projection ({kind}), not an anatomical image"
    count = sum(one is not None for one in stack.slices)
    if wanted == "head" and count < 2:
        return "it is a single slice"
    if wanted == "slice" and not is_sagittal(stack):
        return "its slices are not sagittal"
    return None


def derived_kind(stack: Stack) -> str:
    """Return the word of ImageType that marks a computed map, or an empty text."""
    for word in stack.image_type[2:]:
        upper = word.upper()
        if upper in _DERIVED or upper in _DERIVED_PHRASES:
            return word
    return ""


def is_sagittal(stack: Stack) -> bool:
    """True when the slices' normal is within 45 degrees of left-right."""
    if stack.geometry is None:
        return False
    axes = stack.geometry.axes_lps
    normal = np.cross(axes[:, 0], axes[:, 1])
    return bool(abs(normal[0]) / np.linalg.norm(normal) >= np.cos(np.radians(MAX_OFF_SAGITTAL_DEG)))


def is_localizer(stack: Stack) -> bool:
    """True for a planning scan, by ImageType or description."""
    words = f"{stack.info.description} {stack.facts.get('series_description', '')}"
    return "LOCALIZER" in (word.upper() for word in stack.image_type) or bool(_LOCALIZER.search(words))


def is_t1(stack: Stack) -> bool:
    """True when description or sequence say T1, or, where they say nothing, the echo and repetition times do."""
    words = f"{stack.info.description} {stack.info.sequence}"
    if _NOT_T1.search(words) and not re.search(r"t1", words, re.I):
        return False
    if _T1.search(words):
        return True
    echo, repetition = stack.facts.get("echo_time_ms"), stack.facts.get("repetition_time_ms")
    short_echo = isinstance(echo, int | float) and 0 < echo <= 25
    return short_echo and isinstance(repetition, int | float) and 0 < repetition <= 900


def is_normalised(stack: Stack) -> bool:
    """True for an image whose receive-coil shading the scanner evened out (ImageType NORM)."""
    return "NORM" in stack.image_type


def _extents(stack: Stack) -> tuple[float, ...]:
    return tuple(sorted(stack.extent_mm))


def _spacings(stack: Stack) -> tuple[float, ...]:
    return tuple(sorted(stack.geometry.spacing_mm)) if stack.geometry is not None else (99.0,) * 3


def _coarseness(spacing_mm: float) -> int:
    """0 fine (to 1.5 mm), 1 usable (to 3 mm), 2 thick: within a class the contrast counts more than the voxel."""
    return 0 if spacing_mm <= 1.51 else 1 if spacing_mm <= 3.01 else 2


def _identity_order(stack: Stack) -> tuple[object, ...]:
    number = stack.info.number if stack.info.number is not None else 1 << 40
    first = next((one.sop_uid for one in stack.slices if one is not None), "")
    echo = stack.facts.get("echo_time_ms", 0.0)
    return (number, stack.info.series_uid, float(echo) if isinstance(echo, int | float) else 0.0, first, stack.label)


def _midline_coarseness(stack: Stack) -> int:
    """Coarseness of the image that the mid-sagittal plane cuts out: of the two axes that lie in it."""
    if stack.geometry is None:
        return 2
    across = int(np.abs(stack.geometry.axes_lps[0]).argmax())
    return _coarseness(max(np.delete(stack.geometry.spacing_mm, across)))


def _plane_rank(stack: Stack) -> int:
    """0 sagittal, 1 coronal, 2 axial."""
    if stack.geometry is None:
        return 3
    axes = stack.geometry.axes_lps
    return int(np.abs(np.cross(axes[:, 0], axes[:, 1])).argmax())


Test = tuple[Callable[[Stack], float | int | bool], str]
# In order of weight. Each says what is better, so that the reason can be told in words.
_HEAD_TESTS: tuple[Test, ...] = (
    (is_localizer, "it is a localizer"),
    (lambda s: bool(_ELSEWHERE.search(s.info.body_part)), "it shows another part of the body"),
    (lambda s: _extents(s)[0] < WHOLE_HEAD_MM, "it does not cover a whole head"),
    (_midline_coarseness, "a mid-sagittal image of it would be coarser"),
    (lambda s: _coarseness(_spacings(s)[2]), "its slices are thicker"),
    (lambda s: not is_t1(s), "it is not T1-weighted"),
    (lambda s: s.image_type[:1] == ("DERIVED",), "it is computed from other images"),
    (lambda s: round(s.geometry.voxel_mm3 if s.geometry else 99.0, 2), "its voxels are coarser"),
    (lambda s: -round(float(np.prod(_extents(s))) / 1e5), "it covers less"),
    (lambda s: not is_normalised(s), "it is the raw copy, not normalised (coil shading is not evened out)"),
    (_plane_rank, "it is alike, but sagittal comes before coronal before axial"),
)
_SLICE_TESTS: tuple[Test, ...] = (
    (lambda s: bool(_ELSEWHERE.search(s.info.body_part)), "it shows another part of the body"),
    (is_localizer, "it is a localizer"),
    (lambda s: round(max(s.geometry.spacing_mm[:2]), 1) if s.geometry else 99.0, "its pixels are coarser"),
    (lambda s: not is_t1(s), "it is not T1-weighted"),
    (lambda s: s.image_type[:1] == ("DERIVED",), "it is computed from other images"),
    (lambda s: _spacings(s)[2], "its slices are further apart"),
    (lambda s: not is_normalised(s), "it is the raw copy, not normalised (coil shading is not evened out)"),
)


def _best(fit: list[Stack], rejected: list[Rejected], tests: tuple[Test, ...]) -> Choice:
    ranked = sorted(fit, key=lambda stack: (*(test(stack) for test, _ in tests), _identity_order(stack)))
    best = ranked[0]
    others = [(stack, f"{best.name} was preferred: {_worse(stack, best, tests)}") for stack in ranked[1:]]
    return Choice((best,), f"{best.name}: {_described(best)}", (*rejected, *others))


def _worse(stack: Stack, best: Stack, tests: tuple[Test, ...]) -> str:
    return next((why for test, why in tests if test(stack) != test(best)), _later(stack, best))


def _later(stack: Stack, best: Stack) -> str:
    """Say what puts one of two stacks last that are equal in all that counts (see _identity_order)."""
    if (stack.info.number, stack.info.series_uid) != (best.info.number, best.info.series_uid):
        return "it is alike, and a later series"
    if stack.facts.get("echo_time_ms") != best.facts.get("echo_time_ms"):
        return "it is alike, and a later echo"
    return "it is a repetition, later in the same series"


def _head(fit: list[Stack], rejected: list[Rejected]) -> Choice:
    return _best(fit, rejected, _HEAD_TESTS)


def _slice(fit: list[Stack], rejected: list[Rejected]) -> Choice:
    return _best(fit, rejected, _SLICE_TESTS)


def _described(stack: Stack) -> str:
    assert stack.geometry is not None
    i, j, k = stack.geometry.shape
    x, y, z = stack.geometry.spacing_mm
    words = [f"MR, {k} slices of {i} x {j}, {x:.3g} x {y:.3g} x {z:.3g} mm"]
    words += ["T1-weighted"] if is_t1(stack) else []
    words += ["normalised"] if is_normalised(stack) else []
    words += ["a localizer, for want of better"] if is_localizer(stack) else []
    return ", ".join(words)


def _stations(fit: list[Stack], rejected: list[Rejected]) -> Choice:
    """The largest set of stacks of one contrast that lie one above the other; in order from the top."""
    groups: dict[tuple[object, ...], list[Stack]] = {}
    for stack in fit:
        groups.setdefault(_station_key(stack), []).append(stack)
    chains = {key: _without_repeats(members) for key, members in groups.items()}
    # sagittal stacks first: axial blocks through the discs may be more than the stations
    best_key = min(
        chains, key=lambda key: (len(chains[key]) < 2, not key[0], -len(chains[key]), _identity_order(chains[key][0]))
    )
    best = chains[best_key]
    if len(best) < 2:
        raise Refusal(
            "no two stations of one contrast lie one above the other; give the stations of one spine examination"
        )
    chosen = {id(stack) for stack in best}
    others: list[Rejected] = [
        (stack, _no_station(stack, best_key, best[0])) for stack in fit if id(stack) not in chosen
    ]
    names = ", ".join(stack.name for stack in best)
    return Choice(tuple(best), f"{len(best)} stations from the top: {names}", (*rejected, *others))


def _no_station(stack: Stack, best_key: tuple[object, ...], first: Stack) -> str:
    """Say why a stack is none of the stations."""
    if _station_key(stack) == best_key:
        return "it repeats a station"
    if is_localizer(stack) and not is_localizer(first):
        return "it is a localizer"
    if is_sagittal(first) and not is_sagittal(stack):
        return "its slices are not sagittal"
    return "its contrast differs (sequence, echo or repetition time, flip angle)"


def _station_key(stack: Stack) -> tuple[object, ...]:
    def rounded(name: str, digits: int) -> float | None:
        value = stack.facts.get(name)
        return round(float(value), digits) if isinstance(value, int | float) else None

    times = (rounded("echo_time_ms", 0), rounded("repetition_time_ms", -2), rounded("flip_angle_deg", -1))
    return (is_sagittal(stack) and not is_localizer(stack), is_localizer(stack), stack.info.sequence, *times)


def _without_repeats(stacks: list[Stack]) -> list[Stack]:
    """Keep one stack a height (the larger, then the later), from superior to inferior."""
    kept: list[Stack] = []
    order = sorted(stacks, key=lambda s: (-float(np.prod(s.extent_mm)), *(_negated(_identity_order(s)))))
    for stack in order:
        heights = [abs(_height(stack) - _height(other)) for other in kept]
        if all(apart > 0.25 * _tall(stack) for apart in heights):
            kept.append(stack)
    return sorted(kept, key=lambda s: -_height(s))


def _negated(order: tuple[object, ...]) -> tuple[object, ...]:
    number, *rest = order
    return (-number if isinstance(number, int) else 0, *rest)


def _height(stack: Stack) -> float:
    assert stack.geometry is not None
    return float(stack.geometry.center_lps_mm[2])


def _tall(stack: Stack) -> float:
    assert stack.geometry is not None
    corners = stack.geometry.corners_lps_mm()[:, 2]
    return float(corners.max() - corners.min())


_WANTED: dict[str, Callable[[list[Stack], list[Rejected]], Choice]] = {
    "head": _head,
    "any": _head,
    "slice": _slice,
    "stations": _stations,
}
