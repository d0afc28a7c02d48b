"""What a bank deploys: complete enough to apply, without a secret in it, and never as root."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from shared.runtime.settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
_K8S = _ROOT / "deploy" / "k8s"


def _documents(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]


def test_every_manifest_is_a_kubernetes_object_and_every_resource_exists() -> None:
    for path in sorted(_K8S.rglob("*.yaml")):
        for document in _documents(path):
            assert {"apiVersion", "kind"} <= set(document), path
            for resource in document.get("resources", []) if document["kind"] == "Kustomization" else []:
                assert (path.parent / resource).exists(), f"{path}: {resource}"
    assert {path.name for path in (_K8S / "overlays").iterdir()} == {"staging", "production"}


def test_containers_run_unprivileged_and_are_probed() -> None:
    (deployment,) = _documents(_K8S / "base" / "deployment.yaml")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {"startupProbe", "readinessProbe", "livenessProbe", "resources"} <= set(container)
    assert "USER 10001" in (_ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_no_deployment_file_holds_a_secret() -> None:
    files = [*_K8S.rglob("*.yaml"), _ROOT / "docker-compose.yml", _ROOT / "Dockerfile"]
    for path in files:
        text = path.read_text(encoding="utf-8").lower()
        assert "kind: secret" not in text
        assert "password" not in text.replace("no passwords", ""), path


def test_the_compose_file_sets_variables_that_the_settings_know() -> None:
    compose = yaml.safe_load((_ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert set(compose["services"]["tributary"]["environment"]) <= known
    for name in compose["services"]["tributary"]["depends_on"]:
        assert "healthcheck" in compose["services"][name]
