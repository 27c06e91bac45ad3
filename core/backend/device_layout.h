// DeviceLayout: a packed batch as a backend needs it. Everything that the shape of a tensor depends
// on stands here for the host, and everything that kernels read lies on the device. It is made once
// a batch, so that no layer waits for the device. core/attention/upload_layout.h makes it.
//
// Texts that see as far stand in one run, because a kernel takes one window for all its texts.
// Example, a window of 2 for texts above 4 tokens, and shorter ones that see all of themselves:
//   lengths 9 7 2 4 8    ->  runs [9 7 2] with a window of 2, [4] with the whole text, [8] with 2;
//                            the text of 2 tokens sees the same either way, so it parts nothing
// Plain values. Tensors are on the device of `backend`.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace longspan {

class Backend;

// A text and those of a list of global tokens that are its own.
struct GlobalsOfText {
  int64_t row_begin = 0;  // rows [row_begin, row_end) of the text
  int64_t row_end = 0;
  int64_t global_begin = 0;  // places [global_begin, global_end) in the list, not empty
  int64_t global_end = 0;
};

// Neighbouring texts with one window. Rows and texts of a run count from its own first one.
struct WindowRun {
  int64_t row_begin = 0;  // rows [row_begin, row_end) of the batch
  int64_t row_end = 0;
  int64_t window = 0;   // one-sided, in tokens; kernels::kUnlimitedWindow = the whole text
  int64_t longest = 0;  // tokens of its longest text
  std::vector<int32_t> cu_seqlens = {0};  // [B+1], borders of texts
  at::Tensor cu_seqlens_on_device;        // [B+1] int32
  // [rows] bool, whether a row is read; undefined = all rows of the run are.
  at::Tensor read;
  at::Tensor has_row;  // [rows] bool, false = its own result is zeros; undefined where `read` is

  std::vector<int32_t> globals;  // [G], rows of global tokens, ascending
  at::Tensor globals_on_device;  // [G] int32; undefined where there are none
  at::Tensor
      cu_globals_on_device;  // [B+1] int32, borders of texts in `globals`; undefined likewise
  // The texts of which some row has a global token beyond its window.
  std::vector<GlobalsOfText> with_columns;

  at::Tensor prepared;  // what Backend::Prepare put there for its own kernels
};

// What a backend makes of a layout for all layers of a pass, as the first of them asks for it.
struct KeptForLayers {
  virtual ~KeptForLayers() = default;
};

struct DeviceLayout {
  const Backend* backend = nullptr;
  std::vector<WindowRun> runs;  // in the order of the texts; no text stands in two
  at::Tensor positions;         // [T] int64, the place of each row in its text
  at::Tensor read;              // [T] bool, whether a row is read; undefined = all are
  at::Tensor has_row;           // [T] bool, as in WindowRun
  at::Tensor globals;           // [G] int64, rows of global tokens; undefined = there are none
  std::vector<GlobalsOfText> texts_with_globals;            // in the order of the texts
  mutable std::shared_ptr<KeptForLayers> kept_for_globals;  // by Backend::GlobalRows; one pass at a
                                                            // time may use the layout
};

// The place of each row in its text, [T]; cu_seqlens [B+1] are the borders of the texts.
std::vector<int64_t> PositionsInTexts(std::span<const int32_t> cu_seqlens);

}  // namespace longspan
