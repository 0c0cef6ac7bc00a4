"""Sample data: the head phantom and stations of the spine phantom. Nobody is in them."""

from __future__ import annotations

from napari_mediseg.layers import LayerTuple, image_layer


def phantom_head() -> list[LayerTuple]:
    """Return the head phantom, a sagittal scan of 1.5 mm."""
    import mediseg
    from napari_mediseg.viewing import watch_current_viewer

    watch_current_viewer()
    return [image_layer(mediseg.phantom_head(spacing_mm=1.5), "phantom head")]


def phantom_spine() -> list[LayerTuple]:
    """Return three stations of the spine phantom as a scanner would give them, the second one's header a little off."""
    from dataclasses import replace

    import mediseg
    from mediseg.phantom import cut_stations, plan_stations
    from napari_mediseg.viewing import watch_current_viewer

    watch_current_viewer()
    whole = mediseg.phantom_spine(spacing_mm=(1.5, 1.5, 4.0))
    first, second, third = plan_stations(3, noise=0.01, matrix=(128, 180), slices=9)
    plans = (first, replace(second, shift_mm=(3.0, -4.0, 0.0), turn_deg=2.0, gain=1.3), third)
    cut = cut_stations(whole, plans)
    return [image_layer(one.volume, f"station {n}", role="station") for n, one in enumerate(cut, 1)]
