#include "server/wire/wire_limits.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/text/preparation_context.h"
#include "server/wire/put_decoder.h"

namespace longspan {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

constexpr int kMaxDepth = 32;  // of groups in groups; the contract has none

constexpr std::string_view kInputId = "longspan.v1.Input.id";

// A field of which the parser keeps one and silently drops the others: a text, a name, one of a
// oneof. Numbers may be given again, which is how protobuf merges messages; a text that is dropped
// is never what its caller meant.
bool IsGivenOnce(const FieldDescriptor& field) {
  return !field.is_repeated() && (field.real_containing_oneof() != nullptr ||
                                  field.cpp_type() == FieldDescriptor::CPPTYPE_STRING);
}

bool IsPackable(const FieldDescriptor& field) {
  return field.is_repeated() && field.cpp_type() != FieldDescriptor::CPPTYPE_STRING &&
         field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE;
}

// Counts the varints in the next `length` bytes, by their last bytes; false where they end early.
bool CountVarints(CodedInputStream* in, int length, int64_t* count) {
  while (length > 0) {
    const void* data = nullptr;
    int available = 0;
    if (!in->GetDirectBufferPointer(&data, &available)) return false;
    const int bytes = std::min(available, length);
    const auto* begin = static_cast<const uint8_t*>(data);
    *count += std::count_if(begin, begin + bytes, [](uint8_t byte) { return byte < 0x80; });
    if (!in->Skip(bytes)) return false;
    length -= bytes;
  }
  return true;
}

// Walks one request, until it is malformed or passes a limit that cannot be counted further.
class Walk {
 public:
  Walk(CodedInputStream* in, const WireLimits& limits) : in_(in), limits_(limits) {}

  absl::Status Run(const Descriptor& type) {
    Counts counts;
    const bool well_formed = Message(type, "", &counts);
    if (failure_.ok() && !well_formed) {
      failure_ = absl::InvalidArgumentError(
          absl::StrCat("the request is not a valid ", type.full_name(), " message"));
    }
    if (failure_.ok()) failure_ = Judge(counts, "");
    if (failure_.ok() && messages_ > kMaxMessagesPerRequest) {
      failure_ = absl::InvalidArgumentError(absl::StrCat(
          "the request has ", messages_, " messages inside (inputs, spans, ...); allowed: at most ",
          kMaxMessagesPerRequest));
    }
    return failure_;
  }

 private:
  // How often each field that is repeated, or may be given once, occurred in one element of a
  // repeated field, or in the request itself. A message that is not repeated counts into what
  // stands around it, because occurrences of it are merged.
  struct Count {
    const FieldDescriptor* field;
    int64_t count;
    std::string path;  // of the message that holds it, from the element on; empty for most
  };
  struct Counts {
    absl::InlinedVector<Count, 4> fields;
    std::string id;  // of an Input
  };

  static int64_t* CountOf(const FieldDescriptor* field, const std::string& path, Counts* counts) {
    for (Count& known : counts->fields) {
      if (known.field == field && known.path == path) return &known.count;
    }
    counts->fields.push_back({field, 0, path});
    return &counts->fields.back().count;
  }

  static absl::Status JudgeOnce(const Count& count, const Counts& counts,
                                const std::string& element) {
    const auto path_of = [&](const std::string& name) {
      return absl::StrCat(element, element.empty() ? "" : ".", count.path, name);
    };
    // Occurrences of a message are merged, so that nothing of it is lost.
    if (count.count > 1 && count.field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      return InvalidField(path_of(count.field->name()),
                          absl::StrCat("is given ", count.count, " times; allowed: once"));
    }
    const google::protobuf::OneofDescriptor* choice = count.field->real_containing_oneof();
    for (const Count& other : counts.fields) {
      if (choice == nullptr || other.path != count.path || other.field == count.field ||
          other.field->real_containing_oneof() != choice)
        continue;
      // The path of the message that has both.
      std::string path = path_of("");
      if (!path.empty() && path.back() == '.') path.pop_back();
      return InvalidField(path.empty() ? choice->name() : path,
                          absl::StrCat("has ", count.field->name(), " and ", other.field->name(),
                                       "; allowed: one of them"));
    }
    return absl::OkStatus();
  }

  absl::Status Judge(const Counts& counts, const std::string& element) const {
    for (const Count& count : counts.fields) {
      if (!count.field->is_repeated()) {
        absl::Status status = JudgeOnce(count, counts, element);
        if (!status.ok()) return status;
        continue;
      }
      const auto limit = std::find_if(limits_.begin(), limits_.end(), [&](const WireLimit& row) {
        return row.field == count.field->full_name();
      });
      const std::string field =
          absl::StrCat(element, element.empty() ? "" : ".", count.path, count.field->name());
      if (limit == limits_.end()) {
        return InvalidField(
            field, absl::StrCat("has ", count.count, " entries and no limit; allowed: none"));
      }
      if (count.count <= limit->max) continue;
      absl::Status status = InvalidField(
          field, absl::StrCat(
                     std::string(limit->verb), " ", count.count, std::string(limit->noun),
                     "; allowed: ", limit->min > 0 ? absl::StrCat(limit->min, " to ") : "at most ",
                     limit->max));
      return limit->reason.empty() ? status : WithReason(std::move(status), limit->reason);
    }
    return absl::OkStatus();
  }

  // False where the walk must end: the bytes are malformed, or failure_ says what is wrong.
  bool Message(const Descriptor& type, const std::string& path, Counts* counts) {
    while (const uint32_t tag = in_->ReadTag()) {
      const FieldDescriptor* field = type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
      const bool good = field != nullptr ? Known(*field, tag, path, counts) : Unknown(tag);
      if (!good || !failure_.ok()) return false;
    }
    return in_->ConsumedEntireMessage();
  }

  bool Unknown(uint32_t tag) {
    if (++unknown_ > kMaxUnknownFields) {
      failure_ = absl::InvalidArgumentError(absl::StrCat(
          "the request has more than ", kMaxUnknownFields,
          " fields that this server does not know; allowed: at most ", kMaxUnknownFields));
      return false;
    }
    return WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_START_GROUP
               ? Group()
               : WireFormatLite::SkipField(in_, tag);
  }

  // A group of older protobuf. The parser keeps each of its fields, so each is counted.
  bool Group() {
    if (++groups_ > kMaxDepth) {
      failure_ = absl::InvalidArgumentError(absl::StrCat(
          "the request nests groups; allowed: at most ", kMaxDepth, " inside one another"));
      return false;
    }
    while (const uint32_t tag = in_->ReadTag()) {
      if (WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_END_GROUP) {
        --groups_;
        return true;
      }
      if (!Unknown(tag)) return false;
    }
    return false;
  }

  bool Known(const FieldDescriptor& field, uint32_t tag, const std::string& path, Counts* counts) {
    const auto wire_type = WireFormatLite::GetTagWireType(tag);
    const auto own =
        WireFormatLite::WireTypeForFieldType(static_cast<WireFormatLite::FieldType>(field.type()));
    if (wire_type == own) {
      int64_t index = 0;
      if (field.is_repeated() || IsGivenOnce(field)) index = (*CountOf(&field, path, counts))++;
      if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
        return field.full_name() == kInputId ? Id(&counts->id)
                                             : WireFormatLite::SkipField(in_, tag);
      }
      return Submessage(field, index, path, counts);
    }
    if (wire_type == WireFormatLite::WIRETYPE_LENGTH_DELIMITED && IsPackable(field))
      return Packed(own, CountOf(&field, path, counts));
    return Unknown(tag);  // the parser keeps a field of the wrong type as an unknown one
  }

  // The beginning of an id, for errors.
  bool Id(std::string* id) {
    int length = 0;
    if (!in_->ReadVarintSizeAsInt(&length)) return false;
    const int read = std::min<int>(length, kMaxIdBytes);
    return in_->ReadString(id, read) && in_->Skip(length - read);
  }

  bool Packed(WireFormatLite::WireType own, int64_t* count) {
    int length = 0;
    if (!in_->ReadVarintSizeAsInt(&length)) return false;
    if (own == WireFormatLite::WIRETYPE_VARINT) return CountVarints(in_, length, count);
    *count += length / (own == WireFormatLite::WIRETYPE_FIXED64 ? 8 : 4);
    return in_->Skip(length);
  }

  bool Submessage(const FieldDescriptor& field, int64_t index, const std::string& path,
                  Counts* counts) {
    int length = 0;
    if (!in_->ReadVarintSizeAsInt(&length)) return false;
    ++messages_;
    // An empty message has nothing to count, and the millions of them come here.
    if (length == 0) return true;
    const auto limit = in_->PushLimit(length);
    bool good = true;
    if (field.is_repeated()) {
      Counts own;
      good = Message(*field.message_type(), "", &own);
      if (good && !own.fields.empty()) {
        const std::string element = absl::StrCat(path, field.name(), "[", index, "]");
        failure_ = Judge(own, element);
        if (!own.id.empty()) failure_ = WithInput(failure_, element, own.id);
      }
    } else {
      good = Message(*field.message_type(), absl::StrCat(path, field.name(), "."), counts);
    }
    good = good && in_->BytesUntilLimit() == 0;  // they may end before the length that was told
    in_->PopLimit(limit);
    return good && failure_.ok();
  }

  CodedInputStream* const in_;
  const WireLimits& limits_;
  absl::Status failure_;
  int64_t unknown_ = 0;
  int64_t messages_ = 0;
  int groups_ = 0;  // open now
};

}  // namespace

WireLimits LimitsOfRequests(const DecodingContext& context) {
  constexpr int64_t kBytesPerId = sizeof(int32_t);
  const int64_t max_ids = context.max_text_bytes / kBytesPerId;
  const int64_t max_texts = context.max_texts_per_request;
  // Of spans and positions together, which the decoder counts once more.
  const int64_t max_globals =
      context.max_global_spans > 0 ? context.max_global_spans : int64_t{kMaxSpansPerText};
  const std::string_view texts = kReasonMaxTextsPerRequest;
  const std::string_view globals = kReasonMaxGlobalSpansPerText;
  return {
      {"longspan.v1.EncodeRequest.inputs", max_texts, "has", " texts", 1, texts},
      {"longspan.v1.SearchRequest.documents", max_texts, "has", " texts", 1, texts},
      {"longspan.v1.PutDocumentsRequest.documents", max_texts, "has", " texts", 1, texts},
      {"longspan.v1.DeleteDocumentsRequest.ids", kMaxDeletedIds, "are", "", 1, {}},
      {"longspan.v1.TokenizeRequest.texts", max_texts, "has", " texts", 1, texts},
      {"longspan.v1.TokenIds.ids", max_ids, "has", " ids", 0, kReasonMaxTextBytes},
      {"longspan.v1.Input.spans", context.max_spans, "are", "", 0, kReasonMaxSpansPerText},
      {"longspan.v1.Input.global_attention_spans", max_globals, "are", "", 0, globals},
      {"longspan.v1.Input.global_token_positions", max_globals, "are", "", 0, globals},
      {"longspan.v1.LexicalOptions.stop_words", kMaxStopWords, "are", "", 0, {}},
      {"tei.v1.DecodeRequest.ids", max_ids, "has", " ids", 1, kReasonMaxTextBytes},
      {"tei.v1.PredictPairRequest.inputs", max_texts, "has", " texts", 1, texts},
      {"tei.v1.RerankRequest.texts", max_texts, "has", " texts", 1, texts},
  };
}

absl::Status CheckWireLimits(const grpc::ByteBuffer& bytes, const Descriptor& type,
                             const WireLimits& limits) {
  grpc::ByteBuffer copy(bytes);  // shares the slices
  grpc::ProtoBufferReader reader(&copy);
  if (!reader.status().ok()) return absl::OkStatus();
  CodedInputStream in(&reader);
  return Walk(&in, limits).Run(type);
}

}  // namespace longspan
