"""What the tests of deploy/job need of a cluster, with real processes: the rendered Jobs, the
command of a container with its variables put in as the kubelet does it, and what becomes of a pod
that ended, by the Job's podFailurePolicy."""
from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

# What an image runs where the container names no command.
ENTRYPOINTS = {"rclone/rclone": ["rclone"]}


def render(folder: Path, kubectl: Path) -> dict[str, Object]:
    """The objects of a kustomization, by kind/name; a ConfigMap without the hash of its name."""
    text = subprocess.run([kubectl, "kustomize", folder], check=True, capture_output=True, text=True).stdout
    objects = {}
    for item in yaml.safe_load_all(text):
        name = item["metadata"]["name"]
        objects[f"{item['kind']}/{name.rsplit('-', 1)[0] if item['kind'] == 'ConfigMap' else name}"] = item
    return objects


@dataclass
class Pod:
    """One pod of a Job: where its mounts are on this machine, and what stands in its variables."""
    objects: dict[str, Object]
    job: str
    index: int
    mounts: dict[str, Path]   # mountPath -> folder
    # Values of variables that a test sets otherwise.
    replaced: dict[str, str] = field(default_factory=dict)
    programs: dict[str, str] = field(default_factory=dict)  # command[0] -> program

    def container(self, name: str) -> Object:
        spec = self.objects[f"Job/{self.job}"]["spec"]["template"]["spec"]
        return next(c for c in [*spec.get("initContainers", []), *spec["containers"]] if c["name"] == name)

    def variables(self, name: str) -> dict[str, str]:
        """The container's. The Job's controller adds the last one, which others do not see."""
        container, all_ = self.container(name), {}
        for source in container.get("envFrom", []):
            reference = source.get("configMapRef") or {"name": ""}
            for key, item in self.objects.items():
                if key.startswith("ConfigMap/") and item["metadata"]["name"] == reference["name"]:
                    all_.update(item["data"])
        all_.update(self.replaced)
        for variable in container.get("env", []):
            all_[variable["name"]] = self._expand(variable["value"], all_)
        return all_ | {"JOB_COMPLETION_INDEX": str(self.index)}

    def _expand(self, text: str, variables: dict[str, str]) -> str:
        """As the kubelet: $(NAME) of a known name, other text as it stands."""
        return re.sub(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)", lambda m: variables.get(m[1], m[0]), text)

    def _place(self, text: str) -> str:
        """The folder of this machine for a path below a mount."""
        for path, folder in self.mounts.items():
            text = re.sub(rf"(^|=){re.escape(path)}(?=/|$)", lambda m: m[1] + str(folder), text)
        return text

    def start(self, name: str, **keywords: Any) -> subprocess.Popen[bytes]:
        container, variables = self.container(name), self.variables(name)
        program = container.get("command") or ENTRYPOINTS[container["image"].split(":")[0]]
        command = [self._place(self._expand(part, variables)) for part in [*program, *container.get("args", [])]]
        unknown = [part for part in command if "$(" in part]
        assert not unknown, f"{name}: {unknown} stays as it is: no such variable"
        command[0] = self.programs.get(command[0], command[0])
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("LONGSPAN_", "AWS_", "RCLONE_"))}
        return subprocess.Popen(command, env=environment | variables, **keywords)

    def run(self, name: str, **keywords: Any) -> int:
        return exit_code(self.start(name, **keywords).wait(300))


def exit_code(code: int) -> int:
    """As the container runtime counts: 128 + N after signal N."""
    return 128 - code if code < 0 else code


def action(job: Object, container: str, code: int) -> str:
    """What the Job's controller does with a pod whose container ended so, not evicted."""
    if code == 0:
        return "Complete"
    for rule in job["spec"]["podFailurePolicy"]["rules"]:
        codes = rule.get("onExitCodes")
        if codes is None or codes.get("containerName", container) != container:
            continue
        if (code in codes["values"]) == (codes["operator"] == "In"):
            return str(rule["action"])
    return "Count"


def stop(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
    process.send_signal(number)
    return exit_code(process.wait(60))
