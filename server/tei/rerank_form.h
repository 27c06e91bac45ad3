// Rerank of tei.v1 as a search: the texts are documents, and no spans are wanted.
//
// `score` is that of the document among the texts of the request (SearchOptions of longspan.v1):
// the logistic function of it, from 0 to 1, or as it is with raw_scores. It compares texts of one
// request, never of two.
//
// Lifetime and thread safety: those of a SearchForm (server/rpc/search_form.h).
#pragma once

#include <memory>

#include "server/rpc/search_form.h"

namespace longspan {

// 1 / (1 + e^-score).
double Logistic(double score);

std::unique_ptr<SearchForm> NewRerankForm();

}  // namespace longspan
