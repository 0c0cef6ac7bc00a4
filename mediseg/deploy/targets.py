"""The machines that a bundle can be made for: their tags, their environment markers, their scripts."""

from __future__ import annotations

from dataclasses import dataclass

from mediseg.errors import UsageError, did_you_mean

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
#: The newest glibc that a Linux bundle may ask for: Debian 10, Ubuntu 18.10, RHEL 8 and all later ones have it.
_GLIBC = 28


@dataclass(frozen=True)
class Target:
    """One kind of machine. ``platforms``: the wheel tags it takes, best first. ``uv``: what uv calls it."""

    name: str
    uv: str
    platforms: tuple[str, ...]
    markers: dict[str, str]
    scripts: tuple[str, ...]
    extra: tuple[str, ...] = ()

    def environment(self, python: str) -> dict[str, str]:
        """Return the environment that a requirement's marker (PEP 508) is judged in."""
        return {
            **self.markers,
            "python_version": python,
            "python_full_version": f"{python}.0",
            "implementation_name": "cpython",
            "implementation_version": f"{python}.0",
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_version": "",
        }


_LINUX = tuple(f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC, 4, -1))
TARGETS = {
    target.name: target
    for target in (
        Target(
            "manylinux_x86_64",
            f"x86_64-manylinux_2_{_GLIBC}",
            (*_LINUX, "manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"),
            {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
            ("install.sh", "uninstall.sh"),
        ),
        Target(
            "win_amd64",
            "x86_64-pc-windows-msvc",
            ("win_amd64",),
            {"os_name": "nt", "sys_platform": "win32", "platform_system": "Windows", "platform_machine": "AMD64"},
            ("install.ps1", "uninstall.ps1"),
            # ONNX Runtime needs MSVCP140.dll 14.38 or newer, which a hospital's Windows often lacks
            ("msvc-runtime>=14.38",),
        ),
    )
}


def target_named(name: str) -> Target:
    """Return a target. Raises UsageError for an unknown one."""
    if name not in TARGETS:
        raise UsageError(f'there is no target "{name}"{did_you_mean(name, TARGETS)}')
    return TARGETS[name]


def check_python(python: str) -> str:
    """Return a Python version as ``3.11``. Raises UsageError for one that mediseg does not run on."""
    if python not in PYTHONS:
        raise UsageError(f'mediseg does not run on Python "{python}"{did_you_mean(python, PYTHONS)}')
    return python
