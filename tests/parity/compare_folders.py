#!/usr/bin/env python3
"""Compares what longspan and the published libraries make of the folders that users have on disk.

    compare_folders.py --build BUILD      (./dev parity folders; versions: requirements.txt)

1. Task checkpoints of every family (MaskedLM, SequenceClassification, QuestionAnswering, ...),
   whole and in shards, in float16 and bfloat16, with the names and keys of old files. Every token
   vector is compared with that of transformers; the bound is 2e-5, for Reformer 1e-4.
2. sentence-transformers folders, in old and new spellings, saved by hand and by the library. Texts
   go through longspan-server and `longspan encode`, and are compared with
   SentenceTransformer(folder).encode(text); the bound is 2e-5.
3. Folders that cannot be served. longspan-server must end before it listens, with exit code 1 and
   one line that says what to do.

Prints one line for each folder, and exits with 1 if any is off. Every folder lies in a temporary
directory that is removed at the end.
"""
import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import sentence_transformers as st
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

import compare_transformers as random_models
from sentence_transformers.sentence_transformer import modules as st_modules

TOKENIZERS = Path(__file__).parent.parent / "fixtures" / "tokenizers"
TEXTS = ["Hello world", "The quick brown fox jumps over the lazy dog. " * 3, "caf\u00e9 \u4f60\u597d \U0001f468\u200d\U0001f469 don't",
         "a window of local tokens and a few global ones"]


# --- checkpoints ----------------------------------------------------------------------------------

def edit_json(path, **changes):
    """Sets keys of a JSON file, which is made if there is none. The value None removes a key."""
    document = json.loads(path.read_text()) if path.exists() else {}
    document.update(changes)
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))


def edit_weights(folder, change):
    """Replaces the weights of the folder by what `change` makes of them."""
    path = folder / "model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in change(load_file(path)).items()}, path, metadata={"format": "pt"})


def small(kind, **more):
    """The configuration of a tiny model of that kind, with texts of up to 96 tokens."""
    common = dict(vocab_size=60, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40)
    led = dict(vocab_size=60, d_model=24, encoder_layers=2, encoder_attention_heads=3, encoder_ffn_dim=40, decoder_layers=1, decoder_attention_heads=3,
               decoder_ffn_dim=8, attention_window=[8, 4], max_encoder_position_embeddings=96, max_decoder_position_embeddings=8, eos_token_id=2)
    reformer = dict(vocab_size=60, hidden_size=16, num_attention_heads=2, attention_head_size=8, feed_forward_size=24, attn_layers=["local", "lsh"],
                    local_attn_chunk_length=4, lsh_attn_chunk_length=8, num_buckets=[2, 4], num_hashes=2, hash_seed=3, axial_pos_shape=[8, 12],
                    axial_pos_embds_dim=[4, 12], max_position_embeddings=96, pad_token_id=0, eos_token_id=2)
    configs = {"Longformer": {**common, "attention_window": [8, 4], "max_position_embeddings": 99, "pad_token_id": 1, "sep_token_id": 2},
               "LED": led, "Reformer": reformer, "Bert": {**common, "max_position_embeddings": 96},
               "Roberta": {**common, "max_position_embeddings": 98}, "XLMRoberta": {**common, "max_position_embeddings": 98},
               "BigBird": {**common, "block_size": 4, "num_random_blocks": 1, "max_position_embeddings": 100, "sep_token_id": 3},
               "ModernBert": {**common, "local_attention": 8, "max_position_embeddings": 96, "pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1,
                              "eos_token_id": 2, "sep_token_id": 2}}
    return getattr(hf, kind + "Config")(**{**configs[kind], **more})


FAMILY = {"Longformer": "longformer", "LED": "led", "Reformer": "reformer", "Bert": "bert", "Roberta": "roberta", "XLMRoberta": "xlm-roberta",
          "BigBird": "bigbird", "ModernBert": "modernbert"}
TASKS = ("ForMaskedLM", "ForSequenceClassification", "ForQuestionAnswering", "ForTokenClassification", "ForMultipleChoice", "ForPreTraining",
         "ForConditionalGeneration", "ForNextSentencePrediction", "ModelWithLMHead")


def save(kind, task, folder, dtype=torch.float32, shard="10GB", **config):
    """Saves a random model for that task; the default `shard` is larger than any of them."""
    more = {"is_decoder": True} if task == "ModelWithLMHead" else {}
    model = getattr(hf, kind + task)(small(kind, **more, **config))
    random_models.randomise(model, np.random.default_rng([len(kind), len(task), len(config)])).to(dtype).save_pretrained(folder, max_shard_size=shard)


def old_names(weights):
    """The names that the first BERT checkpoints, which came from TensorFlow, have for LayerNorm."""
    return {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor for name, tensor in weights.items()}


def old_reformer_buffers(weights):
    """With the buffers that old versions of transformers saved beside the weights."""
    for name in [name for name in weights if name.endswith("self_attention.value.weight")]:
        for buffer in ("mask_value_float16", "mask_value_float32"):
            weights[name.replace("value.weight", buffer)] = torch.tensor(-1e9 if buffer.endswith("32") else -1e4)
    return weights


def modernbert_of_2024(folder):
    """With the keys that config.json had when ModernBERT came out."""
    edit_json(folder / "config.json", layer_types=None, rope_parameters=None, global_attn_every_n_layers=2, global_rope_theta=160000.0,
              local_rope_theta=10000.0, dtype=None, torch_dtype="float32")


def checkpoints():
    """Yields name, family, a function that fills a folder, and the class of the bare model.

    A fifth value, where there is one, changes the folder after transformers has read it: it gives
    the folder a form that transformers does not read.
    """
    for kind, family in FAMILY.items():
        yield f"{kind}Model", family, lambda f, k=kind: save(k, "Model", f), f"{kind}Model"
        for task in TASKS:
            if hasattr(hf, kind + task):
                yield kind + task, family, lambda f, k=kind, t=task: save(k, t, f), f"{kind}Model"
        yield f"{kind}Model in shards", family, lambda f, k=kind: save(k, "Model", f, shard="8KB"), f"{kind}Model"
        yield f"{kind}Model bfloat16", family, lambda f, k=kind: save(k, "Model", f, torch.bfloat16), f"{kind}Model"
        yield f"{kind}Model float16", family, lambda f, k=kind: save(k, "Model", f, torch.float16), f"{kind}Model"

    def then(kind, task, change, **config):
        """A function that saves such a model and then changes the folder."""
        def fill(folder):
            save(kind, task, folder, **config)
            change(folder)
        return fill
    yield "Bert gamma, beta", "bert", then("Bert", "ForMaskedLM", lambda f: edit_weights(f, old_names)), "BertModel"
    yield "Longformer int window, torch_dtype", "longformer", then("Longformer", "Model", lambda f: edit_json(
        f / "config.json", attention_window=8, dtype=None, torch_dtype="float32", attention_mode="longformer", ignore_attention_mask=False,
        gradient_checkpointing=False, position_embedding_type="absolute"), attention_window=[8, 8]), "LongformerModel"
    yield "Longformer named roberta.*", "longformer", then("Longformer", "Model", lambda f: None), "LongformerModel", lambda f: edit_weights(
        f, lambda w: {"roberta." + name: t for name, t in w.items()})
    yield "Longformer with position_ids", "longformer", then("Longformer", "Model", lambda f: edit_weights(
        f, lambda w: {**w, "embeddings.position_ids": torch.arange(99)[None]})), "LongformerModel"
    yield "ModernBert of 2024", "modernbert", then("ModernBert", "ForMaskedLM", modernbert_of_2024, num_hidden_layers=4,
                                                   layer_types=["full_attention", "sliding_attention"] * 2), "ModernBertModel"
    yield "Reformer with old buffers", "reformer", then("Reformer", "Model", lambda f: edit_weights(f, old_reformer_buffers)), "ReformerModel"
    yield "Reformer table larger than its limit", "reformer", then("Reformer", "Model", lambda f: None, max_position_embeddings=80), "ReformerModel"
    yield "Reformer limit larger than its table", "reformer", then("Reformer", "Model", lambda f: None, max_position_embeddings=512), "ReformerModel"
    yield "Reformer num_buckets null", "reformer", then("Reformer", "Model", lambda f: None, num_buckets=None, max_position_embeddings=512), "ReformerModel"
    yield "Reformer of bytes (258 ids)", "reformer", then("Reformer", "ModelWithLMHead", lambda f: None, vocab_size=258), "ReformerModel"
    yield "LED, encoder names alone", "led", then("LED", "Model", lambda f: edit_weights(
        f, lambda w: {**{n: t for n, t in w.items() if n.startswith("encoder.")}, "encoder.embed_tokens.weight": w["shared.weight"]})), "LEDModel"


def compare_checkpoint(encoder, folder, family, fill, kind, change_after=None):
    """The largest difference between the token vectors, or what is wrong."""
    fill(folder)
    rng, gaps, expected = np.random.default_rng(5), [], {}
    config = hf.AutoConfig.from_pretrained(folder)
    cases = random_models.make_cases(family, rng, config, [8], 80)

    def fresh():
        how = {} if family == "bigbird" else {"attn_implementation": "eager"}
        model = getattr(hf, kind).from_pretrained(folder, dtype=torch.float32, **how).eval()
        return model.get_encoder() if family == "led" else model

    for case in cases:
        expected[case["name"]] = random_models.expect(fresh, family, case, gaps)
    (folder / "cases.json").write_text(json.dumps({"cases": cases}))
    if change_after:
        change_after(folder)
    got = encoder.encode(folder)
    if isinstance(got, str):
        return got
    worst = max(float(np.abs(got[name] - want).max()) for name, want in expected.items())
    return worst if worst <= random_models.BOUNDS.get(family, 2e-5) else f"differs by {worst:.1e}"


# --- sentence-transformers folders ----------------------------------------------------------------

def with_tokenizer(kind, tokenizer, folder, config=None, **more):
    """Saves a bare model with one of the tokenizer fixtures.

    tokenizer_config.json makes the tokenizer's Python class load it.
    """
    sizes = {"bert-uncased": 500, "bert-cased": 500, "roberta": 480, "modernbert": 480, "unigram": 400}
    random_models.randomise(getattr(hf, kind + "Model")(small(kind, vocab_size=sizes[tokenizer], **(config or {}))),
                            np.random.default_rng(7)).save_pretrained(folder)
    for name in ("vocab.txt", "vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"):
        if (TOKENIZERS / tokenizer / name).exists():
            shutil.copy(TOKENIZERS / tokenizer / name, folder)
    classes = {"bert-uncased": "BertTokenizer", "bert-cased": "BertTokenizer", "roberta": "RobertaTokenizer"}
    special = {} if tokenizer not in ("modernbert", "unigram") else {
        "modernbert": dict(cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]"),
        "unigram": dict(cls_token="<s>", sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>")}[tokenizer]
    edit_json(folder / "tokenizer_config.json", tokenizer_class=classes.get(tokenizer, "PreTrainedTokenizerFast"), model_max_length=96, **special, **more)


def old_modules(folder, pooling, dense=None, normalize=False, **bert_config):
    """Adds the modules as sentence-transformers of 2019 to 2023 wrote them."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    (folder / "1_Pooling").mkdir()
    edit_json(folder / "1_Pooling" / "config.json", **pooling)
    if dense:
        modules.append(("2_Dense", "Dense"))
        (folder / "2_Dense").mkdir()
        dense.save(str(folder / "2_Dense"))
    if normalize:
        modules.append((f"{len(modules)}_Normalize", "Normalize"))
        (folder / modules[-1][0]).mkdir()
    (folder / "modules.json").write_text(json.dumps([{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                                                     for i, (path, kind) in enumerate(modules)]))
    if bert_config:
        edit_json(folder / "sentence_bert_config.json", **bert_config)


def old_pooling(*modes, **more):
    """The config.json of a Pooling module of those years: a flag for each mode."""
    keys = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    return {"word_embedding_dimension": 24, **{f"pooling_mode_{key}": key in modes for key in keys}, **more}


def dense(inputs, outputs, activation, **more):
    torch.manual_seed(inputs + outputs)
    return st_modules.Dense(inputs, outputs, activation_function=activation, **more)


def resave(folder, modules, **more):
    """Saves the folder anew with the library of requirements.txt, which writes new spellings."""
    plain = folder.parent / (folder.name + ".plain")
    shutil.move(folder, plain)
    transformer = st_modules.Transformer(str(plain))
    built = [build(transformer.get_embedding_dimension()) for build in modules]
    st.SentenceTransformer(modules=[transformer, *built], device="cpu", **more).save(str(folder))
    shutil.rmtree(plain)


def sentence_folders():
    """Yields name, a function that fills a folder, and options of encode for both sides."""
    def bert(folder, *arguments, **more):
        with_tokenizer("Bert", "bert-uncased", folder)
        old_modules(folder, *arguments, **more)

    def new(folder, *modules, kind="Bert", tokenizer="bert-uncased", **more):
        with_tokenizer(kind, tokenizer, folder)
        resave(folder, modules, **more)

    def pooling(*modes, **more):
        return lambda width: st_modules.Pooling(width, pooling_mode=modes if len(modes) > 1 else modes[0], **more)

    yield "plain Bert, vocab.txt", lambda f: with_tokenizer("Bert", "bert-uncased", f), {}
    yield "plain Roberta, vocab.json + merges.txt", lambda f: with_tokenizer("Roberta", "roberta", f), {}
    yield "plain Longformer, vocab.json + merges.txt", lambda f: with_tokenizer("Longformer", "roberta", f), {}
    yield "plain ModernBert, tokenizer.json", lambda f: with_tokenizer("ModernBert", "modernbert", f), {}
    yield "plain XLMRoberta, tokenizer.json", lambda f: with_tokenizer("XLMRoberta", "unigram", f), {}
    for mode in ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"):
        yield f"old {mode}", lambda f, m=mode: bert(f, old_pooling(m), normalize=m == "mean_tokens"), {}
    yield "old all six", lambda f: bert(f, old_pooling("lasttoken", "weightedmean_tokens", "mean_sqrt_len_tokens", "mean_tokens", "max_tokens",
                                                       "cls_token")), {}
    yield "old, no mode", lambda f: bert(f, {"word_embedding_dimension": 24}), {}
    yield "old cls + mean, Dense Tanh, Normalize", lambda f: bert(f, old_pooling("cls_token", "mean_tokens"), dense(48, 10, torch.nn.Tanh()), True), {}
    for name, activation in (("Identity", torch.nn.Identity()), ("ReLU", torch.nn.ReLU()), ("GELU", torch.nn.GELU()), ("SiLU", torch.nn.SiLU())):
        yield f"old Dense {name}", lambda f, a=activation: bert(f, old_pooling("mean_tokens"), dense(24, 7, a, bias=False)), {}
    yield "old max_seq_length 16", lambda f: bert(f, old_pooling("mean_tokens"), max_seq_length=16, do_lower_case=False), {}
    yield "do_lower_case, cased vocabulary", lambda f: (with_tokenizer("Bert", "bert-cased", f), old_modules(
        f, old_pooling("mean_tokens"), max_seq_length=64, do_lower_case=True)), {}
    yield "old prompts", lambda f: (bert(f, old_pooling("mean_tokens")), edit_json(
        f / "config_sentence_transformers.json", prompts={"query": "query: ", "passage": "the dog's "}, default_prompt_name=None)), {"prompt_name": "query"}
    yield "default prompt, include_prompt false", lambda f: (bert(f, old_pooling("mean_tokens", include_prompt=False)), edit_json(
        f / "config_sentence_transformers.json", prompts={"query": "query: "}, default_prompt_name="query")), {}
    for tokenizer, kind in (("roberta", "Roberta"), ("modernbert", "ModernBert"), ("unigram", "XLMRoberta")):
        yield f"include_prompt false, {tokenizer}", lambda f, t=tokenizer, k=kind: (with_tokenizer(k, t, f), old_modules(
            f, old_pooling("mean_tokens", include_prompt=False)), edit_json(
                f / "config_sentence_transformers.json", prompts={"query": "search: "}, default_prompt_name=None)), {"prompt_name": "query"}
    yield "include_prompt false, weighted mean and cls", lambda f: (bert(f, old_pooling("cls_token", "weightedmean_tokens", include_prompt=False)), edit_json(
        f / "config_sentence_transformers.json", prompts={"query": "search: "}, default_prompt_name="query")), {}
    for mode in ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"):
        yield f"new {mode}", lambda f, m=mode: new(f, pooling(m)), {}
    yield "new lasttoken + max + mean", lambda f: new(f, pooling("lasttoken", "max", "mean")), {}
    yield "new Dense, Dense residual, Normalize", lambda f: new(
        f, pooling("mean"), lambda w: dense(24, 24, torch.nn.Tanh(), use_residual=True), lambda w: dense(24, 9, torch.nn.GELU(), use_residual=True),
        lambda w: st_modules.Normalize()), {}
    yield "new prompts, truncate_dim 8, Normalize", lambda f: new(f, pooling("mean"), lambda w: st_modules.Normalize(), prompts={"query": "query: "},
                                                                  default_prompt_name="query", truncate_dim=8), {}
    yield "new ModernBert cls", lambda f: new(f, pooling("cls"), lambda w: st_modules.Normalize(), kind="ModernBert", tokenizer="modernbert"), {}
    yield "new Roberta", lambda f: new(f, pooling("mean"), kind="Roberta", tokenizer="roberta"), {}
    yield "new Longformer", lambda f: new(f, pooling("mean"), kind="Longformer", tokenizer="roberta"), {}
    yield "new XLMRoberta", lambda f: new(f, pooling("mean"), kind="XLMRoberta", tokenizer="unigram"), {}
    yield "more tokens in the tokenizer than rows in the model", lambda f: (bert(f, old_pooling("mean_tokens")), (f / "vocab.txt").write_text(
        (f / "vocab.txt").read_text() + "".join(f"more{i}\n" for i in range(200)))), {}
    yield "NaN and Infinity in keys that nothing reads", lambda f: (bert(f, old_pooling("mean_tokens")), edit_json(
        f / "config.json", classifier_dropout=float("nan"), notes=[float("inf"), -float("inf")])), {}
    yield "fewer layers than weights", lambda f: (bert(f, old_pooling("mean_tokens")), edit_json(f / "config.json", num_hidden_layers=1)), {}
    yield "0_Transformer in a folder of its own", lambda f: own_folder(f, bert), {}


def own_folder(folder, bert):
    """A folder whose Transformer module lies in a folder of its own."""
    bert(folder, old_pooling("mean_tokens"))
    (folder / "0_Transformer").mkdir()
    for name in ("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"):
        shutil.move(folder / name, folder / "0_Transformer" / name)
    text = (folder / "modules.json").read_text()
    (folder / "modules.json").write_text(text.replace('"path": ""', '"path": "0_Transformer"'))


class Server:
    """longspan-server on one folder.

    Where it ended before it listened, `address` is None and `error` holds what it wrote to stderr.
    """

    def __init__(self, build, folder):
        self.process = subprocess.Popen([f"{build}/longspan-server", "--model", str(folder), "--listen", "127.0.0.1:0", "--http", "off", "--log-level",
                                         "error"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.address, self.error = None, ""
        for line in self.process.stdout:
            found = re.search(r"gRPC on (\S+),", line)
            if found:
                self.address = found.group(1)
                return
        self.error = self.process.stderr.read()

    def stop(self):
        self.process.terminate()
        return self.process.wait()

    def encode(self, build, text, options):
        flags = ["--truncation", "head"] + (["--prompt", options["prompt_name"]] if options else [])
        answer = subprocess.run([f"{build}/longspan", "encode", "--server", self.address, *flags, "-"], input=text, capture_output=True, text=True)
        if answer.returncode:
            raise RuntimeError(answer.stderr.strip())
        return np.array(json.loads(answer.stdout)["encodings"][0]["vector"]["values"], np.float32)


def compare_sentences(fill, options, folder, build):
    """The largest difference between the vectors of TEXTS, or what is wrong."""
    fill(folder)
    model = st.SentenceTransformer(str(folder), device="cpu")
    server = Server(build, folder)
    if server.address is None:
        server.process.wait()
        return server.error.strip()
    try:
        worst = 0.0
        for text in TEXTS:
            want, got = model.encode([text], **options)[0], server.encode(build, text, options)
            if want.shape != got.shape:
                return f"{got.shape} values, not {want.shape}"
            worst = max(worst, float(np.abs(want - got).max()))
        return worst if worst <= 2e-5 else f"differs by {worst:.1e}"
    except RuntimeError as error:
        return str(error)
    finally:
        server.stop()


# --- folders that cannot be served ----------------------------------------------------------------

def hopeless_folders():
    """Yields name, a function that fills a folder, and words that the error must hold."""
    def bert(change):
        def fill(folder):
            with_tokenizer("Bert", "bert-uncased", folder)
            old_modules(folder, old_pooling("mean_tokens"), dense(24, 7, torch.nn.Tanh()))
            change(folder)
        return fill

    def weights(change):
        return bert(lambda f: edit_weights(f, change))

    def config(name="config.json", **changes):
        return bert(lambda f: edit_json(f / name, **changes))

    query = "encoder.layer.1.attention.self.query.weight"
    yield "a missing weight", weights(lambda w: {n: t for n, t in w.items() if n != query}), [query, "missing", "[24, 24]"]
    yield "an extra weight", weights(lambda w: {**w, "encoder.adapter.weight": torch.ones(2)}), ["encoder.adapter.weight", "model_type"]
    yield "a wrong shape", weights(lambda w: {**w, query: torch.ones(24, 23)}), [query, "[24, 23]", "[24, 24]"]
    yield "integer weights", weights(lambda w: {**w, query: torch.ones(24, 24, dtype=torch.int8)}), [query, "int8", "scales"]
    yield "an unknown architecture", config(model_type="gpt2"), ["gpt2", "longformer", "modernbert"]
    yield "an unsupported activation", config(hidden_act="mish"), ["mish", "gelu"]
    yield "relative positions", config(position_embedding_type="relative_key"), ["position_embedding_type", "absolute"]
    yield "a decoder", config(is_decoder=True), ["is_decoder"]
    yield "a NaN row in the word table", weights(lambda w: {**w, "embeddings.word_embeddings.weight": torch.cat(
        [w["embeddings.word_embeddings.weight"][:-1], torch.full((1, 24), float("nan"))])}), ["model.safetensors", "word_embeddings", "NaN", "[499, 0]"]
    yield "NaN in a key that is used", config(layer_norm_eps=float("nan")), ["config.json", "layer_norm_eps", "NaN"]
    yield "more layers than weights", config(num_hidden_layers=3), ["config.json", "num_hidden_layers", "3", "at most 2"]
    yield "a causal mask", config(is_causal=True), ["config.json", "is_causal"]
    yield "quantized weights", config(quantization_config={"quant_method": "gptq", "bits": 4}), ["config.json", "quantization_config", "gptq"]
    yield "an adapter", bert(lambda f: edit_json(f / "adapter_config.json", peft_type="LORA")), ["adapter_config.json", "merge_and_unload"]
    yield "an unsupported Dense activation", config("2_Dense/config.json", activation_function="torch.nn.modules.activation.Hardtanh"), ["Hardtanh", "Tanh"]
    yield "an unknown pooling", config("1_Pooling/config.json", pooling_mode="attention"), ["attention", "weightedmean"]
    yield "an unknown module", bert(lambda f: (f / "modules.json").write_text((f / "modules.json").read_text().replace("models.Dense", "models.LSTM"))), [
        "LSTM", "Transformer, Pooling"]
    yield "pytorch_model.bin alone", bert(lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin")), ["pytorch_model.bin", "save_pretrained"]
    yield "pytorch_model.bin in a Dense", bert(lambda f: (f / "2_Dense/model.safetensors").rename(f / "2_Dense/pytorch_model.bin")), ["2_Dense", "safetensors"]
    yield "no weights", bert(lambda f: (f / "model.safetensors").unlink()), ["model.safetensors"]
    yield "no config.json", bert(lambda f: (f / "config.json").unlink()), ["config.json"]
    yield "no model_type", config(model_type=None), ["model_type"]
    yield "half a file", bert(lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:5000])), ["model.safetensors", "truncated"]
    yield "config.json that is no JSON", bert(lambda f: (f / "config.json").write_text("{")), ["config.json", "JSON"]
    yield "a Dense of another width", config("2_Dense/config.json", in_features=25), ["25", "24"]
    yield "a SentencePiece model alone", bert(lambda f: (f / "vocab.txt").rename(f / "spiece.model")), ["spiece.model", "save_pretrained"]
    yield "an unknown normaliser", bert(lambda f: (f / "tokenizer.json").write_text(json.dumps(
        {"version": "1.0", "normalizer": {"type": "Quantum"}, "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}))), ["Quantum"]


def refuse(fill, words, folder, build):
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


# --------------------------------------------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--only", default="", help="folders whose name holds this")
    arguments = parser.parse_args()
    hf.logging.set_verbosity_error()
    hf.logging.disable_progress_bar()
    torch.set_num_threads(1)
    encoder, failed, count = random_models.Encoder(f"{arguments.build}/tests/parity_encode"), 0, 0
    tasks = [(name, lambda f, a=how: compare_checkpoint(encoder, f, *a)) for name, *how in checkpoints()]
    tasks += [(name, lambda f, a=(fill, options): compare_sentences(*a, f, arguments.build)) for name, fill, options in sentence_folders()]
    tasks += [("refused: " + name, lambda f, a=(fill, words): refuse(*a, f, arguments.build)) for name, fill, words in hopeless_folders()]
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
