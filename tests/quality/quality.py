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
from kept import of_kept_documents
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


def _measured(scores: Floats, made: retrieval_set.RetrievalSet, chosen: slice) -> dict[str, dict[str, list[float]]]:
    asked = made.asked[chosen]
    return by_depth(scores[chosen], np.array([question.document for question in asked]), np.array([question.depth for question in asked]),
                    len(DEPTH_NAMES))


def with_kept(results: dict[str, Any], made: retrieval_set.RetrievalSet, kept: dict[str, Floats], sizes: dict[str, float]) -> dict[str, Any]:
    """Results of the same set, with the rows of kept documents measured anew."""
    if results["key"] != made.key:
        sys.exit(f"the results of '{made.name}' are of the set {results['key']}, and this is {made.key}: measure all of it, without --kept-only")
    for group, chosen in made.groups().items():
        results[group].update({name: _measured(matrix, made, chosen) for name, matrix in kept.items()})
        print("\n".join(f"  {group}, {name}: MRR beyond token 512: {results[group][name]['beyond']['mrr'][0]}" for name in kept), flush=True)
    return results | {"kept_bytes": sizes}


def read_results(name: str) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((HERE / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return results


def write_results(name: str, results: dict[str, Any]) -> None:
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def results_of(collection: Collection, scores: dict[str, Floats]) -> dict[str, Any]:
    """What results/SET.json holds."""
    made = collection.made
    tokens = [len(found.ids) for found in made.tokens]
    return {"set": made.name, "key": made.key, "packages": len({name.split("/")[0] for name in made.ids}), "documents": len(made.ids),
            "tokens": sum(tokens), "longer_than_8192": sum(length > 8192 for length in tokens),
            "lengths": np.percentile(tokens, [0, 25, 50, 75, 100]).astype(int).tolist(),
            "kinds": {kind: sum(question.kind == kind for question in made.asked) for kind in sorted({question.kind for question in made.asked})},
            **{group: {name: _measured(matrix, made, chosen) for name, matrix in scores.items()} for group, chosen in made.groups().items()}}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="the folder that the server serves")
    parser.add_argument("--peer", help="a Python with sentence-transformers; without it the client's rows are left out")
    parser.add_argument("--sets", default="test,german")
    parser.add_argument("--kept-only", action="store_true",
                        help="measure kept documents anew, and leave the other rows of the results")
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
            kept, sizes = ({}, {}) if arguments.vectors_only else of_kept_documents(made, client)
            if arguments.kept_only:
                write_results(name, with_kept(read_results(name), made, kept, sizes))
                continue
            service.fetch(made, client, arguments.cache)
        if arguments.vectors_only:
            continue
        collection = collection_of(made, arguments.cache)
        scores = of_the_service(collection) | kept
        if arguments.peer:
            scores.update(at_the_client(collection, arguments.cache, arguments.model, arguments.peer))
        results = results_of(collection, scores) | {"kept_bytes": sizes}
        for method, parts in results["questions"].items():
            print(f"  {method:45} MRR beyond token 512: {parts['beyond']['mrr'][0]}", flush=True)
        write_results(name, results)


if __name__ == "__main__":
    main()
