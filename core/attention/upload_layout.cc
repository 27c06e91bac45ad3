#include "core/attention/upload_layout.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "core/kernels/key_mask.h"
#include "core/kernels/sliding_window_attention.h"

namespace longspan {
namespace {

// Whether each row of a text of so many tokens sees all of it.
bool SeesAll(int64_t length, int64_t window) { return window >= length - 1; }

// Grows by neighbouring texts as long as one window serves them all.
class RunOfTexts {
 public:
  explicit RunOfTexts(int64_t first_row) { run_.row_begin = run_.row_end = first_row; }

  // False: the text sees as far as no window that the others could have too.
  bool Add(int64_t length, int64_t window) {
    const bool sees_all = SeesAll(length, window);
    const bool is_empty = run_.row_begin == run_.row_end;
    const bool takes_its_window = is_empty || (all_see_all_ && SeesAll(run_.longest, window));
    if (takes_its_window) {
      run_.window = window;
    } else if (window != run_.window && !(sees_all && SeesAll(length, run_.window))) {
      return false;
    }
    all_see_all_ = all_see_all_ && sees_all;
    run_.longest = std::max(run_.longest, length);
    run_.row_end += length;
    run_.cu_seqlens.push_back(static_cast<int32_t>(run_.row_end - run_.row_begin));
    return true;
  }
  WindowRun Take() {
    if (all_see_all_) run_.window = kernels::kUnlimitedWindow;
    return std::move(run_);
  }

 private:
  WindowRun run_;
  bool all_see_all_ = true;
};

std::vector<WindowRun> PlanRuns(const PackedLayout& layout) {
  std::vector<WindowRun> runs;
  RunOfTexts run(0);
  for (size_t text = 0; text + 1 < layout.cu_seqlens.size(); ++text) {
    const int64_t length = layout.cu_seqlens[text + 1] - layout.cu_seqlens[text];
    if (run.Add(length, layout.windows[text])) continue;
    runs.push_back(run.Take());
    run = RunOfTexts(layout.cu_seqlens[text]);
    run.Add(length, layout.windows[text]);
  }
  runs.push_back(run.Take());
  return runs;
}

bool HasHoles(std::span<const uint8_t> mask) {
  return !std::all_of(mask.begin(), mask.end(), kernels::IsSeen);
}

// The globals of a layout that are read, text after text.
struct ReadGlobals {
  explicit ReadGlobals(const PackedLayout& layout) {
    if (layout.globals.empty()) return;
    for (size_t text = 0; text + 1 < layout.cu_seqlens.size(); ++text) {
      GlobalsOfText of_text{.row_begin = layout.cu_seqlens[text],
                            .row_end = layout.cu_seqlens[text + 1],
                            .global_begin = static_cast<int64_t>(rows.size())};
      for (int32_t g = layout.cu_globals[text]; g < layout.cu_globals[text + 1]; ++g) {
        const int32_t row = layout.globals[g];
        if (layout.key_mask.empty() || kernels::IsSeen(layout.key_mask[row])) rows.push_back(row);
      }
      of_text.global_end = static_cast<int64_t>(rows.size());
      if (of_text.global_end > of_text.global_begin) texts.push_back(of_text);
    }
  }

  std::vector<int64_t> rows;
  std::vector<GlobalsOfText> texts;
};

// Gives a run the globals of its own texts.
void TakeGlobals(const Backend& backend, const ReadGlobals& globals, WindowRun& run) {
  std::vector<int32_t> cu_globals = {0};
  auto of_text = std::find_if(globals.texts.begin(), globals.texts.end(),
                              [&](const GlobalsOfText& t) { return t.row_begin >= run.row_begin; });
  for (size_t text = 0; text + 1 < run.cu_seqlens.size(); ++text) {
    const int64_t begin = run.row_begin + run.cu_seqlens[text];
    if (of_text != globals.texts.end() && of_text->row_begin == begin) {
      GlobalsOfText columns{.row_begin = begin - run.row_begin,
                            .row_end = of_text->row_end - run.row_begin,
                            .global_begin = static_cast<int64_t>(run.globals.size())};
      for (int64_t g = of_text->global_begin; g < of_text->global_end; ++g)
        run.globals.push_back(static_cast<int32_t>(globals.rows[g] - run.row_begin));
      columns.global_end = static_cast<int64_t>(run.globals.size());
      // The farthest rows are the text's first and last.
      const int64_t farthest =
          std::max<int64_t>(run.globals.back() - columns.row_begin,
                            columns.row_end - 1 - run.globals[columns.global_begin]);
      if (farthest > run.window) run.with_columns.push_back(columns);
      ++of_text;
    }
    cu_globals.push_back(static_cast<int32_t>(run.globals.size()));
  }
  if (run.globals.empty()) return;
  run.globals_on_device = backend.Upload(at::tensor(run.globals));
  run.cu_globals_on_device = backend.Upload(at::tensor(cu_globals));
}

// What does not depend on windows.
void UploadTexts(const Backend& backend, const PackedLayout& layout, const ReadGlobals& globals,
                 DeviceLayout& device) {
  device.positions = backend.Upload(at::tensor(PositionsInTexts(layout.cu_seqlens)));
  if (HasHoles(layout.key_mask)) {
    const std::vector<uint8_t> mask(layout.key_mask.begin(), layout.key_mask.end());
    const at::Tensor has_row = at::tensor(mask).ne(int64_t{kernels::kNotRead});
    device.has_row = backend.Upload(has_row);
    device.read =
        backend.Upload(has_row.logical_and(at::tensor(mask).ne(int64_t{kernels::kUnseen})));
  }
  if (!globals.rows.empty()) device.globals = backend.Upload(at::tensor(globals.rows));
  device.texts_with_globals = globals.texts;
}

}  // namespace

DeviceLayout UploadLayout(const Backend& backend, const PackedLayout& layout,
                          const DeviceLayout* like) {
  TORCH_CHECK(layout.windows.size() + 1 == layout.cu_seqlens.size(), "the layout has ",
              layout.windows.size(), " windows for ", layout.cu_seqlens.size(),
              " borders of texts");
  DeviceLayout device;
  const ReadGlobals globals(layout);
  if (like != nullptr) {
    device = *like;
  } else {
    UploadTexts(backend, layout, globals, device);
  }
  device.backend = &backend;
  device.runs = PlanRuns(layout);
  for (WindowRun& run : device.runs) {
    run.cu_seqlens_on_device = backend.Upload(at::tensor(run.cu_seqlens));
    if (device.read.defined() &&
        HasHoles(layout.key_mask.subspan(run.row_begin, run.row_end - run.row_begin))) {
      run.read = device.read.slice(0, run.row_begin, run.row_end);
      run.has_row = device.has_row.slice(0, run.row_begin, run.row_end);
    }
    TakeGlobals(backend, globals, run);
    backend.Prepare(run);
  }
  return device;
}

}  // namespace longspan
