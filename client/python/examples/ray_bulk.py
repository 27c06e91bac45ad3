"""Encodes the texts of Parquet files with Ray Data, on as many machines as the Ray cluster has.

    python ray_bulk.py IN OUT --server HOST:PORT --progress DIR

IN and OUT are folders, of a file system or a store that all machines reach (s3://...). Of IN the
columns `id` and `text` are read. OUT has `id`, `vector` (null where the text has none) and `error`
(null where it has one). A run that was killed goes on when it is started again: --progress has the
ids of what is written, and goes away when all is.
"""
from __future__ import annotations

import argparse

import numpy as np
import pyarrow as pa
import ray
from longspan import Client
from ray.data.checkpoint import CheckpointConfig


class Encode:
    """One worker, with a connection of its own."""

    def __init__(self, server: str) -> None:
        self._client = Client(server, timeout=600)

    def __call__(self, batch: pa.Table) -> pa.Table:
        texts = [text or "" for text in batch["text"].to_pylist()]
        vectors: list[np.ndarray | None] = [None] * len(texts)
        errors: list[str | None] = [None] * len(texts)
        for answer in self._client.encode_stream(texts):
            vectors[answer.index] = answer.vector
            errors[answer.index] = answer.error and str(answer.error)
        return pa.table({"id": batch["id"], "vector": column(vectors), "error": pa.array(errors, pa.string())})


def column(vectors: list[np.ndarray | None]) -> pa.Array:
    """A column of lists, without a Python object for each value."""
    values = np.concatenate([np.empty(0, np.float32), *(v for v in vectors if v is not None)])
    ends = np.cumsum([0, *(0 if v is None else len(v) for v in vectors)])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values), mask=pa.array([v is None for v in vectors]))


def main() -> None:
    parser = argparse.ArgumentParser(description="Parquet with texts into Parquet with vectors, by Ray Data")
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--server", required=True, help="HOST:PORT; behind a name of several addresses calls go round")
    parser.add_argument("--progress", required=True, help="a folder that all machines reach")
    parser.add_argument("--workers", type=int, default=2, help="processes that call the server, on all machines together")
    parser.add_argument("--batch", type=int, default=2000, help="texts that a worker has at once")
    parser.add_argument("--rows-per-file", type=int, default=50_000, help="of OUT; files under way are made again after a kill")
    options = parser.parse_args()

    ray.data.DataContext.get_current().checkpoint_config = CheckpointConfig(id_column="id", checkpoint_path=options.progress)
    texts = ray.data.read_parquet(options.input).select_columns(["id", "text"])
    texts = texts.repartition(target_num_rows_per_block=options.rows_per_file)
    # A worker mostly waits for the server. With a whole core each, they would leave none to read.
    encoded = texts.map_batches(Encode, fn_constructor_args=[options.server], batch_format="pyarrow", batch_size=options.batch,
                                compute=ray.data.ActorPoolStrategy(size=options.workers), num_cpus=0.1, zero_copy_batch=True)
    encoded.write_parquet(options.output)


if __name__ == "__main__":
    main()
