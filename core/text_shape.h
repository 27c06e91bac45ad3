// TextShape: what decides how long the model computes over one text, in plain numbers. Everything
// that predicts seconds counts in shapes: CostModel, admission, the scheduler, the workers.
#pragma once

#include <algorithm>
#include <cstdint>

namespace longspan {

struct TextShape {
  // The model's own global tokens: its first one, or none (ModelInfo::default_global_attention).
  static constexpr int64_t kModelsGlobals = -1;

  TextShape() = default;
  // A text of so many tokens with the model's own global tokens and one vector. Implicit, so that a
  // bare length is a shape.
  TextShape(int64_t num_tokens) : tokens(num_tokens) {}  // NOLINT(google-explicit-constructor)
  TextShape(int64_t num_tokens, int64_t num_globals, int64_t num_vectors)
      : tokens(num_tokens), globals(num_globals), vectors(num_vectors) {}

  int64_t tokens = 0;                // special tokens included
  int64_t globals = kModelsGlobals;  // tokens that see all of the text and are seen by all of it
  int64_t vectors = 1;               // pooled from its rows: the document's and those of spans
  int64_t hashes = 0;                // rounds of LSH attention; 0 = the model's own number

  // What its lane goes by: its tokens, or its vectors where they are more.
  int64_t length() const { return std::max(tokens, vectors); }
  friend bool operator==(const TextShape&, const TextShape&) = default;
};

}  // namespace longspan
