"""What the steps give: frozen records, lengths in mm, points in LPS mm unless a name says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from mediseg.errors import Warn
from mediseg.geometry import Array, Geometry, Plane, Rigid
from mediseg.volume import CodedConcept, RotatedROI, Segmentation, Volume


@dataclass(frozen=True, eq=False)
class BiasCorrection:
    """``corrected = head / field``; the field is multiplicative, positive, with mean 1 inside the mask."""

    corrected: Volume
    field: Volume
    warnings: tuple[Warn, ...] = ()


@dataclass(frozen=True, eq=False)
class Brain:
    """The brain on the head's own grid, the signed distance to its border (mm, negative inside), confidence 0..1."""

    mask: Segmentation
    distance: Volume
    confidence: float
    warnings: tuple[Warn, ...] = ()

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """The brain's volume."""
        code = CodedConcept("118565006", "SCT", "Volume")
        return (Measurement("brain_volume", self.mask.volume_ml(), "ml", code, method="voxels of the mask"),)


@dataclass(frozen=True, eq=False)
class Midsagittal:
    """The mid-sagittal image (one slice) and its plane.

    ``plane.normal_lps`` points to the patient's left. ``tilt_deg`` is the angle between it and the normal of the
    source's nearest stack axis. ``is_source_slice``: the image is a slice as acquired, not resampled.
    """

    image: Volume
    plane: Plane
    tilt_deg: float
    is_source_slice: bool = False
    warnings: tuple[Warn, ...] = ()


@dataclass(frozen=True, eq=False)
class Frame:
    """A direction through a point: the AC-PC line (midpoint, from AC to PC)."""

    center_lps_mm: Array
    direction_lps: Array


@dataclass(frozen=True, eq=False)
class Callosum:
    """The corpus callosum on the mid-sagittal image's own grid: mask, probability 0..1, and the AC-PC frame if known.

    ``plausibility`` compares the shape to the training population (0..1); ``certainty`` is the mean probability inside.
    """

    mask: Segmentation
    probability: Volume
    acpc: Frame | None = None
    plausibility: float = 1.0
    certainty: float = 1.0
    warnings: tuple[Warn, ...] = ()


@dataclass(frozen=True, slots=True)
class Estimate:
    """One way to read a rectangle off the callosum, on the face-left image.

    ``center_mm``: (x to posterior, y to inferior) from the image's middle. ``angle_deg``: positive when the posterior
    end lies lower. ``size_mm``: long and short side; 0 across for a line.
    """

    center_mm: tuple[float, float]
    angle_deg: float
    size_mm: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Localization:
    """The rotated ROI, the estimates it was chosen from (box, line, final, robust), and a confidence 0..1."""

    roi: RotatedROI
    method: str
    estimates: Mapping[str, Estimate]
    confidence: float
    warnings: tuple[Warn, ...] = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value with its unit (UCUM), code, normal range where one is published, how it was made, and whence."""

    name: str
    value: float
    unit: str
    code: CodedConcept | None = None
    low: float | None = None
    high: float | None = None
    method: str = ""
    source: str = ""


@dataclass(frozen=True, eq=False)
class Measurements:
    """Named values, the thickness profile along the medial line (rostrum to splenium), and the parts on the grid.

    ``thickness_mm`` (100,); ``medial_line_lps_mm`` (100, 3). ``fastsurfer_parts``: the same mask in FreeSurfer's and
    FastSurfer-CC's numbers, 251 (posterior) to 255 (anterior). ``lines_lps_mm``: what was measured along, by name, as
    pairs of ends (n, 2, 3): ``thickness`` (one a point) and ``cc_index`` (longest, anterior, middle, posterior).
    """

    values: tuple[Measurement, ...]
    thickness_mm: npt.NDArray[np.float64]
    medial_line_lps_mm: npt.NDArray[np.float64]
    parts: Segmentation
    fastsurfer_parts: Segmentation | None = None
    lines_lps_mm: Mapping[str, Array] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[Warn, ...] = ()

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """The values, under the name that every result with measurements has."""
        return self.values

    def __getitem__(self, name: str) -> Measurement:
        for measurement in self.values:
            if measurement.name == name:
                return measurement
        raise KeyError(name)


@dataclass(frozen=True)
class SliceGroup:
    """Parallel slices as DICOM says it.

    ``image_orientation``: six cosines, the direction of rows first; ``image_position_mm``: centre of the first slice's
    first pixel; ``fov_mm``: along rows, along columns; slices follow ``normal_lps`` (rows x columns), one every
    ``thickness_mm + gap_mm``; ``center_lps_mm``: middle of the group.
    """

    name: str  # transversal | coronal | sagittal
    image_orientation: tuple[float, float, float, float, float, float]
    image_position_mm: tuple[float, float, float]
    center_lps_mm: tuple[float, float, float]
    normal_lps: tuple[float, float, float]
    slices: int
    thickness_mm: float
    gap_mm: float
    fov_mm: tuple[float, float]
    pixel_mm: float
    phase_direction: str  # ROW | COL, as DICOM's InPlanePhaseEncodingDirection
    angulation: str  # such as "T > C -12.3"


@dataclass(frozen=True)
class ScanPlan:
    """Slice groups for the next scan, all in one frame of reference."""

    groups: tuple[SliceGroup, ...]
    align: str
    center: str
    frame_of_reference: str | None = None
    warnings: tuple[Warn, ...] = ()


@dataclass(frozen=True, eq=False)
class StationPlacement:
    """Where a station went: ``placed_from_header`` takes points of its header's space to the composite's (LPS mm).

    ``given``: its place in the order of the input. ``method``: reference, registered, or header. ``gain`` and ``gamma``
    are what its values were brought to the reference's with; ``shading`` of the logarithm along it (u, u^2, u^3, u^4)
    and across it (v, v^2).
    """

    name: str
    given: int
    method: str
    placed_from_header: Rigid
    header: Geometry
    gain: float = 1.0
    gamma: float = 1.0
    shading: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class StationPair:
    """Two stations that overlap: whether their alignment was believed, why not, the numbers, and how they agree.

    ``step_before`` and ``step_after``: median difference of their values where both see tissue, as a share.
    ``corners_lps_mm`` (8, 3): of the compared part, in the composite's space.
    """

    upper: str
    lower: str
    is_accepted: bool
    reason: str
    numbers: Mapping[str, object]
    intensity: str
    step_before: float
    step_after: float
    corners_lps_mm: Array


@dataclass(frozen=True, eq=False)
class Transforms:
    """How every station was placed and matched, from superior to inferior, and every pair of them."""

    stations: tuple[StationPlacement, ...]
    pairs: tuple[StationPair, ...]


@dataclass(frozen=True, eq=False)
class StationWeights:
    """One weight map a station on the composite's grid, in their order; they sum to 1 wherever there is any."""

    maps: tuple[Volume, ...]


@dataclass(frozen=True, eq=False)
class Stitched:
    """Stations as one image: ``composite`` holds NaN where no station reaches, and ``gaps`` is 1 there.

    ``provenance`` says which station gave most to a voxel. ``placed``: every station matched, on the composite's grid
    (NaN beyond it), for looking at the overlaps.
    """

    composite: Volume
    weights: StationWeights
    provenance: Segmentation
    gaps: Segmentation
    transforms: Transforms
    placed: tuple[Volume, ...] = ()
    warnings: tuple[Warn, ...] = ()

    @property
    def filled(self) -> Volume:
        """The composite as files hold it: 0 where no station reaches."""
        return self.composite.with_array(np.nan_to_num(self.composite.array, nan=0.0))

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """What the composite covers, and the largest difference across a border."""
        steps = [pair.step_after for pair in self.transforms.pairs]
        covered = (self.gaps.labels == 0).any(axis=(0, 2))
        length = float(np.count_nonzero(covered)) * self.composite.geometry.spacing_mm[1]
        code = CodedConcept("410668003", "SCT", "Length")
        found = [
            Measurement("covered_length", length, "mm", code, method="rows of the composite that a station covers")
        ]
        if steps:
            method = "median difference of the matched stations where both see tissue"
            found.append(Measurement("overlap_difference", 100 * max(steps), "%", method=method))
        return tuple(found)
