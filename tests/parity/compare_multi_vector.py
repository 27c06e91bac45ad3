#!/usr/bin/env python3
"""Compares multi-vector models (late interaction) with sentence-transformers, token by token.

    compare_multi_vector.py --build BUILD   (./dev parity multi-vector; versions: requirements.txt)

1. Folders of MultiVectorEncoder, PyLate and Stanford ColBERT over small random checkpoints, in the
   spellings of each, and drawn settings over BERT and ModernBERT. Queries and documents go through
   EncodeTokens of longspan-server and are compared with encode_query and encode_document: which
   tokens have a vector, every value (the bound is 2e-5), and the MaxSim scores of all pairs (2e-5 a
   token of the query).
2. A BERT that longspan-model made a windowed one: texts up to the length of its positions against
   the model that it came from, and longer ones, in windows that hold all of a text, against that
   model with its positions repeated.
3. Folders that cannot be served. longspan-server must end before it listens, with exit code 1 and
   one line that says what to do.

Prints one line for each folder, and exits with 1 if any is off. Every folder lies in a temporary
directory that is removed at the end.
"""
import argparse
import json
import re
import shutil
import string
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np
import sentence_transformers as st
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

import compare_folders as folders
import compare_transformers as random_models

BOUND = 2e-5
TOKENS = "token_embeddings"
QUERIES = ["what is this?", "a window, of local tokens", "don't (ever) stop!", "the dog", "x " * 30]
DOCUMENTS = ["The quick brown fox jumps over the lazy dog. " * 3, "caf\u00e9, \u4f60\u597d; a few global ones!", "one", "...", "it is, they say: \"fine\" [Q] [unused0] # 3"]
Fill = Callable[[Path], None]
TOKENIZERS = {"Bert": "bert-uncased", "ModernBert": "modernbert", "Roberta": "roberta", "Longformer": "roberta", "XLMRoberta": "unigram"}


# --- folders --------------------------------------------------------------------------------------

def plain(folder: Path, kind: str, added: tuple[str, ...] = (), **config: Any) -> None:
    """A bare model with its tokenizer. `added`: tokens that get a row of their own."""
    folders.with_tokenizer(kind, TOKENIZERS[kind], folder, config)
    if added:
        tokenizer = hf.AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens(list(added))
        tokenizer.save_pretrained(folder)


def native(folder: Path, kind: str, modules: list[Any], config: dict[str, Any] | None = None, prompts: dict[str, str] | None = None, **transformer: Any) -> None:
    """A folder as MultiVectorEncoder saves it."""
    bare = folder.parent / (folder.name + ".plain")
    plain(bare, kind, **(config or {}))
    model = MultiVectorEncoder(modules=[Transformer(str(bare), **transformer), *modules], device="cpu", prompts=prompts)
    model.save(str(folder))
    shutil.rmtree(bare)


def dense(width: int, out: int, activation: Any = None, seed: int = 0, **more: Any) -> Dense:
    torch.manual_seed(seed + width + out)
    return Dense(width, out, activation_function=activation or torch.nn.Identity(), module_input_name=TOKENS, **more)


def expansion(strategy: str, length: int, attend: bool, token: str | None = None) -> dict[str, Any]:
    return {"strategy": strategy, "length": length, "attend": attend, "token": token}


def pylate(folder: Path, kind: str, added: bool = True, model_type: str | None = "ColBERT", **top: Any) -> None:
    """A folder as PyLate up to version 3 saves it: Transformer and Dense, all else in one file."""
    plain(folder, kind, ("[Q] ", "[D] ") if added else ())
    head = dense(24, 10, bias=False)
    head.save(str(folder / "1_Dense")) if (folder / "1_Dense").mkdir() is None else None
    (folder / "1_Dense" / "config.json").write_text(json.dumps({"in_features": 24, "out_features": 10, "bias": False,
                                                                 "activation_function": "torch.nn.modules.linear.Identity"}))
    (folder / "modules.json").write_text(json.dumps([
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"}]))
    folders.edit_json(folder / "sentence_bert_config.json", max_seq_length=95, do_lower_case=False)
    folders.edit_json(folder / "config_sentence_transformers.json", model_type=model_type, similarity_fn_name="MaxSim", prompts={}, default_prompt_name=None, **top)


PYLATE_KEYS: dict[str, Any] = {"query_prefix": "[Q] ", "document_prefix": "[D] ", "query_length": 16, "document_length": 60, "attend_to_expansion_tokens": False,
                               "skiplist_words": list(string.punctuation), "do_query_expansion": True}


def stanford(folder: Path, metadata: dict[str, Any] | None, marked: bool = True) -> None:
    """A folder as Stanford's ColBERT saves it: the projection among the weights of the model."""
    plain(folder, "Bert")
    if marked:
        words = (folder / "vocab.txt").read_text().split("\n")
        words[20], words[21] = "[unused0]", "[unused1]"
        (folder / "vocab.txt").write_text("\n".join(words))
    weights = {"bert." + name: tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    torch.manual_seed(3)
    save_file({**weights, "linear.weight": torch.randn(10, 24)}, folder / "model.safetensors", metadata={"format": "pt"})
    folders.edit_json(folder / "config.json", architectures=["HF_ColBERT"])
    if metadata is not None:
        (folder / "artifact.metadata").write_text(json.dumps(metadata))


def written_folders() -> Iterator[tuple[str, Fill]]:
    """Yields name and a function that fills a folder."""
    def mask(**more: Any) -> MultiVectorMask:
        return MultiVectorMask(skiplist_words=list(string.punctuation), **more)

    def norm() -> Normalize:
        return Normalize(module_input_name=TOKENS)

    for kind in ("Bert", "ModernBert", "Roberta", "XLMRoberta", "Longformer"):
        for attend in (False, True):
            yield f"{kind}, queries of 16, attend {attend}", lambda f, k=kind, a=attend: native(
                f, k, [dense(24, 8, bias=False), mask(), norm()], query_expansion=expansion("fixed", 16, a), document_length=60)
    yield "ModernBert, queries beyond its windows", lambda f: native(f, "ModernBert", [dense(24, 8), mask(), norm()], query_expansion=expansion("fixed", 48, False))
    yield "Bert, min, both skip", lambda f: native(f, "Bert", [dense(24, 8), mask(skiplist_tasks=["query", "document"]), norm()],
                                                   query_expansion=expansion("min", 12, False), query_length=40)
    yield "Bert, a token of its own", lambda f: native(f, "Bert", [dense(24, 8), mask(), norm()], query_expansion=expansion("fixed", 16, False, "the"))
    yield "Bert, prompts", lambda f: native(f, "Bert", [dense(24, 8), mask(), norm()], prompts={"query": "search: ", "document": "the dog's "})
    yield "Bert, queries are not expanded", lambda f: native(f, "Bert", [dense(24, 8), mask(), norm()], query_length=20)
    yield "Bert, no mask, no Normalize, Tanh and residual", lambda f: native(f, "Bert", [dense(24, 24, torch.nn.Tanh(), use_residual=True),
                                                                                   dense(24, 9, torch.nn.GELU(), use_residual=True)])
    yield "Bert, nothing but the Transformer", lambda f: native(f, "Bert", [])
    yield "Bert, words that are no tokens, [UNK]", lambda f: native(f, "Bert", [MultiVectorMask(["xyzzy", "[UNK]", "the"]), norm()])
    for kind in ("Bert", "ModernBert"):
        yield f"PyLate, {kind}", lambda f, k=kind: pylate(f, k, **PYLATE_KEYS)
        yield f"PyLate, {kind}, attended", lambda f, k=kind: pylate(f, k, **{**PYLATE_KEYS, "attend_to_expansion_tokens": True})
    yield "PyLate, without model_type", lambda f: pylate(f, "Bert", model_type=None, **PYLATE_KEYS)
    yield "PyLate, no skip list in the file", lambda f: pylate(f, "Bert", **{**PYLATE_KEYS, "skiplist_words": None})
    yield "PyLate, an empty skip list", lambda f: pylate(f, "Bert", **{**PYLATE_KEYS, "skiplist_words": []})
    yield "PyLate, prefixes that are text", lambda f: pylate(f, "Bert", added=False, **PYLATE_KEYS)
    yield "PyLate, no expansion", lambda f: pylate(f, "Bert", **{**PYLATE_KEYS, "do_query_expansion": False})
    yield "PyLate, prefixes alone", lambda f: pylate(f, "Bert", query_prefix="[Q] ", document_prefix="[D] ")
    yield "PyLate, prompts beside the prefixes", lambda f: (pylate(f, "Bert", **PYLATE_KEYS), folders.edit_json(
        f / "config_sentence_transformers.json", prompts={"query": "find ", "document": "[D] the "}))
    metadata = {"query_token_id": "[unused0]", "doc_token_id": "[unused1]", "query_maxlen": 16, "doc_maxlen": 60, "attend_to_mask_tokens": False,
                "mask_punctuation": True, "dim": 10, "similarity": "cosine", "nranks": 4, "meta": {"hostname": "x", "git": {"branch": "y"}}}
    yield "Stanford", lambda f: stanford(f, metadata)
    yield "Stanford, attended, with punctuation", lambda f: stanford(f, {**metadata, "attend_to_mask_tokens": True, "mask_punctuation": False})
    yield "Stanford, no artifact.metadata", lambda f: stanford(f, None)
    yield "Stanford, markers that are text", lambda f: stanford(f, metadata, marked=False)


def drawn_folder(seed: int) -> tuple[str, Fill]:
    """Settings drawn by the seed over a random BERT or ModernBERT."""
    rng = np.random.default_rng([66, seed])

    def pick(*values: Any) -> Any:
        return values[rng.integers(len(values))]
    kind = pick("Bert", "ModernBert")
    heads, size = int(pick(1, 2, 3)), int(pick(8, 16, 20))
    width = heads * size
    config: dict[str, Any] = {"hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": int(rng.integers(1, 4)),
                              "intermediate_size": int(pick(20, 33))}
    if kind == "ModernBert":
        config["local_attention"] = int(pick(4, 8, 32))
        config["layer_types"] = [pick("full_attention", "sliding_attention") for _ in range(config["num_hidden_layers"])]
    length, attend = int(pick(8, 16, 32, 60)), bool(pick(True, False))
    expanded = pick(None, expansion("fixed", length, attend), expansion("min", length, attend))
    outs = [int(n) for n in rng.integers(3, 40, size=int(rng.integers(0, 3)))]
    words = [w for w in [*string.punctuation, "the", "a"] if rng.integers(2)]
    prompts = pick(None, {"query": "q: ", "document": "d "}, {"query": "find "})
    tasks = pick(None, ["query"], ["query", "document"])

    def fill(folder: Path) -> None:
        modules: list[Any] = []
        for before, out in zip([width, *outs], outs):
            modules.append(dense(before, out, pick(None, torch.nn.Tanh(), torch.nn.GELU()), seed, bias=bool(pick(True, False)), use_residual=bool(pick(True, False))))
        modules.append(MultiVectorMask(words, skiplist_tasks=tasks))
        if pick(True, True, False):
            modules.insert(len(modules) - int(rng.integers(2)), Normalize(module_input_name=TOKENS))
        native(folder, kind, modules, {**config}, prompts, query_expansion=expanded)
    return f"drawn {seed}: {kind}, {width} wide, {outs}, {expanded and expanded['strategy']}", fill


# --- both sides -----------------------------------------------------------------------------------

class Server(folders.Server):
    """longspan-server on one folder, asked over HTTP."""

    def __init__(self, build: str, folder: Path) -> None:
        command = [f"{build}/longspan-server", "--model", str(folder), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log-level", "error"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.address, self.error, self.http = None, "", ""
        for line in self.process.stdout or ():
            if found := re.search(r"gRPC on (\S+), HTTP on port (\d+)", line):
                self.address, self.http = found.group(1), f"127.0.0.1:{found.group(2)}"
                return
        self.error = self.process.stderr.read() if self.process.stderr else ""

    def tokens(self, text: str, role: str, max_tokens: int = 0) -> tuple[list[int], np.ndarray]:
        """The tokens that have a vector, and the vectors."""
        options = {"textRole": f"TEXT_ROLE_{role.upper()}", "truncation": "TRUNCATION_HEAD", "maxTokens": str(max_tokens)}
        body = json.dumps({"input": {"text": text}, "options": options}).encode()
        request = urllib.request.Request(f"http://{self.http}/encode_tokens", body, {"content-type": "application/json"})
        try:
            answer = json.load(urllib.request.urlopen(request, timeout=60))
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from None
        first, count = int(answer["firstToken"]), int(answer["tokenCount"])
        ranges = [(int(r.get("begin", 0)), int(r["end"])) for r in answer.get("tokenRanges", [])] or [(first, first + count)]
        vectors = np.array(answer["values"], np.float32).reshape(count, answer["dimensions"])
        return [token for begin, end in ranges for token in range(begin, end)], vectors


def expected(model: MultiVectorEncoder, text: str, role: str) -> tuple[list[int], np.ndarray]:
    encode = model.encode_query if role == "query" else model.encode_document
    vectors = encode([text], convert_to_numpy=True)[0]
    raw = encode([text], output_value=None)[0]
    return torch.nonzero(raw["attention_mask"].bool()).flatten().tolist(), vectors


def max_sim(query: np.ndarray, document: np.ndarray) -> float:
    return float((query @ document.T).max(axis=1).sum()) if len(document) else 0.0


def compare_one(got: tuple[list[int], np.ndarray], want: tuple[list[int], np.ndarray], what: str) -> float:
    """The largest difference. RuntimeError where the tokens differ."""
    if got[0] != want[0] or got[1].shape != want[1].shape:
        raise RuntimeError(f"{what}: vectors of the tokens {got[0]}, not {want[0]}; {got[1].shape}, not {want[1].shape}")
    return float(np.abs(got[1] - want[1]).max()) if len(got[0]) else 0.0


def compare(model: MultiVectorEncoder, server: Server, queries: list[str], documents: list[str], document_length: int) -> float | str:
    """The largest difference between vectors, or what is wrong."""
    worst, scored = 0.0, {"query": [], "document": []}
    for role, texts in (("query", queries), ("document", documents)):
        for text in texts:
            want = expected(model, text, role)
            got = server.tokens(text, role, document_length if role == "document" else model[0].query_length or 0 if model[0].query_expansion is None else 0)
            worst = max(worst, compare_one(got, want, f"{role} {text[:20]!r}"))
            scored[role].append((got[1], want[1]))
    for query, wanted_query in scored["query"]:
        for document, wanted_document in scored["document"]:
            if not len(document):
                continue
            want = float(model.similarity([wanted_query], [wanted_document])[0, 0])
            scale = max(1.0, float(np.abs(wanted_query).max() * np.abs(wanted_document).max() * wanted_query.shape[1]))
            if abs(max_sim(query, document) - want) > BOUND * len(query) * scale:
                return f"MaxSim is {max_sim(query, document)}, not {want}"
    return worst if worst <= BOUND else f"differs by {worst:.1e}"


def compare_folder(fill: Fill, folder: Path, build: str) -> float | str:
    fill(folder)
    model = MultiVectorEncoder(str(folder), device="cpu")
    server = Server(build, folder)
    if server.address is None:
        server.process.wait()
        return server.error.strip()
    try:
        return compare(model, server, QUERIES, DOCUMENTS, model[0].document_length or 0)
    except RuntimeError as error:
        return str(error)
    finally:
        server.stop()


# --- long documents -------------------------------------------------------------------------------

def repeat_positions(folder: Path, positions: int) -> None:
    """Gives a BERT of N positions more of them: row i > 0 is row 1 + (i - 1) mod (N - 1)."""
    def change(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        name = next(name for name in weights if name.endswith("embeddings.position_embeddings.weight"))
        table = weights[name]
        rows = [0] + [1 + (i - 1) % (len(table) - 1) for i in range(1, positions)]
        return {**weights, name: table[rows]}
    folders.edit_weights(folder, change)
    folders.edit_json(folder / "config.json", max_position_embeddings=positions)
    folders.edit_json(folder / "sentence_bert_config.json", document_length=positions, max_seq_length=positions)
    folders.edit_json(folder / "tokenizer_config.json", model_max_length=positions)


def compare_windowed(folder: Path, build: str, fill: Fill) -> float | str:
    """The windowed model against the dense one that it came from, and that one grown."""
    fill(folder)
    dense_model = MultiVectorEncoder(str(folder), device="cpu")
    windowed = folder.parent / "windowed"
    subprocess.run([f"{build}/longspan-model", "convert", str(folder), str(windowed), "--window", "2048"], check=True, capture_output=True)
    server = Server(build, windowed)
    if server.address is None:
        server.process.wait()
        return server.error.strip()
    try:
        short = compare(dense_model, server, QUERIES, DOCUMENTS[1:], 0)
        if isinstance(short, str):
            return short
        grown = folder.parent / "grown"
        shutil.copytree(folder, grown)
        repeat_positions(grown, 700)
        model = MultiVectorEncoder(str(grown), device="cpu")
        long_texts = [" ".join(DOCUMENTS[:2] * 9), "a window, of local tokens. " * 70]
        assert min(len(model.tokenizer(text)["input_ids"]) for text in long_texts) > 200
        return compare(model, server, QUERIES, long_texts, 0)
    except RuntimeError as error:
        return str(error)
    finally:
        server.stop()


# --- folders that cannot be served ----------------------------------------------------------------

def hopeless_folders() -> Iterator[tuple[str, Fill, list[str]]]:
    """Yields name, a function that fills a folder, and words that the error must hold."""
    def changed(change: Callable[[Path], Any]) -> Fill:
        def fill(folder: Path) -> None:
            native(folder, "Bert", [dense(24, 8), MultiVectorMask(["."]), Normalize(module_input_name=TOKENS)], query_expansion=expansion("fixed", 16, False))
            change(folder)
        return fill

    def keys(name: str, **values: Any) -> Fill:
        return changed(lambda f: folders.edit_json(f / name, **values))

    def module(old: str, new: str) -> Fill:
        return changed(lambda f: (f / "modules.json").write_text((f / "modules.json").read_text().replace(old, new)))

    yield "tokens of images alone", keys("2_MultiVectorMask/config.json", keep_only_token_ids=[3]), ["keep_only_token_ids", "images"]
    yield "a skip list that is none", keys("2_MultiVectorMask/config.json", skiplist_words="."), ["skiplist_words", "list of strings"]
    yield "an unknown strategy", keys("sentence_bert_config.json", query_expansion={"strategy": "max", "length": 9}), ["query_expansion.strategy", "max", "fixed"]
    yield "no length", keys("sentence_bert_config.json", query_expansion={"strategy": "min"}), ["query_expansion.length"]
    yield "an unknown key of expansion", keys("sentence_bert_config.json", query_expansion={"strategy": "min", "length": 9, "side": 1}), ["query_expansion", "strategy, attend"]
    yield "an unknown token", keys("sentence_bert_config.json", query_expansion={"strategy": "min", "length": 9, "token": "xyzzy"}), ["xyzzy", "vocabulary"]
    yield "queries longer than the model", keys("sentence_bert_config.json", query_expansion={"strategy": "min", "length": 97}), ["97", "96"]
    yield "a query_length below the expansion", keys("sentence_bert_config.json", query_length=8), ["query_length", "8", "16"]
    yield "a Dense of pooled vectors", keys("1_Dense/config.json", module_input_name="sentence_embedding"), ["module_input_name", "token_embeddings"]
    yield "a Normalize of pooled vectors", keys("3_Normalize/config.json", module_input_name="sentence_embedding"), ["module_input_name", "token_embeddings"]
    yield "a Dense of another width", keys("1_Dense/config.json", in_features=25), ["25", "24"]
    yield "token pooling", module("multi_vector_mask.MultiVectorMask", "token_pooling.HierarchicalTokenPooling"), ["HierarchicalTokenPooling", "MultiVectorMask"]
    yield "expansion without a mask", changed(lambda f: (f / "modules.json").write_text(json.dumps(
        [m for m in json.loads((f / "modules.json").read_text()) if "Mask" not in m["type"]]))), ["query_expansion", "MultiVectorMask"]
    yield "no tokenizer", changed(lambda f: [(f / name).unlink() for name in ("tokenizer.json", "vocab.txt") if (f / name).exists()]), ["tokenizer"]
    def projection(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Fill:
        def fill(folder: Path) -> None:
            stanford(folder, {})
            folders.edit_weights(folder, change)
        return fill

    yield "Stanford without a projection", projection(lambda w: {n: t for n, t in w.items() if n != "linear.weight"}), ["linear.weight", "HF_ColBERT"]
    yield "Stanford, a projection of another width", projection(lambda w: {**w, "linear.weight": torch.ones(10, 23)}), ["23", "24"]
    yield "Stanford, a length that is none", lambda f: stanford(f, {"query_maxlen": "long"}), ["artifact.metadata", "query_maxlen"]
    yield "a SparseEncoder", keys("config_sentence_transformers.json", model_type="SparseEncoder"), ["modules.json", "unusual place"]
    yield "no modules", changed(lambda f: (f / "modules.json").unlink()), ["MultiVectorEncoder", "modules.json"]


def refuse(fill: Fill, words: list[str], folder: Path, build: str) -> float | str:
    """0 where the server refuses the folder as it should, else what is wrong."""
    fill(folder)
    server = Server(build, folder)
    code = server.stop() if server.address else server.process.wait()
    if server.address:
        return "was served"
    lines = server.error.strip().split("\n")
    lacks = [word for word in words if word not in server.error]
    if code != 1 or len(lines) != 1 or lacks:
        return f"code {code}, {len(lines)} lines, without {lacks}: {server.error.strip()}"
    print(f"      {lines[0].replace(str(folder), 'FOLDER')}")
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--only", default="", help="folders whose name holds this")
    parser.add_argument("--drawn", type=int, default=24, help="number of drawn folders")
    arguments = parser.parse_args()
    hf.logging.set_verbosity_error()
    hf.logging.disable_progress_bar()
    torch.set_num_threads(1)
    build = arguments.build
    named = [*written_folders(), *(drawn_folder(seed) for seed in range(arguments.drawn))]
    tasks: list[tuple[str, Callable[[Path], float | str]]] = [(name, lambda f, fill=fill: compare_folder(fill, f, build)) for name, fill in named]
    for attend in (False, True):
        tasks.append((f"windowed, attend {attend}", lambda f, a=attend: compare_windowed(f, build, lambda g: native(
            g, "Bert", [dense(24, 8), MultiVectorMask(list(string.punctuation)), Normalize(module_input_name=TOKENS)],
            query_expansion=expansion("fixed", 16, a)))))
    tasks.append(("windowed, Stanford", lambda f: compare_windowed(f, build, lambda g: stanford(g, {"query_maxlen": 16}))))
    tasks += [("refused: " + name, lambda f, a=(fill, words): refuse(*a, f, build)) for name, fill, words in hopeless_folders()]
    failed = count = 0
    for name, run in tasks:
        if arguments.only not in name:
            continue
        with tempfile.TemporaryDirectory(prefix="folder_") as parent:
            result = run(Path(parent) / "model")
        failed, count = failed + isinstance(result, str), count + 1
        print(f"{'FAILED' if isinstance(result, str) else 'ok    '} {name}: {result if isinstance(result, str) else format(result, '.1e')}", flush=True)
    print(f"{count} folders, {failed} off; transformers {hf.__version__}, sentence-transformers {st.__version__}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
