"""What the JSON of portwait's verbs promises: the schemas in tests/schemas."""

from __future__ import annotations

import json
from pathlib import Path

_FOLDER = Path(__file__).parent.parent / "schemas"


def validate(document: object, name: str) -> None:
    """Hold a document to a schema; jsonschema's ValidationError where it does not follow it."""
    import jsonschema  # heavy, and under an emulated kernel, which validates nothing, slow to import

    jsonschema.validate(document, json.loads((_FOLDER / f"{name}.json").read_text()))
