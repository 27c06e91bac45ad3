// Rank: the documents and the passages that answer a question best, by late interaction and BM25
// together. Late interaction scores passages, BM25 blocks of words, which are longer: a passage has
// the words of the block around it. Their scores have no common unit, so each kind is standardised
// over the texts at hand (less its mean, over its standard deviation) before they are added:
//
//   passage   late_weight * z(late interaction) + lexical_weight * z(BM25 of its block)
//   document  late_weight * z(late interaction of its best passage)
//             + lexical_weight * z(BM25 of its best block)
//
// For a document z runs over all documents, for a passage over all passages of all documents. Where
// all values are equal, as with a single document, z is 0: then a kind decides nothing.
//
// Scores therefore compare texts of one request, never of two. `similarity`, the cosine that late
// interaction found, does. Proven by ranking_test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/search/bm25.h"
#include "core/search/late_interaction.h"

namespace longspan {

struct RankingOptions {
  double late_weight = 1.0;
  double lexical_weight = 0.5;
  Bm25Options bm25;
  size_t max_documents = 10;
  size_t max_passages = 3;  // of each document; those that overlap a better one are left out
};

// What is known of one document.
struct SearchedDocument {
  std::vector<Passage> passages;
  std::vector<size_t> block_of;    // each passage: index in `blocks`
  std::vector<WordCounts> blocks;  // of the question's words
};

struct RankedPassage {
  size_t passage = 0;  // index in SearchedDocument::passages
  double score = 0.0;
  float similarity = 0.0f;  // Passage::score
};

struct RankedDocument {
  size_t document = 0;  // index
  double score = 0.0;
  float similarity = 0.0f;              // of its most similar passage
  double bm25 = 0.0;                    // of its best block
  std::vector<RankedPassage> passages;  // best first
};

// Best first; of documents with equal scores the first one. Those without passages come last.
std::vector<RankedDocument> Rank(std::span<const SearchedDocument> documents,
                                 const RankingOptions& options = {});

}  // namespace longspan
