"""What a client gets that calls sentence-transformers itself and has BM25 beside it, on the same
set.

    client_peer.py MODEL SET.json OUT.npz

Runs in the environment of ./dev bench (tests/bench/environment.sh). It writes scores [questions,
documents]: head (a document cut at 512 tokens), chunks (the best of independent chunks of 128
tokens), each the cosine. MODEL is the folder that the server serves.
"""
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

CHUNK = 128


def chunks_of(model: SentenceTransformer, text: str) -> list[str]:
    """The text in pieces of 126 tokens: with the two special ones 128."""
    places = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    inner = CHUNK - 2
    return [text[places[first][0]:places[min(first + inner, len(places)) - 1][1]] for first in range(0, len(places), inner)]


def encode(model: SentenceTransformer, texts: list[str]) -> np.ndarray:
    return np.asarray(model.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False), np.float32)


def main(model_folder: str, set_path: str, out: str) -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    model = SentenceTransformer(model_folder, device="cpu")
    model.max_seq_length = 512
    raw = json.loads(Path(set_path).read_text(encoding="utf-8"))
    questions = encode(model, [question["text"] for group in ("questions", "reworded", "paraphrased") for question in raw[group]])
    head = questions @ encode(model, raw["texts"]).T
    pieces = [chunks_of(model, text) for text in raw["texts"]]
    begins = np.concatenate([[0], np.cumsum([len(found) for found in pieces])])[:-1]
    scores = questions @ encode(model, [piece for found in pieces for piece in found]).T
    np.savez(out, head=head, chunks=np.maximum.reduceat(scores, begins, axis=1))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
