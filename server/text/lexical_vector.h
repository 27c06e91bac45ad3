// LexicalVector: the words of a text as a sparse vector: an id for each word, and a weight that
// grows with how often the text has it, ever slower (BM25, as in core/search/bm25.h, without the
// frequency among all documents, which the store that holds the vectors knows and multiplies in):
//
//   weight = count * (k1 + 1) / (count + k1 * (1 - b + b * length / average length))
//
// The product of a question's vector, where each word weighs 1, with such a vector is then the BM25
// score. A word's id is the absolute value of MurmurHash3_x86_32 of its stem with seed 0, read as a
// signed number, as in fastembed's "Qdrant/bm25". Two words may share an id, one pair in 2^31; they
// count as one word.
//
// Plain values and free functions without state: thread safe. Proven by lexical_vector_test, on
// ids and weights that Python computed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace longspan {

struct LexicalVector {
  std::vector<uint32_t> indices;  // of words, ascending, each once
  std::vector<float> values;      // one for each

  int64_t size() const { return static_cast<int64_t>(indices.size()); }
};

// Most words that a request may leave out.
inline constexpr int64_t kMaxStopWords = 1024;

struct LexicalOptions {
  std::string language;                 // one of Stemmer::Languages; empty = english
  std::vector<std::string> stop_words;  // count nothing, not for the length either
  double k1 = 1.2;                      // >= 0: how fast repetitions stop to count
  double b = 0.75;                      // 0 to 1: how much long texts pay for their length
  double average_length = 256;          // > 0: words of a text
  double average_span_length = 256;     // > 0: words of a span
  bool query = false;                   // each word weighs 1, however often it is there
};

// Of a stem, or of any word.
uint32_t WordId(std::string_view stem);

// The vector of a text that has these words, in any order. `average_length`: of such texts.
LexicalVector WeighWords(std::vector<uint32_t> ids, const LexicalOptions& options,
                         double average_length);

}  // namespace longspan
