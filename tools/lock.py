"""Resolve requirements.in and write requirements.txt: every version, and which package asked for it.

Versions that are locked stay where they still fit, so a new requirement moves nothing else; delete
requirements.txt first to take the newest of everything. Run by `make lock`, with pip alone, on Linux.

Markers are judged for the Python that runs this, and so is the lock: one for 3.11 may miss what only 3.12 needs.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name

WANTED, LOCK = Path("requirements.in"), Path("requirements.txt")
# torch's build for GPUs pins these itself, to the version; its build for CPUs has none of them.
OF_TORCH = re.compile(r"(nvidia|cuda|triton)\b")
HEADER = "# The whole lock, written by `make lock` from requirements.in, which says why each is here.\n"


def main() -> None:
    """Write the lock, or end with pip's own explanation."""
    wanted = {canonicalize_name(one.name): one for one in _requirements(WANTED)}
    kept = [one for one in _requirements(LOCK) if _fits(one, wanted)]
    constraints = Path(".venv-lock.txt")
    constraints.write_text("".join(f"{one}\n" for one in kept), encoding="utf-8")
    try:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        command += ["--report", "-", "-r", str(WANTED), "-c", str(constraints)]
        found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    finally:
        constraints.unlink()
    if found.returncode:
        sys.exit(found.returncode)
    packages = [item["metadata"] for item in json.loads(found.stdout)["install"]]
    LOCK.write_text(HEADER + "".join(_lines(packages, set(wanted))), encoding="utf-8")
    print(f"{LOCK}: {LOCK.read_text(encoding='utf-8').count('==')} packages")


def _requirements(path: Path) -> list[Requirement]:
    if not path.exists():
        return []
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def _fits(pinned: Requirement, wanted: dict[str, Requirement]) -> bool:
    asked = wanted.get(canonicalize_name(pinned.name))
    version = next(iter(pinned.specifier)).version
    return asked is None or asked.specifier.contains(version, prereleases=True)


def _lines(packages: list[dict], direct: set[str]) -> list[str]:
    askers: dict[str, set[str]] = {}
    for package in packages:
        for one in map(Requirement, package.get("requires_dist", [])):
            if one.marker is None or one.marker.evaluate({"extra": ""}):
                askers.setdefault(canonicalize_name(one.name), set()).add(canonicalize_name(package["name"]))
    present = {canonicalize_name(package["name"]): package["version"] for package in packages}
    lines = []
    for name, version in sorted(present.items()):
        if OF_TORCH.match(name) and name not in direct:
            continue
        via = sorted(askers.get(name, set()) & set(present))
        source = ["requirements.in"] if name in direct else via[:3] + ["…"] * (len(via) > 3) or ["an extra"]
        lines.append(f"{name + '==' + version.split('+')[0]:<50} # {', '.join(source)}\n")
    return lines


if __name__ == "__main__":
    main()
