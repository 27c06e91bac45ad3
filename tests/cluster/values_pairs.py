"""Every pair of the chart's settings, by the API server's own checks.

tests/deploy/chart_cases.py has the settings; tests/deploy checks the same sets of values against
schemas.
"""
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from chart import RELEASE, chart_of, namespace
from cluster_world import ClusterWorld
from report import case, require, say

sys.path.append(str(Path(__file__).parent.parent / "deploy"))
from chart_cases import pairwise  # noqa: E402

# Mistakes that the API server must refuse, each in the first set of values that it changes.
PLANTED = (("maxSurge:", "maxSruge:"), ("containerPort: ", "containerPort: 9"), ("minReplicas:", "minReplica:"), ("scrapeTimeout:", "scrapTimeout:"),
           ("parentRefs:", "parentReferences:"), ("pollingInterval:", "pollInterval:"))


def render(world: ClusterWorld, where: str, values: dict[str, Any]) -> str:
    file = world.folder / "values.json"
    file.write_text(json.dumps(values))
    return str(world.commands.helm("template", RELEASE, chart_of(world), "-n", where, "--kube-version", "1.36.0", "-f", file).stdout)


def asked(world: ClusterWorld, where: str, objects: str) -> tuple[bool, str]:
    """Whether the API server would take them, and what it says; every field is checked."""
    done = world.commands.kubectl("apply", "-n", where, "--dry-run=server", "--validate=strict", "-f", "-", data=objects, check=False)
    # A Deployment whose pods would be refused is taken, with a warning.
    return done.returncode == 0 and "would violate PodSecurity" not in done.stderr, done.stdout + done.stderr


@case("cluster")
def every_pair(world: ClusterWorld) -> str:
    """Each pair of the chart's settings is rendered, and the API server takes every object in a
    strict dry run that enforces `restricted`.
    """
    count, rendered = 0, []
    with namespace(world, "pairs") as where:
        for chosen, values in pairwise():
            objects = render(world, where, values)
            taken, said = asked(world, where, objects)
            require(taken, f"the API server refuses {chosen}: {said[-800:]}")
            rendered.append(objects)
            count += said.count("(server dry run)")
            if len(rendered) % 10 == 0:
                say(f"{len(rendered)} sets of values, {count} objects taken")
        for right, wrong in PLANTED:
            objects = next((one for one in rendered if right in one), "")
            require(objects, f"no set of values renders {right!r}, so the planted mistake {wrong!r} shows nothing")
            require(not asked(world, where, objects.replace(right, wrong, 1))[0], f"the API server takes the planted mistake {wrong!r}")
    return f"{len(rendered)} sets of values, {count} objects taken; {len(PLANTED)} planted mistakes refused"
