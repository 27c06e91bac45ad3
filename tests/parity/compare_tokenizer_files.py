#!/usr/bin/env python3
"""Compares what longspan and the published libraries make of tokenizer files that disagree.

    compare_tokenizer_files.py --driver PARITY_TOKENIZE [--cases 200] [--seed 1] [--record FILE]
                                          (./dev parity tokenizers; versions: requirements.txt)

Each case is a folder of a tiny model with a tokenizer.json (or vocabulary files) of random
components, and with a tokenizer_config.json, special_tokens_map.json, added_tokens.json and
sentence-transformers files whose keys are drawn from the tables of docs/checkpoints.md, whatever
tokenizer.json says. The ids of hard texts are compared with AutoTokenizer's, and the vectors with
SentenceTransformer(folder).encode (bound 2e-5). A refusal passes where it names a key that was
drawn, or where the published library cannot read the folder either.

--record writes the cases whose ids agree, as JSON, for tests/fixtures/tokenizers/files.json: what
each file says, the texts, and the ids and types of transformers.

Prints one line for each case that is off, a count of each outcome, and exits with 1 if any is off.
"""
import argparse
import collections
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import sentence_transformers as st
import torch
import transformers as hf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

import compare_transformers as random_models
from compare_folders import small

FIXTURES = Path(__file__).parent.parent / "fixtures" / "tokenizers"
TEXTS = ["Hello world", "The Quick  brown fox", "caf\u00e9 \u00c5ngstr\u00f6m \u4f60\u597d\u4e16\u754c don't", " leading and trailing ", "a\tb\nc",
         "[CLS] inside [SEP] and [MASK]", "<s> inside </s> and <mask> too", "a [MASK]b <mask>b", "NEWTOK newtok and xNEWTOKx", "\u0130stanbul \u1e9e \ufb01ne"]
BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
ROLES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]
KINDS = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "longformer": "Longformer", "led": "LED", "big_bird": "BigBird",
         "reformer": "Reformer", "modernbert": "ModernBert", "camembert": "XLMRoberta"}


# --- vocabularies ---------------------------------------------------------------------------------

def word_piece():
    tokens = (FIXTURES / "bert-cased" / "vocab.txt").read_text().split("\n")[:-1] + ["<s>", "<pad>", "</s>", "<mask>"]
    vocab = {token: i for i, token in enumerate(tokens)}
    return models.WordPiece(vocab, unk_token="[UNK]"), vocab, BERT_SPECIAL


def byte_pairs():
    vocab = json.loads((FIXTURES / "roberta" / "vocab.json").read_text())
    merges = [tuple(line.split(" ")) for line in (FIXTURES / "roberta" / "merges.txt").read_text().split("\n")[1:-1]]
    return models.BPE(vocab, merges), vocab, ROBERTA_SPECIAL


def unigram():
    pieces = [tuple(piece) for piece in json.loads((FIXTURES / "unigram" / "tokenizer.json").read_text())["model"]["vocab"]]
    pieces += [(token, -9.5) for token in BERT_SPECIAL]
    return models.Unigram(pieces, unk_id=3), {piece: i for i, (piece, _) in enumerate(pieces)}, ROBERTA_SPECIAL + BERT_SPECIAL


def metaspace_bpe():
    model = json.loads((FIXTURES / "metaspace-bpe" / "tokenizer.json").read_text())["model"]
    return models.BPE(model["vocab"], [tuple(m) for m in model["merges"]], unk_token="<unk>", fuse_unk=True), model["vocab"], ["<unk>", "<s>", "</s>"]


def charsmap():
    document = json.loads((FIXTURES / "unigram" / "tokenizer.json").read_text())
    state = [n for n in document["normalizer"]["normalizers"] if n["type"] == "Precompiled"][0]
    return state


# A vocabulary, the tokenizer classes that read it, and the model types whose own class does.
FAMILIES = {
    "WordPiece": (word_piece, ["BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "ElectraTokenizerFast", "MPNetTokenizer"], ["bert"]),
    "byte BPE": (byte_pairs, ["RobertaTokenizer", "RobertaTokenizerFast", "LongformerTokenizerFast", "BartTokenizer", "LEDTokenizer", "HerbertTokenizer"],
                 ["roberta", "longformer", "led"]),
    "Unigram": (unigram, ["XLMRobertaTokenizer", "XLMRobertaTokenizerFast", "CamembertTokenizer", "BigBirdTokenizer", "AlbertTokenizer"],
                ["xlm-roberta", "camembert", "big_bird"]),
    "BPE": (metaspace_bpe, ["ReformerTokenizer", "ReformerTokenizerFast"], ["reformer"]),
}


class Draw:
    """Random choices, and the names of what was drawn."""

    def __init__(self, seed):
        self.rng, self.names = np.random.default_rng(seed), set()

    def of(self, values):
        return values[int(self.rng.integers(len(values)))]

    def chance(self, probability):
        return self.rng.random() < probability

    def some(self, values, probability):
        return [value for value in values if self.chance(probability)]


def random_tokenizer(draw, family):
    """A tokenizer.json of that vocabulary with random components."""
    model, vocab, special = FAMILIES[family][0]()
    tokenizer = Tokenizer(model)
    begin, end = ("[CLS]", "[SEP]") if "[CLS]" in vocab else ("<s>", "</s>")
    if family == "WordPiece":
        tokenizer.normalizer = draw.of([None, normalizers.Lowercase(), normalizers.BertNormalizer(
            clean_text=draw.chance(0.5), handle_chinese_chars=draw.chance(0.5), strip_accents=draw.of([None, True, False]), lowercase=draw.chance(0.5))])
        tokenizer.pre_tokenizer = draw.of([pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Whitespace()])
        tokenizer.decoder = decoders.WordPiece(prefix="##")
    elif family == "byte BPE":
        tokenizer.normalizer = draw.of([None, normalizers.NFC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=draw.chance(0.5))
        tokenizer.decoder = decoders.ByteLevel()
    else:
        tokenizer.normalizer = draw.of([None, normalizers.NFKC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme=draw.of(["always", "never", "first"]))
        tokenizer.decoder = decoders.Metaspace()
    types = draw.of([(0, 0, 0), (0, 0, 0), (0, 1, 0), (1, 1, 1), (0, 1, 1)])
    if draw.chance(0.15):
        begin, end = end, begin
    if draw.chance(0.9):
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin}:{types[0]} $A:{types[1]} {end}:{types[2]}", pair=f"{begin} $A {end} $B:1 {end}:1",
            special_tokens=[(begin, vocab[begin]), (end, vocab[end])])
    tokenizer.add_special_tokens([AddedToken(t, normalized=draw.chance(0.2), lstrip=draw.chance(0.2), rstrip=draw.chance(0.1), special=True)
                                  for t in draw.some(special, 0.9)])
    if draw.chance(0.4):
        tokenizer.add_tokens([AddedToken("NEWTOK", normalized=draw.chance(0.5), lstrip=draw.chance(0.3), single_word=draw.chance(0.3))])
    if draw.chance(0.3):
        tokenizer.enable_padding(pad_id=vocab.get("<pad>", 0), pad_token="<pad>" if "<pad>" in vocab else special[0])
        tokenizer.enable_truncation(8)
    document = json.loads(tokenizer.to_str())
    if family in ("Unigram", "BPE") and draw.chance(0.5):
        document["normalizer"] = draw.of([charsmap(), {"type": "Sequence", "normalizers": [charsmap(), {"type": "Lowercase"}]}])
    return document, vocab, special


def random_token(draw, vocab, special):
    """A value of a token's key: a text, or an object with rules."""
    text = draw.of(list(special) + draw.some([t for t in vocab if t.isalpha() and t.isascii() and len(t) > 1][:6], 0.2))
    if draw.chance(0.6):
        return text
    return {"__type": "AddedToken", "content": text, "lstrip": draw.chance(0.3), "rstrip": draw.chance(0.2), "normalized": draw.chance(0.3),
            "single_word": draw.chance(0.2)}


def random_config(draw, family, vocab, special, size):
    """A tokenizer_config.json, of keys drawn one by one."""
    flags = {key: [True, False] for key in ("do_lower_case", "tokenize_chinese_chars", "add_prefix_space", "trim_offsets", "clean_text", "keep_accents",
                                            "add_bos_token", "add_eos_token", "split_special_tokens", "clean_up_tokenization_spaces", "legacy",
                                            "from_slow", "use_fast", "fix_mistral_regex")}
    plain = {**flags, "strip_accents": [True, False, None], "truncation_side": ["left", "right"], "padding_side": ["left", "right"],
             "model_max_length": [64, 10**30], "max_length": [8], "stride": [0, 2], "errors": ["replace", "ignore"], "never_split": [["fox"]],
             "do_basic_tokenize": [True, False], "wordpieces_prefix": ["##", "@@"], "pad_token_type_id": [1], "backend": ["tokenizers"],
             "name_or_path": ["somewhere"], "special_tokens_map_file": ["/nowhere/special_tokens_map.json"], "sp_model_kwargs": [{}],
             "model_input_names": [["input_ids", "attention_mask"], ["input_ids", "token_type_ids", "attention_mask"]]}
    config = {key: draw.of(plain[key]) for key in draw.some(sorted(plain), 0.12)}
    if draw.chance(0.35):
        config["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    for role in draw.some(ROLES, 0.12):
        config[role] = random_token(draw, vocab, special)
    if draw.chance(0.1):
        config["image_token"] = draw.of(["fox", "NEWTOK"])
    for key in draw.some(["extra_special_tokens", "additional_special_tokens"], 0.12):
        config[key] = draw.of([["fox"], ["NEWTOK"], ["quick", "world"]])
    if draw.chance(0.25):
        contents = {token: i for token, i in vocab.items() if token in special}
        config["added_tokens_decoder"] = {
            str(i): {"content": token, "lstrip": draw.chance(0.3), "rstrip": draw.chance(0.1), "normalized": draw.chance(0.3), "single_word": False,
                     "special": draw.chance(0.9)} for token, i in contents.items() if draw.chance(0.9)}
        if draw.chance(0.3):
            config["added_tokens_decoder"][str(size)] = {"content": "NEWTOK", "lstrip": False, "rstrip": False, "normalized": False,
                                                         "single_word": draw.chance(0.3), "special": draw.chance(0.5)}
    return config


def random_case(seed):
    """The files of one folder by name, and the type of its model."""
    draw = Draw(seed)
    family = draw.of(sorted(FAMILIES))
    document, vocab, special = random_tokenizer(draw, family)
    size = len(vocab)
    config = random_config(draw, family, vocab, special, size)
    named = draw.of([None, None, "PreTrainedTokenizerFast", "MyOwnTokenizer", *FAMILIES[family][1] * 2, "GPT2Tokenizer" if draw.chance(0.2) else None])
    if named:
        config["tokenizer_class"] = named
    model_type = draw.of(FAMILIES[family][2] * 3 + ["bert", "modernbert", "longformer"])
    files = {"tokenizer.json": document}
    if draw.chance(0.12) and family == "WordPiece":
        files = {"vocab.txt": "".join(token + "\n" for token in sorted(vocab, key=vocab.get))}
    if draw.chance(0.12) and family == "byte BPE":
        files = {"vocab.json": vocab, "merges.txt": (FIXTURES / "roberta" / "merges.txt").read_text()}
    if draw.chance(0.9):
        files["tokenizer_config.json"] = config
    if draw.chance(0.25):
        files["special_tokens_map.json"] = {role: random_token(draw, vocab, special) for role in draw.some(ROLES, 0.3)}
        for value in files["special_tokens_map.json"].values():
            if isinstance(value, dict):
                value.pop("__type")
    if draw.chance(0.15):
        files["added_tokens.json"] = {"NEWTOK": size}
    random_sentence_files(draw, files)
    return model_type, files


def random_sentence_files(draw, files):
    """modules.json and its siblings, in half of the folders."""
    if draw.chance(0.5):
        return
    packages = {"Transformer": ["models.Transformer", "models.Transformer.Transformer", "base.modules.transformer.Transformer"],
                "Pooling": ["models.Pooling", "models.Pooling.Pooling", "sentence_transformer.modules.pooling.Pooling"],
                "Normalize": ["models.Normalize", "base.modules.normalize.Normalize", "sentence_transformer.modules.normalize.Normalize"]}
    kinds = ["Transformer", "Pooling"] + ["Normalize"] * draw.chance(0.5)
    modules = [{"idx": draw.of([i, 9 - i]), "name": str(i), "path": "" if i == 0 else f"{i}_{kind}",
                "type": draw.of(["sentence_transformers." + path for path in packages[kind]] + ["my_pkg." + kind] * draw.chance(0.05))}
               for i, kind in enumerate(kinds)]
    if draw.chance(0.1):
        modules[0]["kwargs"] = ["task"]
    files["modules.json"] = modules
    files["1_Pooling/config.json"] = {"word_embedding_dimension": 24, **draw.of([{}, {"pooling_mode": draw.of(["cls", "mean", "max", "lasttoken", "weightedmean"])},
                                                                                 {"pooling_mode_max_tokens": True, "pooling_mode_cls_token": True}])}
    values = {"max_seq_length": [64], "do_lower_case": [True, False], "transformer_task": ["feature-extraction"], "unpad_inputs": [None],
              "query_length": [8], "document_length": [8], "model_args": [{}, {"attn_implementation": "eager"}], "tokenizer_args": [{}, {"do_lower_case": False}],
              "config_args": [{}], "processing_kwargs": [{}, {"text": {"max_length": 8}}]}
    files["sentence_bert_config.json"] = {key: draw.of(values[key]) for key in draw.some(sorted(values), 0.2)}
    values = {"prompts": [{"query": "query: "}], "similarity_fn_name": ["cosine", "dot"], "model_type": ["SentenceTransformer"], "__version__": [{}],
              "truncate_dim": [8], "requirements": [None]}
    files["config_sentence_transformers.json"] = {key: draw.of(values[key]) for key in draw.some(sorted(values), 0.2)}


def write(folder, model_type, files):
    """Makes the folder: a tiny random model of that type, and the files."""
    sizes = {"vocab_size": 600}
    model = getattr(hf, KINDS[model_type] + "Model")(small(KINDS[model_type], **sizes))
    random_models.randomise(model, np.random.default_rng(7)).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = model_type
    (folder / "config.json").write_text(json.dumps(config))
    width = config.get("hidden_size", config.get("d_model")) * (2 if model_type == "reformer" else 1)
    for name, content in files.items():
        if name == "1_Pooling/config.json":
            content = {**content, "word_embedding_dimension": width}
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    (folder / "texts.json").write_text(json.dumps(TEXTS))


class Driver:
    """parity_tokenize, which answers one line for each folder."""

    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, folder):
        """None where the folder was encoded, else the refusal."""
        self.process.stdin.write(f"{folder}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        return None if answer == "ok" else answer or "the driver ended"


def reference(folder, model_type):
    """Ids, types and vectors of the published libraries; no vectors where no text can be padded."""
    model = st.SentenceTransformer(str(folder), device="cpu")
    encoded = [model.tokenizer(text) for text in TEXTS]
    if any(max(one["input_ids"], default=0) >= 600 for one in encoded):
        raise ValueError("an id is outside of the model's vocabulary")
    if model.tokenizer.pad_token is None:  # sentence-transformers pads even a single text
        return encoded, [None] * len(TEXTS)
    return encoded, [model.encode([text])[0] for text in TEXTS]


def keys_of(files):
    """Every key and class that a refusal may name."""
    names = set()
    for name, content in files.items():
        if name == "tokenizer.json":
            names.update(("post_processor", "model", "added token"))
        elif isinstance(content, dict):
            names.update(content)
            names.update(str(value) for value in content.values() if isinstance(value, str))
        elif isinstance(content, list):
            names.update(module["type"] for module in content)
    return names | {"tokenizer_class", "vocabulary lacks"}


def compare(driver, folder, seed):
    """What became of one case ("same", "refused", "unreadable") and what is wrong, if anything."""
    model_type, files = random_case(seed)
    write(folder, model_type, files)
    refusal = driver.run(folder)
    try:
        encoded, vectors = reference(folder, model_type)
    except Exception as error:  # the library's own refusals are of many types
        return "unreadable", None, f"{type(error).__name__}: {error}", (model_type, files, None)
    if refusal:
        named = [key for key in keys_of(files) if key in refusal]
        return "refused", None if named else f"refused without a key: {refusal}", refusal, (model_type, files, None)
    got = json.loads((folder / "got.json").read_text())
    has_types = model_type in ("bert", "roberta", "xlm-roberta", "camembert", "longformer", "big_bird")
    for text, want, vector, mine in zip(TEXTS, encoded, vectors, got):
        if want["input_ids"] != mine["ids"]:
            return "same", f"{text!r}: ids {mine['ids']}, not {want['input_ids']}", "", None
        types = want.get("token_type_ids", [0] * len(want["input_ids"])) if has_types else [0] * len(want["input_ids"])
        if types != (mine["types"] or [0] * len(types)):
            return "same", f"{text!r}: types {mine['types']}, not {types}", "", None
        if vector is None:
            continue
        gap = float(np.abs(np.array(mine["vector"], np.float32) - vector).max()) if len(mine["vector"]) == len(vector) else float("inf")
        if gap > (1e-4 if model_type == "reformer" else 2e-5):
            return "same", f"{text!r}: the vector differs by {gap:.1e}", "", None
    return "same", None, "", (model_type, files, [(one["input_ids"], one.get("token_type_ids", [])) for one in encoded])


def record(path, cases):
    """Writes cases such that each key and class occurs.

    The vocabularies and the charsmap are left out: the test has them in other fixtures.
    """
    seen, chosen = set(), []
    for model_type, files, want in cases:
        config = files.get("tokenizer_config.json", {})
        marks = {f"{config.get('tokenizer_class')} {key}" for key in config} | {f"{model_type} {name}" for name in files}
        document = files.get("tokenizer.json")
        if document is None or len(marks - seen) < 5:
            continue
        seen |= marks
        names = {"WordPiece": "WordPiece", "Unigram": "Unigram", "BPE": "byte BPE" if "\u0120" in document["model"]["vocab"] else "BPE"}
        read = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "modules.json", "sentence_bert_config.json")
        small_files = {name: files[name] for name in read if name in files}
        text = json.dumps(document.get("normalizer")).replace(charsmap()["precompiled_charsmap"], "unigram")
        document = {**document, "normalizer": json.loads(text)}
        model = {key: value for key, value in document["model"].items() if key not in ("vocab", "merges")}
        chosen.append({"vocabulary": names[document["model"]["type"]], "model_type": model_type,
                       "files": {**small_files, "tokenizer.json": {**document, "model": model}}, "want": want})
    path.write_text(json.dumps({"texts": TEXTS, "cases": chosen}, separators=(",", ":")) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="this one case, with its files and both answers")
    parser.add_argument("--record", help="a file for the cases whose ids agree")
    arguments = parser.parse_args()
    hf.logging.set_verbosity_error()
    hf.logging.disable_progress_bar()
    torch.set_num_threads(1)
    driver, outcomes, failed, reasons, recorded = Driver(arguments.driver), collections.Counter(), 0, collections.Counter(), []
    seeds = [arguments.only] if arguments.only is not None else range(arguments.seed * 100000, arguments.seed * 100000 + arguments.cases)
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="files_") as parent:
            folder = Path(parent) / "model"
            folder.mkdir()
            outcome, wrong, note, case = compare(driver, folder, seed)
        outcomes[outcome] += 1
        if outcome != "same":
            reasons[f"{outcome}: {note.replace(str(folder), 'FOLDER')[:150]}"] += 1
        if wrong:
            failed += 1
            model_type, files = random_case(seed)
            print(f"FAILED {seed} ({model_type}, {files.get('tokenizer_config.json', {}).get('tokenizer_class')}): {wrong}"[:600], flush=True)
        if arguments.only is not None:
            print(json.dumps(random_case(seed)[1], ensure_ascii=False)[:6000])
        if case and case[2]:
            recorded.append(case)
    for reason, count in sorted(reasons.items()):
        print(f"{count:5} {reason}")
    print(f"{sum(outcomes.values())} folders: {dict(outcomes)}, {failed} off; transformers {hf.__version__}, sentence-transformers {st.__version__}")
    if arguments.record:
        record(Path(arguments.record), recorded)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
