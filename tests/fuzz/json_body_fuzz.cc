// Any bytes as the body of a JSON route: it is read as messages of the contract, as documents to
// keep, and by a table of fields, or refused in one line that is short. nlohmann's parser takes
// what ReadJson takes, and a message that was read is written by protobuf and read again as the
// same.
#include <google/protobuf/util/message_differencer.h>
#include <longspan/v1/encoder.pb.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "nlohmann/json.hpp"
#include "server/rest/json_documents.h"
#include "server/rest/json_fields.h"
#include "server/rest/json_message.h"
#include "server/rest/json_value.h"

namespace longspan {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

void RequireRefusal(const absl::Status& status) {
  Require(absl::IsInvalidArgument(status) && status.message().size() < 4096);
  Require(status.message().find('\n') == absl::string_view::npos);
}

// The values of arrays and objects are where nlohmann has them.
void RequireSame(const JsonValue& ours, const nlohmann::json& theirs) {
  switch (ours.kind()) {
    case JsonValue::Kind::kNull:
      return Require(theirs.is_null());
    case JsonValue::Kind::kBool:
      return Require(theirs.is_boolean() && theirs.get<bool>() == ours.boolean());
    case JsonValue::Kind::kUnsigned:
      return Require(theirs.get<uint64_t>() == ours.unsigned_number());
    case JsonValue::Kind::kInteger:
    case JsonValue::Kind::kFloat:
      return Require(theirs.get<double>() == ours.number());
    case JsonValue::Kind::kString:
      return Require(theirs.get<std::string>() == ours.string());
    case JsonValue::Kind::kIds:
      Require(theirs.size() == ours.ids().size());
      for (size_t i = 0; i < ours.ids().size(); ++i)
        Require(theirs[i].get<uint64_t>() == ours.ids()[i]);
      return;
    case JsonValue::Kind::kArray:
      Require(theirs.is_array() && theirs.size() == ours.elements().size());
      for (size_t i = 0; i < ours.elements().size(); ++i)
        RequireSame(ours.elements()[i], theirs[i]);
      return;
    case JsonValue::Kind::kObject:
      Require(theirs.is_object() && theirs.size() == ours.members().size());
      for (const auto& [name, value] : ours.members()) RequireSame(value, theirs.at(name));
      return;
  }
}

template <typename Message>
void ReadAsMessage(const JsonValue& json) {
  Message request;
  IgnoredFields ignored;
  const absl::Status status = ReadMessage(json, &request, &ignored);
  if (!status.ok()) return RequireRefusal(status);
  auto written = ReadJson(WriteMessage(request, /*all_fields=*/false));
  Require(written.ok());
  Message again;
  Require(ReadMessage(*std::move(written), &again, &ignored).ok());
  Require(google::protobuf::util::MessageDifferencer::Equals(request, again));
}

// As PUT /collections/{name}/documents has it: a document may be a text alone.
void ReadAsDocuments(JsonValue json) {
  if (!json.is_object()) return;
  constexpr int kMost = 8;
  JsonValue documents = TakeMember(&json, "documents");
  v1::PutDocumentsRequest request;
  IgnoredFields ignored;
  const absl::Status status =
      ReadDocuments(std::move(documents), kMost, request.mutable_documents(), &ignored);
  Require(request.documents_size() <= kMost);
  if (!status.ok()) return RequireRefusal(status);
  ReadAsMessage<v1::PutDocumentsRequest>(json);
}

void ReadAsFields(const JsonValue& json) {
  const JsonField table[] = {{.name = "input", .type = JsonType::kInputs, .required = true},
                             {.name = "dimensions", .type = JsonType::kCount},
                             {.name = "truncate", .type = JsonType::kBool},
                             {.name = "format", .type = JsonType::kChoice, .choices = {"a", "b"}}};
  IgnoredFields ignored;
  auto fields = ReadFields(json, table, &ignored);
  if (!fields.ok()) return RequireRefusal(fields.status());
  const auto inputs = TakeInputs(fields->Find("input"), "input", 8);
  if (!inputs.ok()) return RequireRefusal(inputs.status());
  Require(!inputs->inputs.empty() && inputs->inputs.size() <= 8);
  for (const JsonInput& input : inputs->inputs) Require(input.is_text || input.text.empty());
}

}  // namespace
}  // namespace longspan

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto json = longspan::ReadJson(body);
  if (!json.ok()) {
    longspan::RequireRefusal(json.status());
    return 0;
  }
  longspan::RequireSame(*json, nlohmann::json::parse(body));
  longspan::ReadAsMessage<longspan::v1::EncodeRequest>(*json);
  longspan::ReadAsMessage<longspan::v1::DeleteDocumentsRequest>(*json);
  longspan::ReadAsDocuments(*json);
  longspan::ReadAsFields(*json);
  return 0;
}
