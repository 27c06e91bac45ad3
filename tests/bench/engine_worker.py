"""transformers_worker.py MODEL DTYPE THREADS ATTENTION: the same protocol as throughput_worker, by transformers (eager or sdpa), mean pooled."""
import sys
import time

import torch
import transformers as hf


def peak_mib():
    for line in open("/proc/self/status", encoding="ascii"):
        if line.startswith("VmHWM:"):
            mib = float(line.split()[1]) / 1024
    with open("/proc/self/clear_refs", "w", encoding="ascii") as f:
        f.write("5")
    return mib


folder, dtype, threads, attention = sys.argv[1:5]
hf.logging.set_verbosity_error()
hf.logging.disable_progress_bar()
torch.set_num_threads(int(threads))
model = hf.AutoModel.from_pretrained(folder, attn_implementation=attention, dtype=getattr(torch, dtype)).eval()
if model.config.model_type == "led":
    model = model.get_encoder()
more = {"use_cache": False} if model.config.model_type == "reformer" else {}
print("ready", sum(p.numel() for p in model.parameters()), peak_mib(), flush=True)
for line in sys.stdin:
    length, texts = map(int, line.split())
    ids = torch.randint(3, model.config.vocab_size, (texts, length), generator=torch.Generator().manual_seed(1))
    peak_mib()
    start = time.perf_counter()
    with torch.inference_mode():
        model(input_ids=ids, **more).last_hidden_state.float().mean(1)
    print(time.perf_counter() - start, peak_mib(), flush=True)
