"""ONNX Runtime as a server with padded batches runs it, but without the server.

    padded_engine.py MODEL.onnx THREADS TEXTS

A batch holds TEXTS texts, and each is padded to the length of the longest. The vectors are the
means over the real tokens. Each line "SECONDS MEDIAN SIGMA MIN MAX" on stdin asks for batches for
so many seconds, with lengths as `longspan bench --lengths MEDIAN~SIGMA/MIN-MAX` draws them. The
answer is "TOKENS SECONDS"; padding does not count as tokens.
"""
import sys
import time

import numpy as np
import onnxruntime as ort


# The inputs of a BERT for `texts` random texts, [texts, longest] each.
def batch(random, texts, median, sigma, low, high, vocabulary):
    lengths = np.clip(np.exp(random.normal(np.log(median), sigma, texts)).astype(np.int64), low, high)
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    return {"input_ids": random.integers(3, vocabulary, mask.shape) * mask, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)}


def main():
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(sys.argv[2])
    session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    vocabulary, texts, random = int(session.get_modelmeta().custom_metadata_map["vocab_size"]), int(sys.argv[3]), np.random.default_rng(1)
    print("ready", flush=True)
    for line in sys.stdin:
        wanted, median, sigma, low, high = map(float, line.split())
        tokens = took = 0
        while took < wanted:
            feed = batch(random, texts, median, sigma, low, high, vocabulary)
            start = time.perf_counter()
            states, mask = session.run(None, feed)[0], feed["attention_mask"]
            vectors = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            took += time.perf_counter() - start
            tokens += int(mask.sum())
        print(tokens, took, flush=True)


main()
