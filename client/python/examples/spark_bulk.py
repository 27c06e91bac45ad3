"""Encodes the texts of Parquet files with Spark, on as many machines as the cluster has.

    spark-submit spark_bulk.py IN OUT --server HOST:PORT

IN and OUT are folders that all machines reach. Of IN the columns `id` and `text` are read. OUT has
`id`, `vector` (null where the text has none) and `error` (null where it has one). Spark tries a
task again whose machine went away; OUT has a file _SUCCESS when it is whole, and none of a run
before.
The package longspan must be on each machine (--archives, or installed).
"""
from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from longspan import Client
from pyspark.sql import SparkSession

SCHEMA = "id string, vector array<float>, error string"


def encode(server: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One task: a connection, and batch after batch."""
    with Client(server, timeout=600) as client:
        for batch in batches:
            texts = [text or "" for text in batch["text"].to_pylist()]
            vectors: list[np.ndarray | None] = [None] * len(texts)
            errors: list[str | None] = [None] * len(texts)
            for answer in client.encode_stream(texts):
                vectors[answer.index] = answer.vector
                errors[answer.index] = answer.error and str(answer.error)
            yield pa.record_batch({"id": batch["id"], "vector": column(vectors), "error": pa.array(errors, pa.string())})


def column(vectors: list[np.ndarray | None]) -> pa.Array:
    """A column of lists, without a Python object for each value."""
    values = np.concatenate([np.empty(0, np.float32), *(v for v in vectors if v is not None)])
    ends = np.cumsum([0, *(0 if v is None else len(v) for v in vectors)])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values), mask=pa.array([v is None for v in vectors]))


def main() -> None:
    parser = argparse.ArgumentParser(description="Parquet with texts into Parquet with vectors, by Spark")
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--server", required=True, help="HOST:PORT; behind a name of several addresses calls go round")
    parser.add_argument("--batch", type=int, default=2000, help="texts that a task has at once")
    options = parser.parse_args()

    spark = SparkSession.builder.appName("longspan").getOrCreate()
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", options.batch)
    texts = spark.read.parquet(options.input).selectExpr("string(id) id", "text")
    server = options.server
    encoded = texts.mapInArrow(lambda batches: encode(server, batches), SCHEMA)
    encoded.write.mode("overwrite").parquet(options.output)
    spark.stop()


if __name__ == "__main__":
    main()
