// Packed texts for tests of attention on a backend: lengths, windows, globals and masks become a
// layout on the host, and that one's upload. Also what the slow reference makes of them.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/randn.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/attention/packed_layout.h"
#include "core/kernels/sliding_window_attention.h"
#include "tests/reference/attention.h"

namespace longspan {

struct PackedText {
  int64_t length = 1;
  int64_t window = kernels::kUnlimitedWindow;
  std::vector<int> globals = {};   // positions in the text, ascending
  std::vector<uint8_t> read = {};  // [length]; empty = all are read
};

class PackedTexts {
 public:
  explicit PackedTexts(std::vector<PackedText> texts) : texts_(std::move(texts)) {
    bool any_mask = false;
    for (const PackedText& text : texts_) {
      for (int g : text.globals) globals_.push_back(cu_seqlens_.back() + g);
      cu_globals_.push_back(static_cast<int32_t>(globals_.size()));
      cu_seqlens_.push_back(cu_seqlens_.back() + static_cast<int32_t>(text.length));
      windows_.push_back(text.window);
      if (text.read.empty()) mask_.insert(mask_.end(), text.length, 1);
      mask_.insert(mask_.end(), text.read.begin(), text.read.end());
      any_mask |= !text.read.empty();
    }
    if (!any_mask) mask_.clear();
  }

  const std::vector<PackedText>& texts() const { return texts_; }
  const std::vector<int32_t>& cu_seqlens() const { return cu_seqlens_; }
  int64_t num_rows() const { return cu_seqlens_.back(); }
  PackedLayout Layout() const {
    PackedLayout layout;
    layout.cu_seqlens = cu_seqlens_;
    layout.windows = windows_;
    layout.globals = globals_;
    if (!globals_.empty()) layout.cu_globals = cu_globals_;
    layout.key_mask = mask_;
    return layout;
  }
  // -1 = the whole text.
  std::string Describe() const {
    std::string all;
    for (const PackedText& text : texts_) {
      const bool sees_all = text.window == kernels::kUnlimitedWindow;
      absl::StrAppend(&all, "[", text.length, " tokens, window ", sees_all ? -1 : text.window, ", ",
                      text.globals.size(), " globals", text.read.empty() ? "] " : ", holes] ");
    }
    return all;
  }

 private:
  std::vector<PackedText> texts_;
  std::vector<int32_t> cu_seqlens_ = {0}, globals_, cu_globals_ = {0};
  std::vector<int64_t> windows_;
  std::vector<uint8_t> mask_;
};

// What the reference makes of the heads of some texts, under the pattern of each: out [T, H, D] and
// lse [H, T], both double.
struct ReferenceAttention {
  std::vector<double> out, lse;
  int64_t rows = 0, heads = 0, head_size = 0;

  double Out(int64_t row, int64_t head, int64_t d) const {
    return out[(row * heads + head) * head_size + d];
  }
  double Lse(int64_t head, int64_t row) const { return lse[head * rows + row]; }
};

// qkv [T, 3, H, D] float32; pattern(text) gives that of a text.
template <typename PatternOf>
ReferenceAttention AttendSlowly(const PackedTexts& texts, const at::Tensor& qkv,
                                const PatternOf& pattern) {
  const int64_t rows = qkv.size(0), heads = qkv.size(2), size = qkv.size(3);
  ReferenceAttention all{std::vector<double>(rows * heads * size),
                         std::vector<double>(heads * rows), rows, heads, size};
  for (size_t text = 0; text < texts.texts().size(); ++text) {
    const int64_t begin = texts.cu_seqlens()[text], length = texts.texts()[text].length;
    for (int64_t head = 0; head < heads; ++head) {
      std::vector<float> of[3];
      for (int64_t part = 0; part < 3; ++part) {
        const at::Tensor values =
            qkv.slice(0, begin, begin + length).select(1, part).select(1, head).contiguous();
        of[part].assign(values.const_data_ptr<float>(),
                        values.const_data_ptr<float>() + values.numel());
      }
      const reference::AttentionResult result = reference::Attention(
          static_cast<int>(length), static_cast<int>(size),
          1 / std::sqrt(static_cast<double>(size)), of[0], of[1], of[2], pattern(text));
      for (int64_t row = 0; row < length; ++row) {
        all.lse[head * rows + begin + row] = result.lse[row];
        for (int64_t d = 0; d < size; ++d)
          all.out[((begin + row) * heads + head) * size + d] = result.out[row * size + d];
      }
    }
  }
  return all;
}

// The largest difference of `out` [T, H, D] from the reference; infinite for NaN.
inline double WorstOut(const at::Tensor& out, const ReferenceAttention& want) {
  const at::Tensor got = out.to(at::kDouble).contiguous();
  double worst = 0;
  for (size_t i = 0; i < want.out.size(); ++i) {
    const double error = std::abs(got.const_data_ptr<double>()[i] - want.out[i]);
    worst = error <= worst ? worst : std::isnan(error) ? INFINITY : error;
  }
  return worst;
}

}  // namespace longspan
