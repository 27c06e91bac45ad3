"""Speaks the protocol of throughput_worker for another engine, and pools by the mean as it does.

    engine_worker.py ENGINE MODEL DTYPE THREADS

ENGINE is eager or sdpa (the two attention implementations of transformers), sentence-transformers,
or onnx (ONNX Runtime; MODEL is then the .onnx file).
A model or a length that the engine cannot run is answered "refused REASON".
"""
import sys
import time
import traceback

import numpy as np


def peak_mib():
    """Peak of the resident set since the last call, in MiB."""
    for line in open("/proc/self/status", encoding="ascii"):
        if line.startswith("VmHWM:"):
            mib = float(line.split()[1]) / 1024
    with open("/proc/self/clear_refs", "w", encoding="ascii") as f:
        f.write("5")
    return mib


def random_ids(count, vocabulary, state):
    """The same ids as RandomIds of throughput_worker."""
    ids = np.empty(count, np.int64)
    for i in range(count):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        ids[i] = 3 + (state >> 8) % (vocabulary - 3)
    return ids


# Each loader returns a function that encodes ids [texts, length] and gives the first text's vector,
# and the size of the vocabulary.

def load_transformers(folder, dtype, threads, attention):
    import torch
    import transformers as hf
    hf.logging.set_verbosity_error()
    hf.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    model = hf.AutoModel.from_pretrained(folder, attn_implementation=attention, dtype=getattr(torch, dtype)).eval()
    more = {"use_cache": False} if model.config.model_type == "reformer" else {}

    def run(ids):
        with torch.inference_mode():
            return model(input_ids=torch.from_numpy(ids), **more).last_hidden_state.float().mean(1)[0].tolist()
    return run, model.config.vocab_size


def load_sentence_transformers(folder, dtype, threads):
    import torch
    import transformers as hf
    from sentence_transformers import SentenceTransformer
    hf.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    model = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": getattr(torch, dtype)}).eval()

    def run(ids):
        features = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.ones(ids.shape, dtype=torch.int64)}
        with torch.inference_mode():
            return model(features)["sentence_embedding"][0].float().tolist()
    return run, model[0].auto_model.config.vocab_size


def load_onnx(path, threads):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(ids):
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        return session.run(None, feed)[0].mean(1)[0].tolist()
    return run, int(session.get_modelmeta().custom_metadata_map["vocab_size"])


def load(engine, model, dtype, threads):
    if engine == "onnx":
        return load_onnx(model, threads)
    if engine == "sentence-transformers":
        return load_sentence_transformers(model, dtype, threads)
    return load_transformers(model, dtype, threads, engine)


def refuse(error):
    """One line on stdout for compare.py, the whole story on stderr."""
    traceback.print_exception(error)
    print("refused", *traceback.format_exception_only(error)[-1].split("\n")[:1], flush=True)


def main():
    engine, model, dtype, threads = sys.argv[1:5]
    try:
        run, vocabulary = load(engine, model, dtype, int(threads))
    except Exception as error:
        refuse(error)
        return 1
    print("ready", flush=True)
    for line in sys.stdin:
        length, texts = map(int, line.split())
        ids = np.stack([random_ids(length, vocabulary, text + 1) for text in range(texts)])
        peak_mib()
        start = time.perf_counter()
        try:
            vector = run(ids)
        except Exception as error:  # this length, perhaps every length, is beyond the engine
            refuse(error)
            continue
        seconds = time.perf_counter() - start
        print(seconds, peak_mib(), *vector, flush=True)
    return 0


sys.exit(main())
