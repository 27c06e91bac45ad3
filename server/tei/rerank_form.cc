#include "server/tei/rerank_form.h"

#include <longspan/v1/encoder.pb.h>
#include <tei/v1/tei.pb.h>

#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/rpc/rpc_call.h"
#include "server/search/searching.h"
#include "server/tei/metadata.h"
#include "server/tei/tei_requests.h"
#include "server/text/text_segments.h"
#include "server/wire/document_decoder.h"
#include "server/wire/renamed_field.h"
#include "server/wire/search_decoder.h"
#include "server/wire/serialized.h"

namespace longspan {
namespace {

// An index, a score, and the message around them; without the text.
constexpr int64_t kMostRankBytes = 20;
constexpr int64_t kMostOtherBytes = 80;

std::string RerankName(std::string_view field) {
  constexpr std::string_view kDocuments = "documents";
  if (!field.starts_with(kDocuments)) return "";
  std::string name = absl::StrCat("texts", std::string(field.substr(kDocuments.size())));
  if (name.ends_with(".text")) name.resize(name.size() - std::string_view(".text").size());
  return name;
}

absl::Status InRerankWords(const absl::Status& status) {
  return RenamedField(status, RerankName, "(set truncate)");
}

class RerankForm final : public SearchForm {
 public:
  absl::StatusOr<SearchRequest> Read(const ServiceParts& parts,
                                     const grpc::ByteBuffer& bytes) override {
    tei::v1::RerankRequest message;
    if (absl::Status status = ParseRequest(parts, bytes, &message); !status.ok()) return status;
    const auto truncation = TruncationOf(message.truncate(), message.truncation_direction());
    if (!truncation.ok()) return truncation.status();
    raw_scores_ = message.raw_scores();
    NoteTexts(message);
    v1::SearchRequest search;
    search.mutable_query()->swap(*message.mutable_query());
    for (std::string& text : *message.mutable_texts())
      search.add_documents()->mutable_text()->swap(text);
    v1::SearchOptions& options = *search.mutable_options();
    options.set_truncation(*truncation);
    options.set_query_truncation(*truncation);
    options.set_max_documents(static_cast<uint32_t>(search.documents_size()));
    auto request = DecodeSearchRequest(&search, parts.decoding());
    if (!request.ok()) return InRerankWords(request.status());
    request->settings.ranking.max_passages = 0;
    return request;
  }

  int64_t MostAnswerBytes() const override { return most_bytes_; }

  absl::Status Translate(size_t text, const absl::Status& status) const override {
    return InRerankWords(text == Searching::kQuery ? AtQuery(status)
                                                   : AtDocument(status, text - 1, ""));
  }

  grpc::ByteBuffer Answer(SearchAnswer answer, const StageTimings& timings) override {
    tei::v1::RerankResponse response;
    for (const FoundDocument& found : answer.documents) {
      tei::v1::Rank& rank = *response.add_ranks();
      rank.set_index(static_cast<uint32_t>(found.index));
      rank.set_score(static_cast<float>(raw_scores_ ? found.score : Logistic(found.score)));
      if (!texts_.empty()) rank.mutable_text()->swap(texts_[found.index]);
    }
    FillMetadata(characters_, answer.query_tokens + answer.documents_tokens, timings,
                 response.mutable_metadata());
    return SerializeMessage(response);
  }

 private:
  void NoteTexts(const tei::v1::RerankRequest& message) {
    characters_ = CountCharacters(message.query());
    most_bytes_ = kMostOtherBytes + message.texts_size() * kMostRankBytes;
    for (const std::string& text : message.texts()) {
      characters_ += CountCharacters(text);
      if (!message.return_text()) continue;
      texts_.push_back(text);
      most_bytes_ += static_cast<int64_t>(text.size()) + kMostRankBytes;
    }
  }

  bool raw_scores_ = false;
  std::vector<std::string> texts_;  // where they come back
  int64_t characters_ = 0;          // of the query and all texts
  int64_t most_bytes_ = 0;
};

}  // namespace

double Logistic(double score) { return 1.0 / (1.0 + std::exp(-score)); }

std::unique_ptr<SearchForm> NewRerankForm() { return std::make_unique<RerankForm>(); }

}  // namespace longspan
