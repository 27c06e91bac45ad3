"""What ./dev bench compares: models, engines and lengths, and how the checkpoints are made.

A checkpoint has the geometry of a published model and random weights, because the speed does not
depend on their values. Every engine reads the same files.
"""
import json
from dataclasses import dataclass, field
from pathlib import Path

# Settings of glibc's malloc that serve transformers best (1.5 times faster at 4,096 tokens): it
# keeps the memory that is freed. By default it gives large blocks back to the kernel, which has to
# map them in again at the next use.
KEPT = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "67108864"}


@dataclass(frozen=True)
class Engine:
    label: str
    worker: str             # "longspan" for throughput_worker, else the ENGINE of engine_worker.py
    # A name that make_checkpoint knows; or "dense" (MiniLM as published), "embedded" (MiniLM as
    # longspan converts it), "onnx-float32", "onnx-int8" (MiniLM as ONNX).
    model: str
    lengths: tuple          # tokens of a text, at which it is measured
    dtypes: tuple = ("float32", "bfloat16")
    environment: dict = field(default_factory=dict, hash=False)


LONG = (128, 512, 1024, 2048, 4096, 8192, 16384)
ALL = ("float32", "bfloat16", "int8")


def longspan(model, lengths, dtypes=ALL):
    return Engine("longspan", "longspan", model, lengths, dtypes)


def transformers(attention, model, lengths, label=None):
    return Engine(label or f"transformers {attention}", attention, model, lengths, environment=KEPT)


# The engines of each model, longspan first. transformers has no int8, so longspan's int8 is
# compared with its bfloat16, or with its float32 where that is faster.
MODELS = {
    "all-MiniLM-L6-v2": [
        longspan("embedded", (*LONG, 65536)),
        Engine("sentence-transformers", "sentence-transformers", "dense", (128, 512), environment=KEPT),
        transformers("eager", "dense", (128, 512)),
        Engine("ONNX Runtime", "onnx", "onnx-float32", (128, 512), ("float32",)),
        Engine("ONNX Runtime", "onnx", "onnx-int8", (128, 512), ("int8",)),
    ],
    "longformer-base": [
        longspan("longformer-base", (*LONG, 65536)),
        transformers("eager", "longformer-base", LONG),
        Engine("transformers eager, default malloc", "eager", "longformer-base", (4096,)),
        transformers("sdpa", "roberta-base", LONG, "RoBERTa-base (dense), sdpa"),
    ],
    "modernbert-base": [
        longspan("modernbert-base", (512, 1024, 4096, 8192)),
        transformers("sdpa", "modernbert-base", (512, 1024, 4096, 8192)),
    ],
    "reformer-crime-and-punishment": [
        longspan("reformer-crime-and-punishment", (4096, 16384, 65536, 524288), ("float32", "bfloat16")),
        transformers("eager", "reformer-crime-and-punishment", (4096, 16384, 65536, 524288), "transformers"),
    ],
    "longformer-base, 2 of 12 layers, vocabulary 512": [longspan("longformer-2-layers", (4096, 65536, 524288))],
}


def make_checkpoint(name, folder):
    """Saves a random model of that geometry into the folder.

    The configurations are those of the published models. Where a published model has fewer
    positions than the longest text that is measured, this one has more.
    """
    import torch
    import transformers as hf
    torch.manual_seed(0)
    roberta = {"type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    if name == "longformer-base":
        model = hf.LongformerModel(hf.LongformerConfig(vocab_size=50265, attention_window=512, max_position_embeddings=65538, sep_token_id=2, **roberta))
    elif name == "longformer-2-layers":
        model = hf.LongformerModel(hf.LongformerConfig(vocab_size=512, attention_window=512, max_position_embeddings=4098, num_hidden_layers=2, sep_token_id=2, **roberta))
    elif name == "roberta-base":
        model = hf.RobertaModel(hf.RobertaConfig(vocab_size=50265, max_position_embeddings=16386, **roberta))
    elif name == "modernbert-base":
        model = hf.ModernBertModel(hf.ModernBertConfig())
    elif name == "reformer-crime-and-punishment":
        model = hf.ReformerModel(hf.ReformerConfig(attn_layers=["local", "lsh"] * 3, hidden_size=256, num_attention_heads=2, attention_head_size=64, feed_forward_size=512,
                                                   axial_pos_shape=[512, 1024], axial_pos_embds_dim=[64, 192], max_position_embeddings=524288, num_buckets=[64, 128],
                                                   num_hashes=1, hash_seed=0, is_decoder=True, vocab_size=320, pad_token_id=0))
    else:
        raise SystemExit(f"no checkpoint is called {name}")
    model.save_pretrained(folder)
    if name == "longformer-2-layers":
        # Positions repeat after 4,095 tokens, so that a text of half a million tokens needs no
        # table of half a million rows.
        config = json.loads((folder / "config.json").read_text())
        config["longspan"] = {"position_period": 4095}
        (folder / "config.json").write_text(json.dumps(config, indent=1))


def make_onnx(dense, folder):
    """Writes the two ONNX models of the folder `dense`: float32.onnx and int8.onnx.

    float32 stays as it is exported; ONNX Runtime fuses attention, GELU and LayerNorm when it loads
    the model. int8 is made by dynamic quantisation.
    """
    import logging
    import warnings
    import onnx
    import torch
    import transformers as hf
    from onnxruntime.quantization import QuantType, quantize_dynamic
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    hf.logging.disable_progress_bar()
    model = hf.AutoModel.from_pretrained(dense, attn_implementation="eager").eval()

    class LastHiddenState(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, token_type_ids):
            return self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state

    folder.mkdir(parents=True, exist_ok=True)
    ids = torch.randint(1000, 2000, (2, 16))
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {name: {0: "batch", 1: "sequence"} for name in (*names, "last_hidden_state")}
    exported = folder / "exported.onnx"
    torch.onnx.export(LastHiddenState(), (ids, torch.ones_like(ids), torch.zeros_like(ids)), str(exported), input_names=names, output_names=["last_hidden_state"],
                      dynamic_axes=axes, opset_version=17, dynamo=False)
    quantize_dynamic(exported, folder / "int8.part", weight_type=QuantType.QInt8)
    for source, target in ((folder / "int8.part", folder / "int8.onnx"), (exported, folder / "float32.onnx")):
        graph = onnx.load(source)
        graph.metadata_props.append(onnx.StringStringEntryProto(key="vocab_size", value=str(model.config.vocab_size)))
        onnx.save(graph, target)
        source.unlink()


class Checkpoints:
    """The paths of the models. Those that are not given are made on first use, in CACHE/bench."""

    def __init__(self, embedded, dense, cache):
        self.known = {"embedded": Path(embedded), "dense": Path(dense)}
        self.folder = Path(cache) / "bench"

    def path(self, name):
        if name in self.known:
            return self.known[name]
        if name.startswith("onnx-"):
            file = self.folder / "all-MiniLM-L6-v2-onnx" / f"{name[5:]}.onnx"
            if not (file.parent / "float32.onnx").exists():
                print("making the ONNX models", flush=True)
                make_onnx(self.known["dense"], file.parent)
            return file
        folder = self.folder / name
        if not (folder / "config.json").exists():
            print(f"making {name}", flush=True)
            make_checkpoint(name, folder.with_suffix(".part"))
            folder.with_suffix(".part").rename(folder)
        return folder
