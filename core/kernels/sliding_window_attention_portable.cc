// Band attention for any processor: row tiles against blocks of keys with a running softmax.
//
// A tile of 64 queries of one head meets the keys it can see, 128 at a time: first the band [first row - w, last row + w], then
// the global keys outside it. Per block: scores = Q K^T (K transposed, so that the inner loop runs over keys), hidden keys become
// -inf, the running maximum m and sum l of each row are rescaled, out = out * e^(m_old - m) + P V. At the end out / l; lse = m +
// log l.
//   Example, w = 1, 4 tokens, global 0: row 3 sees the band {2, 3} and then the extra block {0}.
// The tiles of a text start at its first token, so a text's result does not depend on its neighbours in the batch.
// Cost and source: sliding_window_attention.h.  Proven by sliding_window_attention_test.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/kernels/sliding_window_attention_impl.h"

namespace longspan::kernels {
namespace {

constexpr int64_t kRows = 64;
constexpr int64_t kKeys = 128;
constexpr float kHidden = -std::numeric_limits<float>::infinity();

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define LONGSPAN_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LONGSPAN_CLONES
#endif

float LoadElement(const void* base, int64_t index, ElementType type) {
  if (type == ElementType::kFloat32) return static_cast<const float*>(base)[index];
  const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(base)[index]) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

void StoreElement(void* base, int64_t index, ElementType type, float value) {
  if (type == ElementType::kFloat32) {
    static_cast<float*>(base)[index] = value;
    return;
  }
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  static_cast<uint16_t*>(base)[index] =
      static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);  // round to nearest even
}

// e^x for x <= 0, 0 for -inf; relative error 2e-7. x = n ln 2 + r, e^r by its series to r^6.
inline float Exp(float x) {
  const float clamped = std::max(x, -87.0f);
  const float n = std::nearbyint(clamped * 1.44269504f);
  const float r = (clamped - n * 0.693145752f) - n * 1.42860677e-6f;
  const float p =
      1.0f + r * (1.0f + r * (0.5f + r * (0.166666667f + r * (0.0416666667f + r * (0.00833333333f + r * 0.00138888889f)))));
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof(power));
  return x < -87.0f ? 0.0f : p * power;
}

// Everything one (text, head, row tile) needs; one per thread, reused.
struct Tile {
  explicit Tile(int64_t head_size)
      : head_size(head_size),
        q(kRows * head_size),
        k(head_size * kKeys),
        v(kKeys * head_size),
        scores(kRows * kKeys),
        out(kRows * head_size) {}
  int64_t head_size;
  int64_t rows = 0;
  std::vector<float> q;       // [rows, D], scaled
  std::vector<float> k;       // [D, kKeys]
  std::vector<float> v;       // [kKeys, D]
  std::vector<float> scores;  // [rows, kKeys]
  std::vector<float> out;     // [rows, D]
  float maximum[kRows];
  float sum[kRows];
};

LONGSPAN_CLONES void Scores(const float* q, const float* k, int64_t rows, int64_t head_size, float* scores) {
  for (int64_t i = 0; i < rows; ++i) {
    float* row = scores + i * kKeys;
    std::fill(row, row + kKeys, 0.0f);
    for (int64_t d = 0; d < head_size; ++d) {
      const float x = q[i * head_size + d];
      const float* column = k + d * kKeys;
      for (int64_t j = 0; j < kKeys; ++j) row[j] += x * column[j];
    }
  }
}

// scores of one row -> probabilities relative to the new maximum; returns the factor for what was summed before.
LONGSPAN_CLONES float SoftmaxStep(float* row, float& maximum, float& sum) {
  float highest = maximum;
  for (int64_t j = 0; j < kKeys; ++j) highest = std::max(highest, row[j]);
  if (highest == kHidden) {
    std::fill(row, row + kKeys, 0.0f);
    return 1.0f;
  }
  float total = 0.0f;
  for (int64_t j = 0; j < kKeys; ++j) {
    row[j] = Exp(row[j] - highest);
    total += row[j];
  }
  const float factor = maximum == kHidden ? 0.0f : Exp(maximum - highest);
  sum = sum * factor + total;
  maximum = highest;
  return factor;
}

LONGSPAN_CLONES void AddValues(const float* row, const float* v, int64_t keys, int64_t head_size, float factor, float* out) {
  for (int64_t d = 0; d < head_size; ++d) out[d] *= factor;
  for (int64_t j = 0; j < keys; ++j) {
    const float p = row[j];
    for (int64_t d = 0; d < head_size; ++d) out[d] += p * v[j * head_size + d];
  }
}

class PortableTile {
 public:
  PortableTile(const SlidingWindowAttentionParams& params, Tile& tile) : params_(params), tile_(tile) {}

  void Run(int32_t text, int32_t head, int64_t first_row) {
    const int64_t begin = params_.cu_seqlens[text], end = params_.cu_seqlens[text + 1];
    const int64_t window = std::min(params_.windows[text], end - begin);
    head_ = head;
    first_row_ = first_row;
    tile_.rows = std::min(kRows, end - first_row);
    LoadQueries();
    const int64_t band_begin = std::max(begin, first_row - window), band_end = std::min(end, first_row + tile_.rows + window);
    const int32_t* globals = params_.globals ? params_.globals + params_.cu_globals[text] : nullptr;
    const int32_t* globals_end = params_.globals ? params_.globals + params_.cu_globals[text + 1] : nullptr;
    for (int64_t key = band_begin; key < band_end; key += kKeys) {
      num_keys_ = std::min(kKeys, band_end - key);
      for (int64_t j = 0; j < num_keys_; ++j) keys_[j] = key + j;
      MeetKeys(window, globals, globals_end);
    }
    num_keys_ = 0;
    for (const int32_t* global = globals; global != globals_end; ++global) {
      if (*global < band_begin || *global >= band_end) keys_[num_keys_++] = *global;
      if (num_keys_ == kKeys || (num_keys_ > 0 && global + 1 == globals_end)) {
        MeetKeys(window, globals, globals_end);
        num_keys_ = 0;
      }
    }
    Store();
  }

 private:
  void LoadQueries() {
    for (int64_t i = 0; i < tile_.rows; ++i) {
      for (int64_t d = 0; d < tile_.head_size; ++d) {
        const int64_t index = (first_row_ + i) * params_.q_stride + head_ * tile_.head_size + d;
        tile_.q[i * tile_.head_size + d] = LoadElement(params_.q, index, params_.type) * params_.scale;
      }
    }
    std::fill(tile_.out.begin(), tile_.out.end(), 0.0f);
    std::fill(tile_.maximum, tile_.maximum + kRows, kHidden);
    std::fill(tile_.sum, tile_.sum + kRows, 0.0f);
  }

  void MeetKeys(int64_t window, const int32_t* globals, const int32_t* globals_end) {
    for (int64_t j = 0; j < num_keys_; ++j) {
      for (int64_t d = 0; d < tile_.head_size; ++d) {
        tile_.k[d * kKeys + j] = LoadElement(params_.k, keys_[j] * params_.k_stride + head_ * tile_.head_size + d, params_.type);
        tile_.v[j * tile_.head_size + d] =
            LoadElement(params_.v, keys_[j] * params_.v_stride + head_ * tile_.head_size + d, params_.type);
      }
    }
    for (int64_t d = 0; d < tile_.head_size; ++d) std::fill(&tile_.k[d * kKeys] + num_keys_, &tile_.k[d * kKeys] + kKeys, 0.0f);
    Scores(tile_.q.data(), tile_.k.data(), tile_.rows, tile_.head_size, tile_.scores.data());
    HideKeys(window, globals, globals_end);
    for (int64_t i = 0; i < tile_.rows; ++i) {
      float* row = &tile_.scores[i * kKeys];
      const float factor = SoftmaxStep(row, tile_.maximum[i], tile_.sum[i]);
      AddValues(row, tile_.v.data(), num_keys_, tile_.head_size, factor, &tile_.out[i * tile_.head_size]);
    }
  }

  // A key is seen inside the window or where it is global, and never where the mask is 0.
  void HideKeys(int64_t window, const int32_t* globals, const int32_t* globals_end) {
    for (int64_t j = 0; j < kKeys; ++j) {
      const bool read = j < num_keys_ && (!params_.key_mask || params_.key_mask[keys_[j]]);
      const bool global = read && globals && std::binary_search(globals, globals_end, static_cast<int32_t>(keys_[j]));
      if (global) continue;
      for (int64_t i = 0; i < tile_.rows; ++i) {
        if (!read || std::abs(keys_[j] - first_row_ - i) > window) tile_.scores[i * kKeys + j] = kHidden;
      }
    }
  }

  void Store() {
    for (int64_t i = 0; i < tile_.rows; ++i) {
      const int64_t row = first_row_ + i;
      const bool empty = tile_.sum[i] == 0.0f || (params_.key_mask && !params_.key_mask[row]);
      const float inverse = empty ? 0.0f : 1.0f / tile_.sum[i];
      for (int64_t d = 0; d < tile_.head_size; ++d) {
        const int64_t index = row * params_.out_stride + head_ * tile_.head_size + d;
        StoreElement(params_.out, index, params_.type, empty ? 0.0f : tile_.out[i * tile_.head_size + d] * inverse);
      }
      if (params_.lse) params_.lse[row * params_.num_heads + head_] = empty ? kHidden : tile_.maximum[i] + std::log(tile_.sum[i]);
    }
  }

  const SlidingWindowAttentionParams& params_;
  Tile& tile_;
  int32_t head_ = 0;
  int64_t first_row_ = 0;
  int64_t num_keys_ = 0;
  int64_t keys_[kKeys];
};

}  // namespace

void SlidingWindowAttentionPortable(const SlidingWindowAttentionParams& params) {
  struct Task {
    int32_t text;
    int64_t first_row;
  };
  std::vector<Task> tasks;
  for (int32_t text = 0; text < params.num_texts; ++text) {
    for (int64_t row = params.cu_seqlens[text]; row < params.cu_seqlens[text + 1]; row += kRows) tasks.push_back({text, row});
  }
  const int64_t count = static_cast<int64_t>(tasks.size()) * params.num_heads;
#pragma omp parallel
  {
    Tile tile(params.head_size);
    PortableTile worker(params, tile);
#pragma omp for schedule(dynamic, 4)
    for (int64_t i = 0; i < count; ++i) {
      const Task& task = tasks[i / params.num_heads];
      worker.Run(task.text, static_cast<int32_t>(i % params.num_heads), task.first_row);
    }
  }
}

}  // namespace longspan::kernels
