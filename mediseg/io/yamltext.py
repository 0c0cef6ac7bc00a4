"""YAML as people write it by hand: safe types only, a key given twice is an error, faults in one line."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from mediseg.errors import UsageError

if TYPE_CHECKING:
    import yaml


def parsed(text: bytes, name: str) -> Any:
    """Return what a YAML text holds. Raises UsageError with the file's name and line."""
    import yaml

    try:
        return yaml.load(text, Loader=_unique_keys())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" (line {place.line + 1})" if place else ""
        why = f": {error.problem}" if isinstance(error, yaml.constructor.ConstructorError) else ""
        raise UsageError(f"{name} is no valid YAML{where}{why}") from error


def _unique_keys() -> type[yaml.SafeLoader]:
    """Return a loader that refuses a key given twice, where YAML's own would silently take the last."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            for key in keys:
                if keys.count(key) > 1:
                    raise yaml.constructor.ConstructorError(None, None, f'"{key}" stands twice', node.start_mark)
            return super().construct_mapping(node, deep)

    return Loader
