// The section "chunks": Reformer's attention of chunks. Local layers whole; of LSH layers the
// attention of chunks and the merge of rounds in an order that the CPU has made, since a hash that
// is rounded otherwise may take a row to another bucket; and of the device's own order, that it is
// one: each slot of a text and round holds another row of the text.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/attention/lsh_attention.h"
#include "core/attention/upload_chunk_runs.h"
#include "core/backend/portable_backend.h"
#include "tests/cuda/operation_check.h"

namespace longspan {
namespace {

using Operation = OperationCheck::Operation;

const PortableBackend& Portable() {
  static const PortableBackend portable{at::Device(at::kCPU)};
  return portable;
}

struct ChunkCase {
  ChunkShape shape;
  std::vector<int32_t> lengths;  // whole chunks, or at most one
  int64_t heads = 2;
  int64_t head_size = 64;
  int32_t rounds = 0;  // 0 = a local layer
  std::vector<int32_t> factors;
  bool masked = false;

  int64_t rows() const {
    int64_t sum = 0;
    for (const int32_t length : lengths) sum += length;
    return sum;
  }
  std::string Name() const {
    std::string name =
        absl::StrCat(rounds == 0 ? "local" : absl::StrCat("LSH of ", rounds, " rounds"),
                     ", chunks of ", shape.chunk_length, ", ", shape.chunks_before, " before, ",
                     shape.chunks_after, " after", shape.causal ? ", causal" : "",
                     masked ? ", masked" : "", ", ", heads, " heads of ", head_size, ", texts of");
    for (const int32_t length : lengths) absl::StrAppend(&name, " ", length);
    return name;
  }
  DeviceRotations Rotations() const {
    int64_t columns = 0;
    for (const int32_t factor : factors) columns += rounds * factor / 2;
    return {rounds, factors,
            DrawLshRotations(11, heads, head_size, rounds, factors)
                .values.narrow(2, 0, columns)
                .contiguous()};
  }
  // On `backend`. `read` and `rotations` are on the CPU.
  std::vector<ChunkRun> Runs(const Backend& backend, const at::Tensor& read,
                             const DeviceRotations& rotations) const {
    const DeviceRotations there{rotations.num_rounds, rotations.factors,
                                rounds > 0 ? backend.Upload(rotations.values) : at::Tensor()};
    std::vector<ChunkedText> texts;
    std::vector<const DeviceRotations*> of_texts;
    int64_t begin = 0;
    for (const int32_t length : lengths) {
      texts.push_back({begin, length});
      begin += length;
      if (rounds > 0) of_texts.push_back(length > shape.chunk_length ? &there : nullptr);
    }
    std::vector<ChunkRun> runs = UploadChunkRuns(
        backend, shape, texts, read.defined() ? backend.Upload(read) : at::Tensor(), of_texts);
    for (ChunkRun& run : runs) backend.PrepareChunks(run);
    return runs;
  }
  at::Tensor Read() const { return masked ? at::rand({rows()}).gt(0.3) : at::Tensor(); }
};

std::vector<ChunkCase> Cases(bool tiny) {
  const ChunkShape published = {.chunk_length = 64, .chunks_before = 1, .chunks_after = 0};
  ChunkShape causal = published, wide = published, small = published;
  causal.causal = true;
  wide.chunks_after = 1;
  small.chunk_length = 16;
  if (tiny) {
    return {{small, {48, 7, 16}, 2, 32},
            {small, {64, 9}, 2, 32, 2, {4}},
            {small, {64, 32}, 1, 64, 1, {4}, true}};
  }
  return {{published, {640, 7, 64, 128}, 2, 64},
          {causal, {640, 40}, 3, 32},
          {wide, {256, 256}, 2, 128},
          {small, {48, 16, 1}, 4, 64, 0, {}, true},
          {published, {4096, 30, 4096}, 2, 64, 1, {128}},
          {published, {1024, 1024}, 2, 128, 4, {32}},
          {causal, {2048}, 3, 32, 2, {8, 16}},
          {wide, {640, 64}, 2, 64, 3, {20}, true},
          {small, {160, 160, 5}, 2, 64, 8, {10}}};
}

void CheckLocal(const OperationCheck& check, const ChunkCase& c) {
  const auto make = [&](at::ScalarType type) -> Operation {
    const at::Tensor q = Random({c.rows(), c.heads, c.head_size}, type);
    const at::Tensor k = Random({c.rows(), c.heads, c.head_size}, type);
    const at::Tensor v = Random({c.rows(), c.heads, c.head_size}, type), read = c.Read();
    return [=](const Backend& backend, at::ScalarType stored) {
      return std::vector<at::Tensor>{
          backend.LocalChunks(Put(backend, q, stored), Put(backend, k, stored),
                              Put(backend, v, stored), c.Runs(backend, read, {}))};
    };
  };
  check.Run(c.Name(), make);
}

// The rounds of each row, merged, in the order of the CPU.
void CheckLsh(const OperationCheck& check, const ChunkCase& c) {
  const DeviceRotations rotations = c.Rotations();
  const auto make = [&](at::ScalarType type) -> Operation {
    const at::Tensor qk = Random({c.rows(), c.heads, c.head_size}, type);
    const at::Tensor v = Random({c.rows(), c.heads, c.head_size}, type), read = c.Read();
    const std::vector<ChunkRun> on_cpu = c.Runs(Portable(), read, rotations);
    std::vector<at::Tensor> orders;
    for (const ChunkRun& run : on_cpu) {
      orders.push_back(Portable().SortByBucket(qk.slice(0, run.row_begin, run.row_end), run));
    }
    return [=](const Backend& backend, at::ScalarType stored) {
      const at::Tensor q = Put(backend, qk, stored), values = Put(backend, v, stored);
      const std::vector<ChunkRun> runs = c.Runs(backend, read, rotations);
      std::vector<at::Tensor> merged;
      for (size_t i = 0; i < runs.size(); ++i) {
        const auto rows = [&](const at::Tensor& x) {
          return x.slice(0, runs[i].row_begin, runs[i].row_end);
        };
        const int64_t n = runs[i].num_rows(), rounds = runs[i].num_rounds;
        at::Tensor parts = at::full({n, c.heads, rounds, c.head_size}, 0, q.options());
        at::Tensor lse = at::empty({n, c.heads, rounds}, q.options().dtype(at::kFloat));
        at::Tensor out = at::empty({n, c.heads, c.head_size}, q.options());
        backend.AttendChunks(rows(q), rows(q), rows(values), backend.Upload(orders[i]), runs[i],
                             parts, lse);
        backend.MergeRounds(parts, lse, out);
        merged.push_back(out);
      }
      return merged;
    };
  };
  check.Run(c.Name(), make);
}

void CheckOrder(const CheckPlace& place, const ChunkCase& c, CheckSection& section) {
  const std::string what = absl::StrCat("order, ", c.Name());
  if (place.TimeIsOver()) return section.OutOfTime(what);
  const at::Tensor exact = Random({c.rows(), c.heads, c.head_size}, at::kFloat);
  const std::vector<ChunkRun> runs = c.Runs(*place.backend, {}, c.Rotations());
  const at::Tensor there = place.backend->Upload(exact);
  bool is_order = true;
  for (const ChunkRun& run : runs) {
    const at::Tensor order =
        place.backend->SortByBucket(there.slice(0, run.row_begin, run.row_end), run).cpu();
    for (int64_t text = 0; text < run.num_texts(); ++text) {
      const int64_t begin = run.text_begin[text], end = run.text_begin[text + 1];
      if (end - begin <= run.shape.chunk_length) continue;  // lies as it is
      const at::Tensor slots = std::get<0>(order.slice(2, begin, end).to(at::kLong).sort(-1));
      is_order = is_order && at::equal(slots, at::arange(begin, end).expand_as(slots));
    }
  }
  section.Require(what, is_order, "a row stands in two slots, or in none");
}

}  // namespace

void CheckChunks(const CheckPlace& place, CheckSection& section) {
  const OperationCheck check(place, section);
  for (const ChunkCase& c : Cases(place.options.tiny)) {
    if (c.rounds == 0) {
      CheckLocal(check, c);
    } else {
      CheckLsh(check, c);
      CheckOrder(place, c, section);
    }
  }
}

}  // namespace longspan
