// Search through a real server, against the formula of SearchOptions computed token by token in
// double precision, out of Tokenize and the vectors that the model gives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "tests/integration/rest_calls.h"
#include "tests/integration/test_server.h"

namespace longspan {
namespace {

using testing::HasSubstr;

constexpr int64_t kWidth = 24;
constexpr auto kDeadline = absl::Seconds(60);

// A direction of its own for each id, a little off at each position.
void TokenRow(int32_t id, int64_t position, float* row) {
  std::mt19937 own(static_cast<uint32_t>(id)), here(static_cast<uint32_t>(id * 8191 + position));
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < kWidth; ++i) row[i] = normal(own) + 0.5f * normal(here);
}

FakeModel SearchModel() {
  FakeModel model;
  model.width = kWidth;
  model.token_row = TokenRow;
  model.tokenizer_folder = LONGSPAN_FIXTURES "/tokenizers/bert-uncased";
  return model;
}

const std::vector<std::string> kVocabulary = {"lease", "court", "rent",  "tenant", "ends", "the",
                                              "of",    "in",    "month", "notice", "to",   "a"};

std::string RandomText(int words, std::mt19937& random) {
  std::string text;
  for (int i = 0; i < words; ++i) {
    absl::StrAppend(&text,
                    i == 0        ? ""
                    : i % 13 == 0 ? ". "
                                  : " ",
                    kVocabulary[std::min<size_t>(std::geometric_distribution<size_t>(0.2)(random),
                                                 kVocabulary.size() - 1)]);
  }
  return text;
}

v1::SearchRequest RequestOf(const std::string& query, const std::vector<std::string>& texts) {
  v1::SearchRequest request;
  request.set_query(query);
  for (size_t i = 0; i < texts.size(); ++i) {
    request.add_documents()->set_text(texts[i]);
    request.mutable_documents(static_cast<int>(i))->set_id(absl::StrCat("text-", i));
  }
  request.mutable_options()->set_language("none");
  return request;
}

// What the metrics say of token vectors that are held.
std::string TokenVectorBytes(TestServer& server) {
  const std::string page = Get(server, "/metrics").http.body;
  const std::string_view name = "\nlongspan_token_vector_bytes ";
  const size_t at = page.find(name);
  if (at == std::string::npos) return "not there";
  const size_t begin = at + name.size();
  return page.substr(begin, page.find('\n', begin) - begin);
}

// Whether all of them are given back before long: what a call that failed had under way ends first.
bool AllGivenBack(TestServer& server) {
  const absl::Time until = absl::Now() + absl::Seconds(20);
  while (TokenVectorBytes(server) != "0" && absl::Now() < until)
    absl::SleepFor(absl::Milliseconds(5));
  return TokenVectorBytes(server) == "0";
}

// One text, token by token.
struct ReferenceText {
  std::vector<int32_t> ids;
  std::vector<std::pair<int64_t, int64_t>> bytes;
  std::vector<std::vector<double>> rows;

  int64_t size() const { return static_cast<int64_t>(ids.size()); }
};

struct ReferencePassage {
  int64_t begin = 0, end = 0;  // tokens
  double similarity = 0, score = 0;
};

// The formula of SearchOptions, as its comment has it.
class Reference {
 public:
  Reference(Client& client, const v1::SearchRequest& request)
      : options_(request.options()), query_(request.query()) {
    v1::TokenizeRequest tokenize;
    tokenize.add_texts(request.query());
    for (const auto& document : request.documents()) tokenize.add_texts(document.text());
    const auto answer = client.Tokenize(tokenize, kDeadline);
    EXPECT_TRUE(answer.ok()) << answer.status();
    for (int i = 0; i < tokenize.texts_size(); ++i) {
      texts_.push_back(TextOf(answer->texts(i)));
      words_.push_back(WordsOf(tokenize.texts(i)));
    }
    span_ = options_.span_tokens() == 0 ? 64 : options_.span_tokens();
    Score();
  }

  std::vector<double> documents;
  std::vector<std::vector<ReferencePassage>> passages;

 private:
  static ReferenceText TextOf(const v1::TokenizedText& tokenized) {
    ReferenceText text;
    for (int i = 0; i < tokenized.tokens_size(); ++i) {
      const v1::Token& token = tokenized.tokens(i);
      if (token.special()) continue;
      text.ids.push_back(static_cast<int32_t>(token.id()));
      text.bytes.emplace_back(token.bytes().begin(), token.bytes().end());
      std::vector<float> row(kWidth);
      TokenRow(text.ids.back(), i, row.data());
      double squares = 0;
      for (const float value : row) squares += static_cast<double>(value) * value;
      std::vector<double> unit;
      for (const float value : row) unit.push_back(value / std::sqrt(squares));
      text.rows.push_back(unit);
    }
    return text;
  }
  // Words with the bytes where they begin; the texts are lower-case ASCII.
  static std::vector<std::pair<std::string, int64_t>> WordsOf(const std::string& text) {
    std::vector<std::pair<std::string, int64_t>> words;
    for (size_t at = 0; at < text.size();) {
      size_t end = at;
      while (end < text.size() && absl::ascii_isalnum(text[end])) ++end;
      if (end > at) words.emplace_back(text.substr(at, end - at), at);
      at = std::max(end, at + 1);
    }
    return words;
  }
  // Places [begin, end) of `width` tokens every `stride`: of passages until one ends with the text,
  // of blocks as long as one begins in it.
  using Ranges = std::vector<std::pair<int64_t, int64_t>>;
  static Ranges Places(int64_t tokens, int64_t width, int64_t stride, bool blocks) {
    Ranges places;
    for (int64_t begin = 0; begin < tokens; begin += stride) {
      places.emplace_back(begin, std::min(begin + width, tokens));
      if (!blocks && begin + width >= tokens) break;
    }
    return places;
  }
  std::vector<double> Weights() const {
    const ReferenceText& query = texts_[0];
    std::vector<double> weights;
    double sum = 0;
    for (size_t token = 0; token < query.ids.size(); ++token) {
      const int32_t id = query.ids[token];
      double blocks = 0, holding = 0;
      for (size_t t = 1; t < texts_.size(); ++t) {
        for (const auto& [begin, end] : Places(texts_[t].size(), 2 * span_, span_, true)) {
          const auto first = texts_[t].ids.begin();
          ++blocks;
          holding += std::find(first + begin, first + end, id) != first + end;
        }
      }
      weights.push_back(options_.token_weighting() == v1::TOKEN_WEIGHTING_EQUAL
                            ? 1
                            : std::log(1 + (blocks - holding + 0.5) / (holding + 0.5)));
      // A token without a letter or a digit counts nothing.
      if (!absl::ascii_isalnum(query_[query.bytes[token].first])) weights.back() = 0;
      sum += weights.back();
    }
    for (double& weight : weights) weight /= sum;
    return weights;
  }
  static void Standardise(std::vector<double>* values) {
    double mean = 0, squares = 0;
    for (const double value : *values) mean += value / static_cast<double>(values->size());
    for (const double value : *values) squares += (value - mean) * (value - mean);
    const double deviation = std::sqrt(squares / static_cast<double>(values->size()));
    for (double& value : *values) value = deviation > 1e-9 ? (value - mean) / deviation : 0;
  }
  void Score() {
    const std::vector<double> weights = Weights();
    std::vector<double> similarities, best_similarity, best_bm25, bm25_around;
    const std::vector<double> bm25 = Bm25();
    size_t block = 0;
    for (size_t t = 1; t < texts_.size(); ++t) {
      const auto blocks = Places(texts_[t].size(), 2 * span_, span_, true);
      double best = 0;
      for (size_t b = 0; b < blocks.size(); ++b) best = std::max(best, bm25[block + b]);
      best_bm25.push_back(best);
      passages.emplace_back();
      for (const auto& [begin, end] : Places(texts_[t].size(), span_, span_ / 2, false)) {
        double similarity = 0;
        for (int64_t q = 0; q < texts_[0].size(); ++q) {
          double most = -1;
          for (int64_t row = begin; row < end; ++row) {
            double cosine = 0;
            for (int64_t i = 0; i < kWidth; ++i)
              cosine += texts_[0].rows[q][i] * texts_[t].rows[row][i];
            most = std::max(most, cosine);
          }
          similarity += weights[q] * most;
        }
        similarities.push_back(similarity);
        // The last block that holds all of the passage.
        size_t around = 0;
        for (size_t b = 0; b < blocks.size(); ++b) {
          if (blocks[b].first <= begin && end <= blocks[b].second) around = b;
        }
        bm25_around.push_back(bm25[block + around]);
        passages.back().push_back({.begin = begin, .end = end, .similarity = similarity});
      }
      double most = -1;
      for (const ReferencePassage& passage : passages.back())
        most = std::max(most, passage.similarity);
      best_similarity.push_back(most);
      block += blocks.size();
    }
    const double late = options_.has_late_weight() ? options_.late_weight() : 1;
    const double lexical = options_.has_lexical_weight() ? options_.lexical_weight() : 0.5;
    Standardise(&best_similarity);
    Standardise(&best_bm25);
    for (size_t d = 0; d < best_bm25.size(); ++d)
      documents.push_back(late * best_similarity[d] + lexical * best_bm25[d]);
    Standardise(&similarities);
    Standardise(&bm25_around);
    size_t p = 0;
    for (auto& of_text : passages) {
      for (ReferencePassage& passage : of_text) {
        passage.score = late * similarities[p] + lexical * bm25_around[p];
        ++p;
      }
    }
  }
  // Of all blocks of all documents.
  std::vector<double> Bm25() const {
    std::set<std::string> wanted;
    for (const auto& [word, begin] : words_[0]) wanted.insert(word);
    std::vector<std::map<std::string, double>> counts;
    std::vector<double> lengths;
    double all = 0;
    for (size_t t = 1; t < texts_.size(); ++t) {
      for (const auto& [begin, end] : Places(texts_[t].size(), 2 * span_, span_, true)) {
        counts.emplace_back();
        lengths.push_back(0);
        const int64_t first = texts_[t].bytes[begin].first;
        const int64_t last = texts_[t].bytes[end - 1].second;
        for (const auto& [word, at] : words_[t]) {
          if (at < first || at >= last) continue;
          ++lengths.back();
          ++all;
          if (wanted.contains(word)) ++counts.back()[word];
        }
      }
    }
    const auto blocks = static_cast<double>(counts.size());
    std::vector<double> scores(counts.size());
    for (const std::string& word : wanted) {
      double holding = 0;
      for (const auto& block : counts) holding += block.contains(word);
      const double idf = std::log(1 + (blocks - holding + 0.5) / (holding + 0.5));
      for (size_t b = 0; b < counts.size(); ++b) {
        if (!counts[b].contains(word)) continue;
        const double count = counts[b].at(word), length = lengths[b] / (all / blocks);
        scores[b] += idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length));
      }
    }
    return scores;
  }

  const v1::SearchOptions options_;
  const std::string query_;
  int64_t span_ = 64;
  std::vector<ReferenceText> texts_;  // the question, then the documents
  std::vector<std::vector<std::pair<std::string, int64_t>>> words_;
};

TEST(SearchTest, ScoresAreThoseOfTheFormula) {
  TestServer server(SearchModel());
  std::mt19937 random(11);
  for (const uint32_t span : {0u, 8u, 30u}) {
    for (const bool equal : {false, true}) {
      std::vector<std::string> texts;
      for (const int words : {1, 5, 40, 70, 300, 64}) texts.push_back(RandomText(words, random));
      auto request = RequestOf("court notice to the tenant, month", texts);
      request.mutable_options()->set_span_tokens(span);
      if (equal) request.mutable_options()->set_token_weighting(v1::TOKEN_WEIGHTING_EQUAL);
      if (equal) request.mutable_options()->set_lexical_weight(2);
      const Reference expected(server.client(), request);
      const auto answer = server.client().Search(request, kDeadline);
      ASSERT_TRUE(answer.ok()) << answer.status();
      ASSERT_EQ(answer->results().size(), 6);
      for (int i = 0; i < 6; ++i) {
        const v1::SearchResult& result = answer->results(i);
        if (i > 0) {
          EXPECT_LE(result.score(), answer->results(i - 1).score());
        }
        EXPECT_EQ(result.id(), absl::StrCat("text-", result.index()));
        // int8 vectors of 24 values: a cosine is off by up to a hundredth.
        EXPECT_NEAR(result.score(), expected.documents[result.index()], 0.05) << result.id();
        for (const v1::SearchSpan& found : result.spans()) {
          const auto& passages = expected.passages[result.index()];
          const auto same = std::find_if(passages.begin(), passages.end(), [&](const auto& one) {
            return one.begin + 1 == static_cast<int64_t>(found.tokens().begin());  // [CLS]
          });
          ASSERT_NE(same, passages.end()) << found.tokens().begin();
          EXPECT_EQ(same->end + 1, static_cast<int64_t>(found.tokens().end()));
          EXPECT_NEAR(found.similarity(), same->similarity, 0.01);
          EXPECT_NEAR(found.score(), same->score, 0.08);
        }
      }
    }
  }
}

std::vector<double> UnitRow(int32_t id, int64_t position) {
  std::vector<float> row(kWidth);
  TokenRow(id, position, row.data());
  double squares = 0;
  for (const float value : row) squares += static_cast<double>(value) * value;
  std::vector<double> unit;
  for (const float value : row) unit.push_back(value / std::sqrt(squares));
  return unit;
}

// The tokens of a text without special ones, and the position of each.
std::vector<std::pair<int64_t, v1::Token>> OwnTokens(const v1::TokenizedText& text) {
  std::vector<std::pair<int64_t, v1::Token>> own;
  for (int i = 0; i < text.tokens_size(); ++i) {
    if (!text.tokens(i).special()) own.emplace_back(i, text.tokens(i));
  }
  return own;
}

double CosineOf(const std::pair<int64_t, v1::Token>& a, const std::pair<int64_t, v1::Token>& b) {
  const auto one = UnitRow(static_cast<int32_t>(a.second.id()), a.first);
  const auto other = UnitRow(static_cast<int32_t>(b.second.id()), b.first);
  double cosine = 0;
  for (int64_t i = 0; i < kWidth; ++i) cosine += one[i] * other[i];
  return cosine;
}

// Each token of the question that counts, with the token of the passage that is most similar to it.
void ExpectBestTokens(const v1::SearchSpan& span, const v1::TokenizedText& query,
                      const v1::TokenizedText& text, int words_of_query) {
  ASSERT_EQ(span.best_tokens_size(), words_of_query);
  const auto asked = OwnTokens(query), there = OwnTokens(text);
  double sum = 0, weights = 0;
  uint64_t before = 0;
  for (const v1::BestToken& best : span.best_tokens()) {
    EXPECT_GE(best.query_bytes().begin(), before) << "in order";
    before = best.query_bytes().end();
    sum += best.weight() * best.similarity();
    weights += best.weight();
    const auto same = [](const v1::Range& bytes, const v1::Range& characters) {
      return [&](const std::pair<int64_t, v1::Token>& token) {
        return token.second.bytes().SerializeAsString() == bytes.SerializeAsString() &&
               token.second.characters().SerializeAsString() == characters.SerializeAsString();
      };
    };
    const auto token =
        std::find_if(asked.begin(), asked.end(), same(best.query_bytes(), best.query_characters()));
    ASSERT_NE(token, asked.end()) << best.ShortDebugString();
    const auto found =
        std::find_if(there.begin(), there.end(), same(best.bytes(), best.characters()));
    ASSERT_NE(found, there.end()) << best.ShortDebugString();
    double most = -1;
    for (const auto& other : there) {
      const auto position = static_cast<uint64_t>(other.first);
      if (position >= span.tokens().begin() && position < span.tokens().end())
        most = std::max(most, CosineOf(*token, other));
    }
    EXPECT_GE(static_cast<uint64_t>(found->first), span.tokens().begin());
    EXPECT_LT(static_cast<uint64_t>(found->first), span.tokens().end());
    EXPECT_NEAR(best.similarity(), most, 0.02);
    EXPECT_NEAR(CosineOf(*token, *found), most, 0.02);
  }
  EXPECT_NEAR(sum, span.similarity(), 1e-5);
  EXPECT_NEAR(weights, 1, 1e-5);
}

TEST(SearchTest, BestTokens_AreThoseOfThePassage_InTheirPlaces) {
  TestServer server(SearchModel(), RestOptions());
  std::mt19937 random(21);
  std::vector<std::string> texts = {RandomText(90, random), "étage " + RandomText(200, random),
                                    "rent"};
  auto request = RequestOf("coûrt notice to the tenant, month", texts);
  v1::TokenizeRequest tokenize;
  tokenize.add_texts(request.query());
  for (const std::string& text : texts) tokenize.add_texts(text);
  const v1::TokenizeResponse tokens = *server.client().Tokenize(tokenize, kDeadline);
  const int words = static_cast<int>(OwnTokens(tokens.texts(0)).size()) - 1;  // no comma
  auto without = server.client().Search(request, kDeadline);
  request.mutable_options()->set_best_tokens(true);
  auto answer = server.client().Search(request, kDeadline);
  ASSERT_TRUE(answer.ok()) << answer.status();
  int spans = 0;
  for (v1::SearchResult& result : *answer->mutable_results()) {
    for (v1::SearchSpan& span : *result.mutable_spans()) {
      ExpectBestTokens(span, tokens.texts(0), tokens.texts(1 + static_cast<int>(result.index())),
                       words);
      span.clear_best_tokens();
      ++spans;
    }
  }
  EXPECT_GT(spans, 4);
  // Nothing else changes, and nothing stays.
  answer->clear_timings();
  without->clear_timings();
  EXPECT_EQ(answer->SerializeAsString(), without->SerializeAsString());
  EXPECT_TRUE(AllGivenBack(server));
}

TEST(SearchTest, ManyBestTokens_AreComputedOnAnotherThread_AsWell) {
  TestServer server(SearchModel(), RestOptions());
  std::mt19937 random(22);
  const std::string text = RandomText(1300, random);
  auto request = RequestOf(RandomText(150, random), {text});
  request.mutable_options()->set_best_tokens(true);
  request.mutable_options()->set_max_spans(1000);
  v1::TokenizeRequest tokenize;
  tokenize.add_texts(request.query());
  tokenize.add_texts(text);
  const v1::TokenizeResponse tokens = *server.client().Tokenize(tokenize, kDeadline);
  int words = 0;
  for (const auto& [position, token] : OwnTokens(tokens.texts(0))) words += token.text() != ".";
  const auto answer = server.client().Search(request, kDeadline);
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_GT(answer->results(0).spans_size(), 30);
  for (const int span : {0, answer->results(0).spans_size() - 1})
    ExpectBestTokens(answer->results(0).spans(span), tokens.texts(0), tokens.texts(1), words);
  EXPECT_TRUE(AllGivenBack(server));
}

TEST(SearchTest, OfAMultiVectorModel_AllTokensOfTheQuestionAreCompared_ButNoSkippedOnes) {
  FakeModel model = SearchModel();
  const std::string query = "court notice, rent", text = "rent. the court ends the lease. notice";
  v1::TokenizeRequest tokenize;
  for (const std::string& each : {query, text, std::string(".")}) tokenize.add_texts(each);
  const v1::TokenizeResponse tokens = *TestServer(model).client().Tokenize(tokenize, kDeadline);
  const auto skipped = static_cast<int32_t>(tokens.texts(2).tokens(1).id());
  constexpr int32_t kMask = 7;
  model.multi_vector.emplace();
  model.multi_vector->skipped_ids = {skipped};
  model.multi_vector->expansion =
      QueryExpansion{.length = 64, .is_fixed = true, .is_attended = false, .token_id = kMask};
  TestServer server(model);
  auto request = RequestOf(query, {text});
  request.mutable_options()->set_best_tokens(true);
  const auto answer = server.client().Search(request, kDeadline);
  ASSERT_TRUE(answer.ok()) << answer.status();
  std::vector<int32_t> ids;
  for (const v1::Token& token : tokens.texts(0).tokens())
    ids.push_back(static_cast<int32_t>(token.id()));
  ids.resize(64, kMask);
  double sum = 0;
  for (size_t q = 0; q < ids.size(); ++q) {
    const std::vector<double> asked = UnitRow(ids[q], static_cast<int64_t>(q));
    double best = -1;
    for (int t = 0; t < tokens.texts(1).tokens_size(); ++t) {
      const v1::Token& token = tokens.texts(1).tokens(t);
      if (token.special() || static_cast<int32_t>(token.id()) == skipped) continue;
      const std::vector<double> row = UnitRow(static_cast<int32_t>(token.id()), t);
      double cosine = 0;
      for (int64_t i = 0; i < kWidth; ++i) cosine += asked[i] * row[i];
      best = std::max(best, cosine);
    }
    sum += best / static_cast<double>(ids.size());
  }
  EXPECT_NEAR(answer->results(0).similarity(), sum, 0.01);
  // Those that the question does not hold have no place in it.
  const auto& best = answer->results(0).spans(0).best_tokens();
  ASSERT_EQ(best.size(), 64);
  for (int q = 0; q < 64; ++q) {
    const bool own = q < tokens.texts(0).tokens_size() && !tokens.texts(0).tokens(q).special();
    EXPECT_EQ(best[q].has_query_bytes(), own) << q;
    EXPECT_EQ(best[q].has_query_characters(), own) << q;
    if (own) {
      EXPECT_EQ(best[q].query_bytes().end(), tokens.texts(0).tokens(q).bytes().end()) << q;
    }
    EXPECT_FLOAT_EQ(best[q].weight(), 1.0f / 64);
  }
}

TEST(SearchTest, ASpan_IsThePlaceWithTheWords) {
  TestServer server(SearchModel());
  std::mt19937 random(12);
  const std::string fact = "the judge evicts a subtenant";
  std::string text = RandomText(400, random);
  const size_t at = text.find("the ", text.size() / 2);
  text.insert(at, "étage " + fact + " ");
  const auto answer = server.client().Search(
      RequestOf("judge evicts subtenant", {RandomText(300, random), text}), kDeadline);
  ASSERT_TRUE(answer.ok()) << answer.status();
  const v1::SearchResult& best = answer->results(0);
  EXPECT_EQ(best.index(), 1u);
  const v1::SearchSpan& span = best.spans(0);
  const std::string found =
      text.substr(span.bytes().begin(), span.bytes().end() - span.bytes().begin());
  EXPECT_THAT(found, HasSubstr("judge evicts"));
  // Characters are fewer than bytes behind the é.
  EXPECT_EQ(span.bytes().end() - span.characters().end(), 1u);
  EXPECT_FALSE(best.truncated());
  ASSERT_EQ(best.used_text().size(), 1);
  EXPECT_EQ(best.used_text(0).end(), text.size());
}

TEST(SearchTest, LimitsOfTheAnswer) {
  TestServer server(SearchModel());
  std::mt19937 random(13);
  std::vector<std::string> texts;
  for (int i = 0; i < 15; ++i) texts.push_back(RandomText(200, random));
  auto request = RequestOf("court notice", texts);
  auto answer = server.client().Search(request, kDeadline);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->results().size(), 10);
  EXPECT_EQ(answer->results(0).spans().size(), 3);
  request.mutable_options()->set_max_documents(100);
  request.mutable_options()->set_max_spans(1);
  answer = server.client().Search(request, kDeadline);
  EXPECT_EQ(answer->results().size(), 15);
  EXPECT_EQ(answer->results(0).spans().size(), 1);
  EXPECT_GT(answer->documents_tokens(), 3000u);
  EXPECT_GT(answer->timings().total_ns(), 0u);
  request.mutable_options()->set_max_answer_bytes(300);
  grpc::ClientContext context;
  v1::SearchResponse response;
  const grpc::Status status = server.client().stub().Search(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("options.max_answer_bytes allows 300 bytes"));
}

TEST(SearchTest, InABatch_AsAlone) {
  TestServer server(SearchModel());
  std::mt19937 random(14);
  std::vector<std::string> texts;
  for (const int words : {10, 500, 33}) texts.push_back(RandomText(words, random));
  const auto request = RequestOf("notice of rent", texts);
  const auto alone = server.client().Search(request, kDeadline);
  ASSERT_TRUE(alone.ok()) << alone.status();
  std::vector<std::string> answers(8);
  std::vector<std::thread> callers;
  for (std::string& answer : answers) {
    callers.emplace_back([&] {
      auto response = server.client().Search(request, kDeadline);
      if (!response.ok()) return;
      response->clear_timings();
      answer = response->SerializeAsString();
    });
  }
  for (std::thread& caller : callers) caller.join();
  v1::SearchResponse expected = *alone;
  expected.clear_timings();
  for (const std::string& answer : answers) EXPECT_EQ(answer, expected.SerializeAsString());
}

TEST(SearchTest, ALongDocument_IsRefused_OrCutAsAsked) {
  FakeModel model = SearchModel();
  model.max_tokens = 102;
  TestServer server(model);
  std::mt19937 random(15);
  const std::string text = RandomText(250, random);
  auto request = RequestOf("court notice", {"rent", text});
  auto answer = server.client().Search(request, kDeadline);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(answer.status().message()),
              HasSubstr("documents[1].text (id 'text-1') has "));
  for (const auto& [truncation, runs] :
       std::map<v1::Truncation, int>{{v1::TRUNCATION_HEAD, 1}, {v1::TRUNCATION_HEAD_TAIL, 2}}) {
    request.mutable_options()->set_truncation(truncation);
    answer = server.client().Search(request, kDeadline);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->documents_truncated(), 1u);
    const auto& results = answer->results();
    const auto cut = std::find_if(results.begin(), results.end(),
                                  [](const auto& result) { return result.index() == 1; });
    EXPECT_TRUE(cut->truncated());
    EXPECT_EQ(cut->tokens_used(), 102u);
    EXPECT_EQ(cut->used_text().size(), runs);
  }
  // Windows read all of it.
  request.mutable_options()->set_truncation(v1::TRUNCATION_WINDOWS);
  request.mutable_options()->set_window_overlap_tokens(20);
  answer = server.client().Search(request, kDeadline);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->documents_truncated(), 0u);
}

TEST(SearchTest, ALongQuestion_IsRefused_OrCutAsAsked) {
  TestServer server(SearchModel());
  std::mt19937 random(16);
  auto request = RequestOf(RandomText(600, random), {"rent"});
  auto answer = server.client().Search(request, kDeadline);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(answer.status().message()),
              HasSubstr("a question takes at most 512 (set query_truncation)"));
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("query has "));
  request.mutable_options()->set_query_truncation(v1::TRUNCATION_HEAD);
  answer = server.client().Search(request, kDeadline);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->query_tokens(), 512u);
  EXPECT_TRUE(answer->query_truncated());
}

TEST(SearchTest, TextsWithoutTokens) {
  TestServer server(SearchModel());
  auto answer = server.client().Search(RequestOf(" ", {"rent"}), kDeadline);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("query has no token"));
  answer = server.client().Search(RequestOf("rent", {" ", "the rent"}), kDeadline);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->results(0).index(), 1u);
  EXPECT_EQ(answer->results(1).spans_size(), 0);
}

TEST(SearchTest, AFault_OfOneDocument_EndsTheCall_AndGivesEverythingBack) {
  FakeModel model = SearchModel();
  model.fault = [](int32_t, int32_t batch_texts) {
    return batch_texts >= 0 ? absl::InternalError("broken") : absl::OkStatus();
  };
  TestServer server(model, RestOptions());
  std::mt19937 random(17);
  const auto answer = server.client().Search(
      RequestOf("rent", {RandomText(30, random), RandomText(900, random)}), kDeadline);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(AllGivenBack(server));
}

TEST(SearchTest, TheRoomOfTokenVectors_Bounds) {
  ServerOptions options = RestOptions();
  options.max_token_vector_bytes = 10000;
  TestServer server(SearchModel(), options);
  std::mt19937 random(18);
  const auto answer =
      server.client().Search(RequestOf("rent", {RandomText(1000, random)}), kDeadline);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument) << answer.status();
  EXPECT_TRUE(server.client().Search(RequestOf("rent", {RandomText(20, random)}), kDeadline).ok());
  EXPECT_TRUE(AllGivenBack(server));
}

// Bytes of token vectors that are held for the question "rent" while the second of two documents is
// computed, and the tokens of each.
std::pair<int64_t, int64_t> HeldAtTheSecond(const std::string& text, bool best_tokens) {
  // One text a pass; the second document waits until it is let go.
  FakeModel model = SearchModel();
  absl::Notification go;
  std::atomic<int> texts = 0;
  model.fault = [&](int32_t, int32_t) {
    if (++texts == 3) go.WaitForNotification();
    return absl::OkStatus();
  };
  ServerOptions options = RestOptions();
  options.max_batch_tokens = 100;
  TestServer server(model, options);
  auto request = RequestOf("rent", {text, text});
  request.mutable_options()->set_best_tokens(best_tokens);
  absl::StatusOr<v1::SearchResponse> answer;
  std::thread caller([&] { answer = server.client().Search(request, kDeadline); });
  while (texts < 3) absl::SleepFor(absl::Milliseconds(1));
  // The first document is scored on the worker that computed it, so by now.
  const int64_t held = std::stoll(TokenVectorBytes(server));
  go.Notify();
  caller.join();
  EXPECT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(AllGivenBack(server));
  return {held, static_cast<int64_t>(answer->documents_tokens()) / 2 - 2};
}

TEST(SearchTest, WhatIsScored_GivesItsRowsBack_UnlessItsBestTokensAreWanted) {
  std::mt19937 random(20);
  const std::string text = RandomText(300, random);
  const auto [held, tokens] = HeldAtTheSecond(text, /*best_tokens=*/false);
  // Of one document the rows were held at the end, of both the places and the scores.
  const int64_t rows = tokens * (kWidth + 4);
  EXPECT_LT(held, rows + 2 * (tokens * 20 + (2 + tokens / 32) * 200));
  EXPECT_GT(held, rows);
  // With best tokens those of both, and 40 bytes for each of the 4 bytes that the question has at
  // most as tokens, in 3 passages of each document.
  EXPECT_EQ(HeldAtTheSecond(text, /*best_tokens=*/true).first, held + rows + 2 * 3 * 4 * 40);
}

TEST(SearchTest, ACallerThatGoes_LeavesNothingBehind) {
  FakeModel model = SearchModel();
  TestServer server(model, RestOptions());
  std::mt19937 random(19);
  model.gate->Close();
  const auto request = RequestOf("rent", {RandomText(300, random), RandomText(300, random)});
  EXPECT_EQ(server.client().Search(request, absl::Milliseconds(300)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  model.gate->Open();
  EXPECT_TRUE(AllGivenBack(server));
  EXPECT_TRUE(server.client().Search(request, kDeadline).ok());
}

TEST(SearchTest, AnUnknownLanguage_IsRefused) {
  TestServer server(SearchModel());
  auto request = RequestOf("rent", {"rent"});
  request.mutable_options()->set_language("klingon");
  const auto answer = server.client().Search(request, kDeadline);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("options.language"));
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("german"));
}

}  // namespace
}  // namespace longspan
