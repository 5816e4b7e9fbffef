"""The recipes of ``deploy/``: the manifests by their fields, the scripts by what they would run.

No cluster is at hand: that the operator, SLURM and Docker take them is not tested.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from transfer_meta.cli.app import main

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
STRING, COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}


def table(required: str, **properties: Any) -> dict[str, Any]:
    """A JSON schema of an object with these fields and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def strings(**more: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": STRING, **more}


def array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


QUANTITIES = {"type": "object", "additionalProperties": {"type": ["string", "integer"]}}
CONTAINER = table(
    "name image",
    name=STRING,
    image=STRING,
    env=array(
        table(
            "name",
            name=STRING,
            value=STRING,
            valueFrom=table("", secretKeyRef=table("name key", name=STRING, key=STRING)),
        )
    ),
    resources=table("", requests=QUANTITIES, limits=QUANTITIES),
    volumeMounts=array(table("name mountPath", name=STRING, mountPath=STRING)),
)
POD = table(
    "spec",
    metadata=table("", labels=strings(), annotations=strings()),
    spec=table(
        "containers",
        containers=array(CONTAINER),
        volumes=array(
            table("name", name=STRING, persistentVolumeClaim=table("claimName", claimName=STRING))
        ),
    ),
)
METADATA = table("name", name=STRING, labels=strings())
SELECTOR = table("", matchLabels=strings())
# The fields of the operator's ray.io/v1 RayCluster that the manifest may use, with their types.
SCHEMAS = {
    ("ray.io/v1", "RayCluster"): table(
        "headGroupSpec",
        rayVersion=STRING,
        enableInTreeAutoscaling={"type": "boolean"},
        headGroupSpec=table("template", rayStartParams=strings(), serviceType=STRING, template=POD),
        workerGroupSpecs=array(
            table(
                "groupName template",
                groupName=STRING,
                replicas=COUNT,
                minReplicas=COUNT,
                maxReplicas=COUNT,
                rayStartParams=strings(),
                template=POD,
            )
        ),
    ),
    ("v1", "PersistentVolumeClaim"): table(
        "accessModes resources",
        accessModes=array({"enum": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"]}),
        resources=table("requests", requests=QUANTITIES),
        storageClassName=STRING,
    ),
    ("networking.k8s.io/v1", "NetworkPolicy"): table(
        "podSelector",
        podSelector=SELECTOR,
        policyTypes=array({"enum": ["Ingress", "Egress"]}),
        ingress=array(
            table("", **{"from": array(table("", podSelector=SELECTOR, namespaceSelector=SELECTOR))})
        ),
    ),
}


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (the extra ray brings it)")
    return list(yaml.safe_load_all((DEPLOY / "kuberay.yaml").read_text()))


def test_the_manifests_have_the_fields_of_their_kinds(manifests):
    jsonschema = pytest.importorskip("jsonschema", reason="the extra ray is not installed")
    assert [m["kind"] for m in manifests] == ["RayCluster", "PersistentVolumeClaim", "NetworkPolicy"]
    for manifest in manifests:
        spec = SCHEMAS[manifest["apiVersion"], manifest["kind"]]
        whole = table(
            "apiVersion kind metadata spec",
            apiVersion=STRING,
            kind=STRING,
            metadata=METADATA,
            spec=spec,
        )
        jsonschema.validate(manifest, whole)


def test_the_cluster_holds_together(manifests):
    cluster, claim, policy = (m["spec"] for m in manifests)
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        (volume,) = pod["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == manifests[1]["metadata"]["name"]
        for container in pod["containers"]:
            assert {m["name"] for m in container["volumeMounts"]} == {volume["name"]}
            assert container["image"] == "transfer-meta:latest"
    assert claim["accessModes"] == ["ReadWriteMany"]
    assert cluster["headGroupSpec"]["rayStartParams"]["dashboard-host"] == "127.0.0.1"
    assert policy["podSelector"]["matchLabels"] == {"ray.io/cluster": manifests[0]["metadata"]["name"]}
    workers = cluster["workerGroupSpecs"][0]
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]


def test_the_manifest_asks_for_the_ray_that_is_installed(manifests):
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    assert manifests[0]["spec"]["rayVersion"] == ray.__version__


def test_what_the_sbatch_script_runs(tmp_path, capsys):
    """With stand-ins for SLURM's commands: one prints the node list, the other what it was given."""
    for name, body in (
        ("scontrol", 'echo "node1"; echo "node2"'),
        ("srun", 'for word in "$@"; do printf "%s\\n" "$word"; done'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
    }
    script = [DEPLOY / "slurm" / "ray.sbatch", "my plan.toml", "--gpus-per-run", "0.25"]

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", *script], env=environment | more, capture_output=True, text=True, check=False
        )

    refused = run()
    assert refused.returncode != 0
    assert "TRANSFER_META_STORE" in refused.stderr
    words = run(TRANSFER_META_STORE="postgresql://host/runs").stdout.splitlines()
    start, command = words[: words.index("--")], words[words.index("--") + 1 :]
    assert start[start.index("--address") + 1] == "node1:20007"
    assert start[start.index("--min-nodes") + 1] == "2"
    assert "--dashboard-host=127.0.0.1" in start
    assert command[:3] == ["transfer-meta", "run", "my plan.toml"]
    assert "postgresql" not in " ".join(words)


def test_the_recipes_use_options_that_exist(capsys):
    assert main(["run", "--help"]) == 0
    assert main(["runs", "status", "--help"]) == 0
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    for name in ("kuberay.yaml", "slurm/ray.sbatch"):
        text = (DEPLOY / name).read_text().replace("\\\n", " ")
        commands = re.findall(r"transfer-meta runs? [^\n]*", text)
        assert commands
        used = {o for c in commands for o in re.findall(r"--[a-z][a-z-]+", c.split(" options of")[0])}
        assert used <= known


def test_the_dockerfile_copies_what_is_there():
    lines = re.sub(r"\\\n\s*", " ", (DEPLOY / "Dockerfile").read_text()).splitlines()
    steps = [shlex.split(line, comments=True) for line in lines if line and not line.startswith("#")]
    assert steps[0][0] == "FROM"
    assert {step[0] for step in steps} <= {"FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV"}
    for step in steps:
        if step[0] == "COPY":
            assert all((ROOT / source).exists() for source in step[1:-1])
    extras = next(re.findall(r"\[([a-z,-]+)\]", w) for s in steps for w in s if w.startswith(".["))
    import tomllib

    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras[0].split(",")) <= set(known), json.dumps(sorted(known))
