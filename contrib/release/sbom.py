"""Write the SBOM of the packed folder: `python sbom.py LIB VERSION FILE`, run where cyclonedx-python-lib is.

LIB is the packed folder's lib, which has the metadata of every distribution in it; the Python that runs this has to be
the one that packed it.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

OWN = "portwait-guard"


def main(lib: str, version: str, file: str) -> None:
    """Write down what is packed; refuse to write what the schema does not allow."""
    own = component(OWN, version, "MIT", "generic")
    own.type = ComponentType.APPLICATION
    parts = [component("cpython", platform.python_version(), "PSF-2.0", "generic")]
    for each in importlib.metadata.distributions(path=[lib]):
        data = each.metadata
        if data["Name"] != OWN:
            licence = data.get("License-Expression") or data.get("License") or ""
            parts.append(component(data["Name"], each.version, licence, "pypi"))
    bom = Bom(components=parts)
    bom.metadata.component = own
    bom.register_dependency(own, parts)
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong:
        sys.exit(f"sbom.py: the SBOM is not valid: {wrong}")
    Path(file).write_text(text + "\n")


def component(name: str, version: str, licence: str, kind: str) -> Component:
    """Describe one part."""
    purl = PackageURL(kind, name=name.lower(), version=version)
    licences = [LicenseFactory().make_from_string(licence)] if licence else []
    return Component(
        name=name, version=version, type=ComponentType.LIBRARY, licenses=licences, purl=purl, bom_ref=str(purl)
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
