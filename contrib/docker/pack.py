#!/usr/bin/env python3
"""Pack portwait into one folder that runs where there is no Python: `python3 pack.py FOLDER`.

Choose it for images with a JRE, or with nothing but a C library (distroless). What comes out is copied as it is, needs
no writable or executable directory, leaves the environment alone and becomes the service as the installed portwait
does. It runs on the C library that it was packed for (the last line says which one) and on newer ones.

It packs the checkout that this file is in, or the checkout or wheel that you name; never a name from a package index,
where `portwait` is another program. Needs Python 3.10 or newer with venv, and a package index for what portwait
stands on; changes nothing but FOLDER.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PACKER = "cx_Freeze>=8.7,<9"
"""Not PyInstaller: that sets LD_LIBRARY_PATH and runs itself again, and starts in 50 ms instead of 10."""

UNUSED = (
    *("bz2", "ctypes", "curses", "doctest", "email", "http", "lzma", "multiprocessing", "pdb", "pydoc", "readline"),
    *("setuptools", "sqlite3", "ssl", "tkinter", "unittest", "xml", "zlib"),
    *("decimal", "_decimal", "fractions", "statistics"),  # and libmpdec with them
    *("_curses", "_pyrepl"),  # the interactive interpreter of Python 3.13
    *("_hashlib", "_uuid"),  # 8 MB of libcrypto and libuuid; the interpreter's own digests are enough
)
"""What psutil, structlog and tenacity can import and portwait never makes them import."""

PACKED = ("portwait-guard", "psutil", "structlog", "tenacity", "typing-extensions", "typing_extensions")
"""The distributions that are in the folder, where they are needed at all; cx_Freeze writes its own licence text."""

START = """\
import sys


def run(name):
    from portwait.__main__ import start

    sys.exit(start())
"""
"""In place of the packer's own start, which imports typing and importlib.util and so doubles the time."""


LICENCES = """\
import importlib.metadata, json, pathlib, sys, sysconfig

places = [pathlib.Path(sysconfig.get_path("stdlib"), "LICENSE.txt"), pathlib.Path(sys.base_prefix, "LICENSE.txt")]
places.append(pathlib.Path("/usr/share/doc/python%d.%d/copyright" % sys.version_info[:2]))
texts = {"python": {"LICENSE": place.read_text() for place in places if place.is_file()}}
for each in importlib.metadata.distributions():
    name = each.metadata["Name"].lower()
    if name in PACKED:
        files = [file for file in each.files or () if file.name.upper().startswith(("LICEN", "COPYING", "NOTICE"))]
        texts[name] = {file.name: file.read_text() for file in files if ".dist-info" in str(file)}
print(json.dumps(texts))
""".replace("PACKED", repr(PACKED))


def main() -> int:
    """Pack in a virtual environment of its own; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where it goes; must not exist")
    parser.add_argument(
        "--portwait",
        default=Path(__file__).resolve().parent.parent.parent,
        type=Path,
        metavar="PATH",
        help="the checkout or the wheel to pack (default: %(default)s)",
    )
    words = parser.parse_args()
    folder: Path = words.folder.absolute()
    source: Path = words.portwait.absolute()
    if sys.version_info < (3, 10):
        parser.error(f"needs Python 3.10 or newer; this is {platform.python_version()}")
    if folder.exists():
        parser.error(f"{folder} exists already")
    if not (source.suffix == ".whl" and source.is_file()) and not (source / "pyproject.toml").is_file():
        parser.error(f"{source} is neither a checkout of portwait (a folder with pyproject.toml) nor a wheel")
    with tempfile.TemporaryDirectory(prefix="portwait-pack-") as work:
        python = Path(work, "venv", "bin", "python")
        venv.create(python.parents[1], symlinks=True, with_pip=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, PACKER, source], check=True)
        packed = Path(work, "packed")
        subprocess.run([python, "-I", Path(__file__).absolute(), "--freeze", packed], check=True, cwd=work)
        licences(python, packed / "share" / "licenses")
        shutil.copytree(
            python.parents[1] / "share", packed / "share", dirs_exist_ok=True
        )  # man page, completions, units
        shutil.copytree(packed, folder)
    files = [file for file in folder.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files) / 1e6
    print(f"{folder}: {size:.0f} MB, {len(files)} files; needs {c_library(files)} on {machine()}")
    return 0


def licences(python: Path, folder: Path) -> None:
    """Copy the licence texts of all that is packed: Python's, and those of what pip has installed beside portwait."""
    listed = subprocess.run([python, "-I", "-c", LICENCES], check=True, capture_output=True, text=True).stdout
    for name, texts in json.loads(listed).items():
        if not texts:
            sys.exit(f"pack.py: the licence text of {name} is missing; it has to go with every copy")
        (folder / name).mkdir(parents=True)
        for file, text in texts.items():
            (folder / name / file).write_text(text)


def freeze(folder: str) -> None:
    """Freeze the portwait that this interpreter has; run in the virtual environment."""
    from cx_Freeze import Executable, setup  # noqa: PLC0415  # only the virtual environment has it

    entry = importlib.metadata.distribution("portwait-guard").locate_file("portwait/__main__.py")
    start = Path("start.py").absolute()
    start.write_text(START)
    setup(
        name="portwait",
        version=importlib.metadata.version("portwait-guard"),
        script_args=["--quiet", "build_exe"],
        options={
            "build_exe": {
                "build_exe": folder,
                "packages": ["portwait"],
                "excludes": list(UNUSED),
                "no_compress": True,  # without zlib there is no libz to find, and it starts 2 ms earlier
                "silent_level": 3,
            }
        },
        executables=[Executable(str(entry), init_script=str(start), base="console", target_name="portwait")],
    )


def machine() -> str:
    """Name the processor that this Python, and so what it packs, is for: the kernel's, or its 32-bit one."""
    name = platform.machine()
    return name if sys.maxsize > 2**32 else {"x86_64": "i686", "aarch64": "armv7l"}.get(name, name)


def c_library(files: list[Path]) -> str:
    """Say what the binaries ask of the C library: its symbols' versions are in their string tables."""
    binaries = [data for file in files if (data := file.read_bytes()).startswith(b"\x7fELF")]
    if any(b"ld-musl-" in data for data in binaries):
        return "musl"
    asked = {tuple(map(int, version)) for data in binaries for version in re.findall(rb"GLIBC_(\d+)\.(\d+)", data)}
    return "glibc {}.{} or newer".format(*max(asked))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--freeze"]:
        freeze(sys.argv[2])
    else:
        sys.exit(main())
