"""The deployment's files as the tools that apply them see them: kustomize's own output, compose's merged services."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "deploy" / "k8s"
OVERLAYS = ("overlays/staging", "overlays/production")
RENDERED = ("base", *OVERLAYS)

Manifest = dict[str, Any]


def tool(name: str) -> str:
    """Return a command that the development packages brought beside this Python, or else the one on PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is not installed: make setup"
    return found


@cache
def rendered(folder: str) -> tuple[Manifest, ...]:
    """Return what `kubectl kustomize` makes of a folder."""
    done = subprocess.run(
        [tool("kubectl"), "kustomize", str(K8S / folder)], capture_output=True, check=False, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # a deprecated field is a warning
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(folder: str, *kinds: str) -> list[Manifest]:
    """Return the rendered objects of these kinds."""
    return [each for each in rendered(folder) if each["kind"] in kinds]


def named(folder: str, kind: str, name: str) -> Manifest:
    """Return the one rendered object of a kind and name."""
    (found,) = [each for each in of_kind(folder, kind) if each["metadata"]["name"] == name]
    return found


def pod_of(workload: Manifest) -> Manifest:
    """Return the pod that a Deployment or Job makes."""
    pod: Manifest = workload["spec"]["template"]["spec"]
    return pod


def container_of(workload: Manifest) -> Manifest:
    """Return its one container."""
    (container,) = pod_of(workload)["containers"]
    found: Manifest = container
    return found


def compose() -> Manifest:
    """Return the compose file, its anchors resolved."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    found: Manifest = yaml.safe_load(text)
    return found


def known_variables() -> set[str]:
    """Return the names of every setting that the environment gives."""
    from shared.runtime.settings import Settings

    return {str(field.validation_alias) for field in Settings.model_fields.values()}
