// BM25: how well each of the texts at hand matches the words of a question (Robertson and Zaragoza,
// "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, sec. 3.4):
//
//   score(text) = sum over the question's words w of
//                 idf(w) * count * (k1 + 1) / (count + k1 * (1 - b + b * length / mean length))
//   idf(w) = ln(1 + (N - n + 0.5) / (n + 0.5))    N texts, of which n hold w; never negative
//
// The frequencies are those of the texts that are passed: documents, or passages of documents.
// A word that the question has twice counts twice. Proven by bm25_test.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace longspan {

struct Bm25Options {
  double k1 = 1.2;  // how fast repetitions of a word stop to count; 0 = at once
  double b = 0.75;  // how much long texts pay for their length; 0 = nothing, 1 = in full
};

// A text as a question sees it.
struct WordCounts {
  std::vector<int32_t> counts;  // of each word of the question
  int64_t length = 0;           // words of the text
};

// One score a text, >= 0. All texts count the same words of the question.
std::vector<double> Bm25(std::span<const WordCounts> texts, const Bm25Options& options = {});

}  // namespace longspan
