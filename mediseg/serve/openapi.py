"""The service described for other programs: OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def description(version: str, recipes: Iterable[str]) -> dict[str, Any]:
    """Return the document that ``/openapi.json`` answers with; ``recipes`` are those that can be asked for."""
    key = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    suffix = {
        "name": "suffix", "in": "query", "schema": {"type": "string", "enum": list(SUFFIXES), "default": ".zip"},
        "description": "what is sent: .zip for a DICOM study, or the ending of an image file",
    }  # fmt: skip
    names_of = {"type": "string", "enum": list(recipes)}
    recipe = {"name": "recipe", "in": "query", "required": True, "schema": names_of}
    binary = {"type": "string", "format": "binary", "minLength": 1}
    upload = {"required": True, "content": {"application/octet-stream": {"schema": binary}}}
    case = {"$ref": "#/components/schemas/Case"}
    cases = {"type": "array", "items": case}
    names = {"type": "array", "items": {"type": "string"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "mediseg", "version": version, "description": "Research use only; not a medical device."},
        "security": [{"bearer": []}],
        "paths": {
            "/v1/recipes": {"get": _call("names of the recipes", _answers(names))},
            "/v1/cases": {
                "get": _call("all cases, newest first", _answers(cases)),
                "post": _call("submit one case", _answers(case, "202", "413", "507"), [recipe, suffix], upload),
            },
            "/v1/cases/{id}": {
                "get": _call("state, progress, measurements", _answers(case, "200", "404"), [key]),
                "delete": _call("cancel", _answers(case, "200", "404", "507"), [key]),
            },
            "/v1/cases/{id}/files/{name}": {
                "get": _call("one output, as named in outputs", _file(), [key, name]),
            },
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Case": _CASE, "Problem": _PROBLEM},
        },
    }


_ALWAYS = ("400", "401")  # unknown parameters; no token
SUFFIXES = (".zip", ".dcm", ".nii", ".nii.gz", ".mgh", ".mgz", ".nrrd", ".mha")
STATES = ("waiting", "running", "done", "refused", "failed", "cancelled")
_PROBLEM = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_CASE = {
    "type": "object",
    "required": ["id", "recipe", "state", "reason", "progress", "outputs", "measurements"],
    "properties": {
        "id": {"type": "string"},
        "recipe": {"type": "string"},
        "state": {"type": "string", "enum": list(STATES)},
        "reason": {"type": "string"},
        "progress": {
            "type": "object",
            "properties": {"stage": {"type": "string"}, "done": {"type": "integer"}, "total": {"type": "integer"}},
        },
        "outputs": {"type": "array", "items": {"type": "string"}},
        "measurements": {"type": "array", "items": {"type": "object"}},
    },
}


def _call(summary: str, answers: Any, parameters: Any = (), body: Any = None) -> dict[str, Any]:
    call: dict[str, Any] = {"summary": summary, "responses": answers}
    if parameters:
        call["parameters"] = list(parameters)
    return call | ({"requestBody": body} if body else {})


def _answers(schema: Any, good: str = "200", *bad: str) -> dict[str, Any]:
    found = {good: {"description": "done", "content": {"application/json": {"schema": schema}}}}
    return found | {code: _problem() for code in (*bad, *_ALWAYS)}


def _file() -> dict[str, Any]:
    good = {"description": "the file", "content": {"application/octet-stream": {"schema": {"type": "string"}}}}
    return {"200": good} | {code: _problem() for code in ("404", *_ALWAYS)}


def _problem() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": "what is wrong, in one line", "content": {"application/json": {"schema": schema}}}
