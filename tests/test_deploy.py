"""The recipes of ``deploy/``: the manifests by their fields, the scripts by what they would run.

No cluster is at hand: that the operator, SLURM and Docker take them is not tested.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from transfer_meta import __version__
from transfer_meta.cli.app import main

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
WRITABLE = {"/shared", "/tmp", "/home/runner"}
"""The folders that a node writes to; the rest of its file system may be read-only."""
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


NUMBER, TRUE, FALSE = {"type": "integer", "minimum": 1}, {"const": True}, {"const": False}
POD_SECURITY = table(
    "runAsNonRoot runAsUser runAsGroup fsGroup seccompProfile",
    runAsNonRoot=TRUE,
    runAsUser=NUMBER,
    runAsGroup=NUMBER,
    fsGroup=NUMBER,
    fsGroupChangePolicy={"enum": ["OnRootMismatch", "Always"]},
    seccompProfile=table("type", type={"const": "RuntimeDefault"}),
)
SECURITY = table(
    "allowPrivilegeEscalation readOnlyRootFilesystem capabilities",
    allowPrivilegeEscalation=FALSE,
    readOnlyRootFilesystem=TRUE,
    capabilities=table("drop", drop={"const": ["ALL"]}),
)
QUANTITIES = {"type": "object", "additionalProperties": {"type": ["string", "integer"]}}
CONTAINER = table(
    "name image securityContext",
    name=STRING,
    image=STRING,
    securityContext=SECURITY,
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
        "containers securityContext automountServiceAccountToken",
        securityContext=POD_SECURITY,
        automountServiceAccountToken=FALSE,
        containers=array(CONTAINER),
        volumes=array(
            table(
                "name",
                name=STRING,
                persistentVolumeClaim=table("claimName", claimName=STRING),
                emptyDir=table(""),
            )
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
        claims = [v["persistentVolumeClaim"] for v in pod["volumes"] if "persistentVolumeClaim" in v]
        assert [c["claimName"] for c in claims] == [manifests[1]["metadata"]["name"]]
        for container in pod["containers"]:
            mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
            assert set(mounts) == {v["name"] for v in pod["volumes"]}
            assert set(mounts.values()) == WRITABLE
            assert container["image"] == f"transfer-meta:{__version__}"
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
    folder = tmp_path / "my runs"
    folder.mkdir()
    given = ["my plan *.toml", "--checkpoints", "/my disk/$HOME;'\"", "--gpus-per-run", "0.25", ""]
    script = [shutil.copy(DEPLOY / "slurm" / "ray.sbatch", folder), *given]

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", *script],
            env=environment | more,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )

    refused = run()
    assert refused.returncode != 0
    assert "TRANSFER_META_STORE" in refused.stderr
    (folder / "my plan of another.toml").touch()  # what an unquoted * would find
    words = run(TRANSFER_META_STORE="postgresql://host/runs").stdout.splitlines()
    start, command = words[: words.index("--")], words[words.index("--") + 1 :]
    assert start[start.index("--address") + 1] == "node1:20007"
    assert start[start.index("--min-nodes") + 1] == "2"
    assert "--dashboard-host=127.0.0.1" in start
    assert command == [
        "transfer-meta",
        "run",
        given[0],
        "--engine",
        "ray",
        "--address",
        "auto",
        *given[1:],
    ]
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


def test_the_scripts_quote_their_variables():
    beside = Path(sys.executable).with_name("shellcheck")
    found = str(beside) if beside.exists() else shutil.which("shellcheck")
    if found is None:
        pytest.skip("shellcheck is not installed (the extra dev brings it)")
    scripts = sorted((DEPLOY / "slurm").iterdir())
    assert scripts
    result = subprocess.run(
        [found, "--enable=quote-safe-variables", *scripts], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, "")


WORD = r"\w*(?:password|passwd|passphrase|token|secret|api_?key|access_?key)"
SECRETS = (
    r"://[^\s:/@]+:(?!PASSWORD@)[^\s/@]+@",  # in a URL; PASSWORD stands for one
    rf"(?i)\b{WORD}[\"']? *[:=] *[\"']?(?![\s\"'$])\S",
    rf"(?i)\bname: *[\"']?{WORD}[\"']?,?\s+value:",
    r"(?m)^\s*kind:\s*Secret\b",  # made by kubectl from a file
    r"-----BEGIN [A-Z ]*PRIVATE KEY",
    r"\b(AKIA[0-9A-Z]{16}|gh[pousr]_\w{20,}|hf_\w{20,}|eyJ[\w-]{20,})",
)


def secrets_in(text: str) -> list[str]:
    text = re.sub(r"\bautomountServiceAccountToken: false\b", "", text)
    return [found[0] for pattern in SECRETS if (found := re.search(pattern, text))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_no_secret_is_written_down(path):
    assert secrets_in(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "export TRANSFER_META_STORE=postgresql://me:hunter2@host/runs",
        "env:\n  - {name: PGPASSWORD, value: hunter2}",
        "env:\n  - name: PGPASSWORD\n    value: hunter2",
        "PGPASSWORD: hunter2",
        "ENV HF_TOKEN=hunter2",
        "ARG password='hunter2'",
        "  aws_secret_access_key = hunter2",
        "kind: Secret\nstringData: {store: x}",
        "x: hf_abcdefghijklmnopqrstuvwx",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ],
)
def test_a_secret_would_be_found(text):
    assert secrets_in(text)


def test_passwords_of_the_manifests_come_from_a_secret(manifests):
    """Only what is no secret is written as a value."""
    cluster = manifests[0]["spec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        for container in group["template"]["spec"]["containers"]:
            for variable in container.get("env", []):
                assert set(variable) == {"name", "valueFrom"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_images_have_a_version_and_ray_is_on_loopback(path):
    text = path.read_text()
    assert not re.search(r":latest\b", text)
    assert set(re.findall(r"\btransfer-meta:(\d\S*)", text)) <= {__version__}
    for host in re.findall(r"dashboard[-_]host[\"']?\s*[:=]\s*[\"']?([\w.:]+)", text):
        assert host == "127.0.0.1"


def steps_of(dockerfile: str) -> list[list[str]]:
    """The words of each step of a Dockerfile."""
    lines = re.sub(r"\\\n\s*", " ", (DEPLOY / dockerfile).read_text()).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def steps() -> list[list[str]]:
    return steps_of("Dockerfile")


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "page.Dockerfile"])
def test_the_dockerfiles_copy_what_is_there(dockerfile):
    steps = steps_of(dockerfile)
    assert steps[0][0] == "FROM"
    assert {step[0] for step in steps} <= {
        "FROM",
        "RUN",
        "WORKDIR",
        "COPY",
        "USER",
        "ENV",
        "ARG",
        "EXPOSE",
        "CMD",
    }
    copied = {source for step in steps if step[0] == "COPY" for source in step[1:-1]}
    assert all((ROOT / source).exists() for source in copied)
    ignored = (DEPLOY / f"{dockerfile}.dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert next(line for line in ignored if line and not line.startswith("#")) == "*"
    text = (DEPLOY / dockerfile).read_text()
    extras = re.findall(r"(?:'\.\[|EXTRAS=)([a-z,-]+)", text)
    import tomllib

    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras[0].split(",")) <= set(known), json.dumps(sorted(known))


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "page.Dockerfile"])
def test_the_images_run_as_a_plain_user(dockerfile):
    steps = steps_of(dockerfile)
    names = [step[0] for step in steps]
    # By number, the last word on it, and with nothing run as root after it.
    assert names.count("USER") == 1
    assert "RUN" not in names[names.index("USER") :]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", steps[names.index("USER")][1])
    assert steps[0][1].rpartition(":")[2] not in ("", "latest")


def test_the_image_of_the_page_serves_it():
    (line,) = re.findall(r"(?m)^CMD (.*)$", (DEPLOY / "page.Dockerfile").read_text())
    assert json.loads(line)[:2] == ["transfer-meta", "serve"]


def test_the_image_runs_as_the_user_of_the_manifests(steps, manifests):
    (user,) = (step[1] for step in steps if step[0] == "USER")
    cluster = manifests[0]["spec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        security = group["template"]["spec"]["securityContext"]
        assert f"{security['runAsUser']}:{security['runAsGroup']}" == user
        assert security["fsGroup"] == security["runAsGroup"]
    (made,) = (step for step in steps if "useradd" in step)
    uid, gid = user.split(":")
    assert made[made.index("--uid") + 1] == uid
    assert made[made.index("install") :] == ["install", "-d", "-o", uid, "-g", gid, "/shared"]
