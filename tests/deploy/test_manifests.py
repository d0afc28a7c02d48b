"""Every rendered manifest is valid, strictly: by Kubernetes' own schemas, and by what the operators accept."""

from __future__ import annotations

import copy
import os
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from pydantic import ValidationError

from tests.support.custom_resources import CUSTOM_RESOURCES, definitions
from tests.support.manifests import K8S, OVERLAYS, RENDERED, Manifest, named, rendered

_KUBERNETES = "1.37"


def _is_custom(manifest: Manifest) -> bool:
    group = manifest["apiVersion"].rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


@pytest.mark.parametrize("folder", RENDERED)
def test_every_object_of_kubernetes_itself_is_strictly_valid(folder: str) -> None:
    for each in rendered(folder):
        if not _is_custom(each):
            kubernetes_validate.validate(each, _KUBERNETES, strict=True)


def test_a_misspelt_field_is_refused() -> None:
    wrong = copy.deepcopy(named("base", "Deployment", "credit-api"))
    wrong["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 30
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, _KUBERNETES, strict=True)
    wrong = copy.deepcopy(named("overlays/production", "Kafka", "tributary"))
    wrong["spec"]["kafka"]["listeners"][0]["authorisation"] = {"type": "simple"}
    with pytest.raises(ValidationError):
        CUSTOM_RESOURCES["Kafka"].model_validate(wrong)


@pytest.mark.parametrize("folder", RENDERED)
def test_every_custom_resource_is_one_that_its_operator_accepts(folder: str) -> None:
    for each in rendered(folder):
        if _is_custom(each):
            CUSTOM_RESOURCES[each["kind"]].model_validate(each)


@pytest.mark.parametrize("folder", RENDERED)
def test_every_custom_resource_fits_the_operators_own_definitions_where_they_are(folder: str) -> None:
    crds = os.environ.get("TRIBUTARY_CRDS")
    if crds is None:
        pytest.skip("TRIBUTARY_CRDS names no folder of custom resource definitions")
    schemas = dict(definitions(Path(crds)))
    for each in rendered(folder):
        if _is_custom(each):
            jsonschema.validate(each, schemas[each["apiVersion"], each["kind"]])


@pytest.mark.parametrize("folder", RENDERED)
def test_no_two_objects_have_one_name_and_all_are_in_one_namespace(folder: str) -> None:
    names = Counter((each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in rendered(folder))
    assert [name for name, count in names.items() if count > 1] == []
    (namespace,) = [each["metadata"]["name"] for each in rendered(folder) if each["kind"] == "Namespace"]
    assert namespace == ("tributary-staging" if folder.endswith("staging") else "tributary")
    assert {each["metadata"].get("namespace", namespace) for each in rendered(folder)} == {namespace}


@pytest.mark.parametrize("folder", RENDERED)
def test_the_one_shape_of_a_service_is_filled_in_everywhere(folder: str) -> None:
    assert "SERVICE" not in yaml.safe_dump_all(rendered(folder))


def test_an_overlay_is_the_base_and_the_engines_and_nothing_else() -> None:
    def keys(folder: str) -> set[tuple[str, str]]:
        return {(each["kind"], each["metadata"]["name"].rpartition("-")[0]) for each in rendered(folder)}

    staging, production = (keys(folder) for folder in OVERLAYS)
    assert {key for key in staging ^ production if key[0] != "Namespace"} == set()
    kinds = {each["kind"] for each in rendered("base")}
    assert kinds.isdisjoint({"Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser", "Cluster", "Database"})


def test_every_file_is_part_of_what_is_applied() -> None:
    used: set[Path] = set()
    for path in sorted(K8S.rglob("kustomization.yaml")):
        document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        entries = [*document.get("resources", []), *document.get("components", [])]
        entries += [patch["path"] for patch in document.get("patches", []) if "path" in patch]
        for entry in entries:
            assert (path.parent / entry).exists(), f"{path}: {entry}"
            used.add((path.parent / entry).resolve())
        used.add(path)
    assert {path for path in K8S.rglob("*.yaml") if path not in used} == set()
