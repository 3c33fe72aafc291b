"""The software bill of materials of the one file, as CycloneDX 1.6 JSON.

The rule: it is made of what was put in, not of what pyproject.toml asks for, and says nothing that
would differ in a second build of the same commit.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tools.wheels import Wheel, requirements

_LIBRARIES = {"libgcc_s": "GPL-3.0-or-later WITH GCC-exception-3.1"}
"""The licences of what wheels bring along without a word about it."""
_SPDX = {"MIT": "MIT", "Apache-2.0": "Apache-2.0", "BSD 3-Clause License": "BSD-3-Clause"}


@dataclass(frozen=True, slots=True)
class Product:
    """What was built: `pythons` are the versions whose byte code is inside."""

    name: str
    version: str
    license: str
    commit: str
    epoch: int
    sha256: str
    pythons: tuple[str, ...]
    requires: tuple[str, ...]


def render(product: Product, wheels: Sequence[Wheel]) -> bytes:
    """The document."""
    by_name: dict[str, list[Wheel]] = {}
    for wheel in wheels:
        by_name.setdefault(wheel.name, []).append(wheel)
    references = {name: _purl(group[0]) for name, group in sorted(by_name.items())}
    root = f"pkg:generic/{product.name}@{product.version}"
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, product.sha256)}",
        "version": 1,
        "metadata": {
            "timestamp": f"{datetime.fromtimestamp(product.epoch, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": product.name,
                "version": product.version,
                "purl": root,
                "licenses": [{"license": {"id": product.license}}],
                "hashes": [_hash(product.sha256)],
                "properties": list(_properties(product)),
            },
        },
        "components": [_component(group) for _, group in sorted(by_name.items())],
        "dependencies": [
            _depends(root, (references[name] for name in product.requires)),
            *(
                _depends(references[name], (references[n] for n in requirements(group[0])))
                for name, group in sorted(by_name.items())
            ),
        ],
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def _properties(product: Product) -> Iterator[dict[str, str]]:
    if product.commit:
        yield {"name": "pgmcp:commit", "value": product.commit}
    for version in product.pythons:
        yield {"name": "pgmcp:bytecode", "value": f"CPython {version}"}


def _component(wheels: Sequence[Wheel]) -> dict[str, Any]:
    """One distribution; its wheels, one for each platform, are where it came from."""
    first = wheels[0]
    brought = [library for wheel in wheels for library in _brought_along(wheel)]
    return {
        "type": "library",
        "bom-ref": _purl(first),
        "name": first.name,
        "version": first.version,
        "purl": _purl(first),
        "licenses": [_license(first)],
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"{_purl(wheel)}?file_name={wheel.path.name}",
                "hashes": [_hash(wheel.sha256)],
            }
            for wheel in wheels
        ],
        **({"components": brought} if brought else {}),
    }


def _brought_along(wheel: Wheel) -> Iterator[dict[str, Any]]:
    """The libraries of others that its compiled module needs beside it."""
    for path, content in sorted(wheel.files.items()):
        folder, _, name = path.partition("/")
        if folder.endswith(".libs") and name:
            digest = hashlib.sha256(content).hexdigest()
            yield {
                "type": "library",
                "bom-ref": f"{_purl(wheel)}?file_name={wheel.path.name}#{path}",
                "name": name,
                "licenses": [{"expression": _LIBRARIES[name.partition("-")[0]]}],
                "hashes": [_hash(digest)],
            }


def _license(wheel: Wheel) -> dict[str, Any]:
    expression = wheel.metadata.get("License-Expression")
    if expression:
        return {"expression": expression[0]}
    named = wheel.metadata.get("License", ["unknown"])[0]
    return {"license": {"id": _SPDX[named]} if named in _SPDX else {"name": named}}


def _depends(reference: str, on: Iterable[str]) -> dict[str, Any]:
    return {"ref": reference, "dependsOn": sorted(on)}


def _hash(sha256: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": sha256}


def _purl(wheel: Wheel) -> str:
    return f"pkg:pypi/{wheel.name}@{wheel.version}"
