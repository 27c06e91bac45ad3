#include "core/attention/upload_chunk_runs.h"

#include <ATen/ops/tensor.h>
#include <c10/util/Exception.h>

#include <utility>

namespace longspan {
namespace {

bool IsCut(const ChunkedText& text, const ChunkShape& shape) {
  return text.length > shape.chunk_length;
}

void Check(const ChunkedText& text, const ChunkShape& shape, int64_t row_begin) {
  TORCH_CHECK(text.row_begin == row_begin, "a text begins at row ", text.row_begin,
              ", the one before it ends at ", row_begin);
  TORCH_CHECK(text.length > 0 && (!IsCut(text, shape) || text.length % shape.chunk_length == 0),
              "a text must have whole chunks of ", shape.chunk_length, " rows, got ", text.length);
}

}  // namespace

std::vector<ChunkRun> UploadChunkRuns(const Backend& backend, const ChunkShape& shape,
                                      std::span<const ChunkedText> texts, const at::Tensor& read,
                                      std::span<const DeviceRotations* const> rotations) {
  std::vector<ChunkRun> runs;
  const DeviceRotations* of_run = nullptr;  // null = no text of the last run is hashed yet
  int64_t row = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    Check(texts[i], shape, row);
    const DeviceRotations* const own = rotations.empty() ? nullptr : rotations[i];
    TORCH_CHECK(rotations.empty() || (own != nullptr) == IsCut(texts[i], shape),
                "a text is hashed if and only if it is longer than a chunk");
    if (runs.empty() || (own != nullptr && of_run != nullptr && own != of_run)) {
      runs.push_back({.row_begin = row, .row_end = row, .shape = shape});
      of_run = nullptr;
    }
    if (own != nullptr) of_run = own;
    ChunkRun& run = runs.back();
    row += texts[i].length;
    run.row_end = row;
    run.text_begin.push_back(static_cast<int32_t>(run.num_rows()));
    if (own == nullptr) continue;
    run.num_rounds = own->num_rounds;
    run.factors = own->factors;
    run.rotations = own->values;
  }
  for (ChunkRun& run : runs) {
    run.text_begin_on_device = backend.Upload(at::tensor(run.text_begin));
    if (read.defined()) run.read = read.slice(0, run.row_begin, run.row_end);
    backend.PrepareChunks(run);
  }
  return runs;
}

}  // namespace longspan
