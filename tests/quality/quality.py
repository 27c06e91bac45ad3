"""./dev quality: finds facts in long documents through the running service and at the client, by
depth.

    quality.py --server HOST:PORT --cache FOLDER --model FOLDER [--peer PYTHON] [--sets test,german]

Builds the sets (retrieval_set.py), asks the service for all vectors once (they are kept in the
cache), scores, and writes results/SET.json. quality_tables.py makes docs/quality.md of them.
"""
import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import retrieval_set
import service
from formula import found_anywhere
from metrics import by_depth
from methods import Collection, bm25_of_documents, collection_of, dense, fused, max_sim
from questions import DEPTH_NAMES

HERE = Path(__file__).parent
Floats = npt.NDArray[np.floating[Any]]


def of_the_service(collection: Collection) -> dict[str, Floats]:
    """The methods that take their vectors from the service."""
    late, lexical = max_sim(collection), bm25_of_documents(collection)
    return {
        "truncated at 512": dense(collection, "head"),
        "one mean vector": dense(collection, "one"),
        "spans of 128": dense(collection, "spans"),
        "independent chunks of 128": dense(collection, "chunks"),
        "token vectors, MaxSim in blocks of 128": late,
        "BM25 of documents": lexical,
        "MaxSim + BM25, standardised": fused([(1.0, late), (1.0, lexical)]),
        "longspan search": found_anywhere(collection),
    }


def at_the_client(collection: Collection, cache: Path, model: Path, python: str) -> dict[str, Floats]:
    """sentence-transformers with BM25 beside it, in its own process and environment."""
    folder = cache / collection.made.key
    out = folder / "peer.npz"
    if not out.exists():
        subprocess.run([python, str(HERE / "client_peer.py"), str(model), str(folder / "set.json"), str(out)], check=True, timeout=3600)
    peer = np.load(out)
    lexical = bm25_of_documents(collection)
    return {"sentence-transformers, cut at 512": peer["head"], "sentence-transformers, chunks of 128": peer["chunks"],
            "sentence-transformers, chunks + BM25": fused([(1.0, peer["chunks"]), (1.0, lexical)])}


def _measured(scores: Floats, collection: Collection, chosen: slice) -> dict[str, dict[str, list[float]]]:
    return by_depth(scores[chosen], collection.right[chosen], collection.depths[chosen], len(DEPTH_NAMES))


def results_of(collection: Collection, scores: dict[str, Floats]) -> dict[str, Any]:
    """What results/SET.json holds."""
    made = collection.made
    tokens = [len(found.ids) for found in made.tokens]
    return {"set": made.name, "key": made.key, "packages": len({name.split("/")[0] for name in made.ids}), "documents": len(made.ids),
            "tokens": sum(tokens), "longer_than_8192": sum(length > 8192 for length in tokens),
            "lengths": np.percentile(tokens, [0, 25, 50, 75, 100]).astype(int).tolist(),
            "kinds": {kind: sum(question.kind == kind for question in made.asked) for kind in sorted({question.kind for question in made.asked})},
            **{group: {name: _measured(matrix, collection, chosen) for name, matrix in scores.items()} for group, chosen in made.groups().items()}}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="the folder that the server serves")
    parser.add_argument("--peer", help="a Python with sentence-transformers; without it the client's rows are left out")
    parser.add_argument("--sets", default="test,german")
    parser.add_argument("--vectors-only", action="store_true", help="fill the cache, score nothing")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    names = arguments.sets.split(",")
    for name in names:
        if name not in retrieval_set.DOCUMENTS_OF_A_PACKAGE:
            sys.exit(f"--sets has '{name}'; allowed: {', '.join(retrieval_set.DOCUMENTS_OF_A_PACKAGE)}")
    import longspan  # the package is made when the tool starts
    for name in names:
        with longspan.Client(arguments.server, timeout=600.0) as client:
            made = retrieval_set.get(name, client, arguments.cache)
            print(f"{name}: {len(made.ids)} documents, {sum(len(found.ids) for found in made.tokens):,} tokens, "
                  f"{', '.join(f'{chosen.stop - chosen.start} {group}' for group, chosen in made.groups().items())}", flush=True)
            service.fetch(made, client, arguments.cache)
        if arguments.vectors_only:
            continue
        collection = collection_of(made, arguments.cache)
        scores = of_the_service(collection)
        if arguments.peer:
            scores.update(at_the_client(collection, arguments.cache, arguments.model, arguments.peer))
        results = results_of(collection, scores)
        for method, parts in results["questions"].items():
            print(f"  {method:45} MRR beyond token 512: {parts['beyond']['mrr'][0]}", flush=True)
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
