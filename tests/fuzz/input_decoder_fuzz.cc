// Any bytes as a request. What protobuf can parse is decoded as EncodeRequest, EncodeTokensRequest,
// TokenizeRequest, SearchRequest, PutDocumentsRequest and DeleteDocumentsRequest, on a model that
// can do everything and on one that can do nothing. A refusal is INVALID_ARGUMENT or
// FAILED_PRECONDITION and names a field; what is taken keeps every limit, also those that are
// looked for on the bytes before they are parsed. An abort is a find.
#include <google/protobuf/stubs/logging.h>
#include <grpcpp/support/byte_buffer.h>
#include <longspan/v1/encoder.pb.h>

#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>

#include "core/error_details.h"
#include "server/collections/collection_name.h"
#include "server/wire/collection_encoder.h"
#include "server/wire/put_decoder.h"
#include "server/wire/request_decoder.h"
#include "server/wire/search_decoder.h"
#include "server/wire/search_encoder.h"
#include "server/wire/wire_limits.h"

namespace longspan {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

// The limits are small, so that small inputs are found on both sides of them.
constexpr int64_t kMaxTexts = 3;
constexpr int64_t kMaxTextBytes = 64;

ModelInfo MakeModel(bool can_all) {
  ModelInfo model;
  model.architecture = "fuzz";
  model.vocab_size = 100;
  model.output_dimensions = 16;
  model.pooling = {can_all ? PoolingMode::kMean : PoolingMode::kCls};
  model.supports_global_attention = can_all;
  model.supports_hashing = can_all;
  if (can_all) {
    model.prompts = {{"doc", "doc: "}, {"query", "query: "}};
    model.default_prompt_name = "doc";
  }
  return model;
}

void CheckRefusal(const absl::Status& status) {
  Require(status.code() == absl::StatusCode::kInvalidArgument ||
          status.code() == absl::StatusCode::kFailedPrecondition);
  const auto field = FieldOf(status);
  Require(field.has_value() && !field->empty());
  Require(status.message().substr(0, field->size()) == *field);
}

void CheckContent(const EncodeInput& input, const DecodingContext& context) {
  Require(input.text.empty() != input.token_ids.empty());
  Require(input.text.empty() || context.has_tokenizer);
  Require(static_cast<int64_t>(input.text.size()) <= kMaxTextBytes);
  Require(static_cast<int64_t>(input.token_ids.size() * sizeof(int32_t)) <= kMaxTextBytes);
  for (const int32_t id : input.token_ids) Require(id >= 0 && id < context.model->vocab_size);
  Require(input.prompt.empty() || !input.text.empty());
}

void CheckInput(const EncodeInput& input, const DecodingContext& context) {
  const ModelInfo& model = *context.model;
  CheckContent(input, context);
  Require(input.window_overlap >= 0);
  Require(input.window_overlap == 0 || input.truncation == Truncation::kWindows);
  Require(input.options.dimensions >= 0 && input.options.dimensions <= model.output_dimensions);

  for (const int32_t position : input.global_positions) Require(position >= 0);
  Require(input.global_spans.empty() || !input.text.empty());
  if (!model.supports_global_attention) {
    Require(input.global_spans.empty() && input.global_positions.empty());
    Require(input.global_attention.value_or(GlobalAttention::kNone) == GlobalAttention::kNone);
  }
  Require(input.lsh.num_hashes >= 0 && input.lsh.num_hashes <= LshOptions::kMaxHashes);
  Require(model.supports_hashing ||
          (input.lsh.num_hashes == 0 && !input.lsh.hash_seed.has_value()));

  const bool pools_one_token = PoolsOneToken(input.options.pooling.value_or(model.pooling.front()));
  Require(input.spans.empty() == (input.span_policy != SpanPolicy::kGiven));
  Require(input.span_policy == SpanPolicy::kNone || input.independent_spans || !pools_one_token);
  Require(!input.text.empty() || (input.span_policy != SpanPolicy::kSentences &&
                                  input.span_policy != SpanPolicy::kParagraphs));
  if (input.span_policy == SpanPolicy::kFixed)
    Require(input.span_overlap >= 0 && input.span_overlap < input.span_tokens);
}

void CheckEncode(const std::string& bytes, const DecodingContext& context) {
  v1::EncodeRequest request;
  if (!request.ParseFromString(bytes)) return;
  const int num_inputs = request.inputs_size();
  const auto decoded = DecodeEncodeRequest(&request, context);
  if (!decoded.ok()) return CheckRefusal(decoded.status());
  Require(num_inputs >= 1 && num_inputs <= kMaxTexts);
  Require(decoded->inputs.size() == static_cast<size_t>(num_inputs));
  for (const EncodeInput& input : decoded->inputs) {
    CheckInput(input, context);
    Require(input.options.document_vector || input.span_policy != SpanPolicy::kNone);
  }
}

void CheckTokens(const std::string& bytes, const DecodingContext& context) {
  v1::EncodeTokensRequest request;
  if (!request.ParseFromString(bytes)) return;
  const auto input = DecodeTokensInput(&request, context);
  if (!input.ok()) return CheckRefusal(input.status());
  CheckInput(*input, context);
  Require(!input->options.document_vector && input->span_policy == SpanPolicy::kNone);
  Require(input->options.normalize.has_value() && !input->options.pooling.has_value());
  Require(input->truncation != Truncation::kWindows && input->options.dimensions == 0);
}

void CheckTokenize(const std::string& bytes, const DecodingContext& context) {
  v1::TokenizeRequest request;
  if (!request.ParseFromString(bytes)) return;
  const absl::Status status = CheckTokenizeRequest(request, context);
  if (!context.has_tokenizer) {  // refused as a whole: no field is at fault
    Require(status.code() == absl::StatusCode::kFailedPrecondition);
    return;
  }
  if (!status.ok()) return CheckRefusal(status);
  Require(request.texts_size() >= 1 && request.texts_size() <= kMaxTexts);
  for (const std::string& text : request.texts())
    Require(static_cast<int64_t>(text.size()) <= kMaxTextBytes);
}

// What the limits on the bytes let pass has no more elements, however it was sent.
template <typename Message>
bool PassesOnTheWire(const std::string& bytes, const DecodingContext& context) {
  const grpc::Slice slice(bytes);
  const absl::Status status = CheckWireLimits(grpc::ByteBuffer(&slice, 1), *Message::descriptor(),
                                              LimitsOfRequests(context));
  Require(status.ok() || status.code() == absl::StatusCode::kInvalidArgument);
  return status.ok();
}

void CheckDocument(const EncodeInput& document, const DecodingContext& context) {
  CheckInput(document, context);
  Require(!document.text.empty() && document.token_ids.empty());
  Require(document.span_policy == SpanPolicy::kNone);
}

// A collection has no owner before anybody knows who asks.
void CheckCollection(const CollectionRef& collection) {
  Require(CheckCollectionName(collection.name).ok() && collection.owner.empty());
}

void CheckSearch(const std::string& bytes, const DecodingContext& context) {
  v1::SearchRequest request;
  if (!request.ParseFromString(bytes)) return;
  if (PassesOnTheWire<v1::SearchRequest>(bytes, context))
    Require(request.documents_size() <= kMaxTexts);
  const auto search = DecodeSearchRequest(&request, context);
  if (!search.ok()) return CheckRefusal(search.status());
  Require(context.has_tokenizer && !search->query.text.empty());
  Require(static_cast<int64_t>(search->query.text.size()) <= kMaxQueryBytes);
  Require(search->query.truncation != Truncation::kWindows);
  const RankingOptions& ranking = search->settings.ranking;
  if (search->collection.has_value()) {
    CheckCollection(*search->collection);
    Require(search->documents.empty() && search->settings.language.empty());
    Require(ranking.max_documents <= 1000 && ranking.max_passages <= 100);
  } else {
    Require(!search->documents.empty() && search->documents.size() <= kMaxTexts);
  }
  for (const EncodeInput& document : search->documents) CheckDocument(document, context);
  Require(ranking.late_weight >= 0 && ranking.lexical_weight >= 0);
  Require(ranking.late_weight + ranking.lexical_weight > 0);
  Require(ranking.bm25.k1 >= 0 && ranking.bm25.b >= 0 && ranking.bm25.b <= 1);
  Require(search->settings.cell_tokens >= 4 && search->settings.cell_tokens <= 4096);
  const std::vector<std::string> ids(search->documents.size());
  Require(MostSearchBytes(*search, ids) > 0);
}

void CheckPut(const std::string& bytes, const DecodingContext& context) {
  v1::PutDocumentsRequest request;
  if (!request.ParseFromString(bytes)) return;
  if (PassesOnTheWire<v1::PutDocumentsRequest>(bytes, context))
    Require(request.documents_size() <= kMaxTexts);
  const auto put = DecodePutRequest(&request, context);
  if (!put.ok()) return CheckRefusal(put.status());
  Require(context.has_tokenizer);
  CheckCollection(put->collection);
  Require(!put->documents.empty() && put->documents.size() <= kMaxTexts);
  for (const EncodeInput& document : put->documents) CheckDocument(document, context);
  const std::set<std::string> different(put->ids.begin(), put->ids.end());
  Require(put->ids.size() == put->documents.size() && different.size() == put->ids.size());
  for (const std::string& id : put->ids) Require(!id.empty() && id.size() <= kMaxIdBytes);
  Require(put->time_to_live >= absl::ZeroDuration());
  const int64_t cell_tokens = put->cell_tokens.value_or(4);
  Require(cell_tokens >= 4 && cell_tokens <= 4096);
  Require(MostPutBytes(put->ids) > 0);
}

void CheckDelete(const std::string& bytes, const DecodingContext& context) {
  v1::DeleteDocumentsRequest request;
  if (!request.ParseFromString(bytes)) return;
  if (PassesOnTheWire<v1::DeleteDocumentsRequest>(bytes, context))
    Require(request.ids_size() <= kMaxDeletedIds);
  const auto deleted = DecodeDeleteRequest(&request);
  if (!deleted.ok()) return CheckRefusal(deleted.status());
  CheckCollection(deleted->collection);
  Require(deleted->all == deleted->ids.empty());
  Require(static_cast<int64_t>(deleted->ids.size()) <= kMaxDeletedIds);
  for (const std::string& id : deleted->ids) Require(id.size() <= kMaxIdBytes);
}

void CheckRequests(const std::string& bytes) {
  // protobuf would print a line for each string that is not UTF-8.
  static google::protobuf::LogHandler* const printed = google::protobuf::SetLogHandler(nullptr);
  (void)printed;
  for (const bool can_all : {true, false}) {
    static const ModelInfo models[] = {MakeModel(false), MakeModel(true)};
    const DecodingContext context = {.model = &models[can_all ? 1 : 0],
                                     .has_tokenizer = can_all,
                                     .max_texts_per_request = kMaxTexts,
                                     .max_text_bytes = kMaxTextBytes};
    CheckEncode(bytes, context);
    CheckTokens(bytes, context);
    CheckTokenize(bytes, context);
    CheckSearch(bytes, context);
    CheckPut(bytes, context);
    CheckDelete(bytes, context);
  }
}

}  // namespace
}  // namespace longspan

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  longspan::CheckRequests(std::string(reinterpret_cast<const char*>(bytes), size));
  return 0;
}
