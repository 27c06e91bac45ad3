#include "server/rest/longspan_routes.h"

#include <longspan/v1/encoder.pb.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/error_details.h"
#include "nlohmann/json.hpp"
#include "server/rest/batch_call.h"
#include "server/rest/encoding_json.h"
#include "server/rest/ignored_fields.h"
#include "server/rest/json_message.h"
#include "server/rest/json_work.h"
#include "server/rest/json_writer.h"
#include "server/rest/route_options.h"
#include "server/wire/enums.h"
#include "server/wire/model_info_encoder.h"
#include "server/wire/request_decoder.h"
#include "server/wire/response_encoder.h"
#include "server/wire/status.h"

namespace longspan {
namespace {

using Work = std::vector<std::shared_ptr<ItemWork>>;

constexpr char kJson[] = "application/json";
constexpr char kLines[] = "application/x-ndjson";
// Bytes of numbers in one line of token vectors; a MiB with the rest.
constexpr int64_t kMaxLineBytes = (1 << 20) - (16 << 10);
constexpr int64_t kCharactersPerValue = 16;

absl::Status AsItIs(const absl::Status& status) { return status; }

class LongspanRequest : public BatchRequest {
 public:
  HttpResponse Refusal(const absl::Status& status) const override {
    return LongspanRefusal(status);
  }

 protected:
  absl::Status ReadBody(const ServiceParts& parts, const std::string& body,
                        google::protobuf::Message* message) {
    ignored_ = IgnoredFields(parts.options->strict_json);
    auto json = ReadJson(body);
    return json.ok() ? ReadMessage(*std::move(json), message, &ignored_) : json.status();
  }
  HttpResponse Answer(std::string body, const char* content_type) const {
    HttpResponse response{.content_type = content_type, .body = std::move(body)};
    ignored_.AddHeader(&response);
    return response;
  }

 private:
  IgnoredFields ignored_;
};

class EncodeRequest final : public LongspanRequest {
 public:
  absl::StatusOr<Work> Read(const ServiceParts& parts, std::string body) override {
    v1::EncodeRequest request;
    if (absl::Status status = ReadBody(parts, body, &request); !status.ok()) return status;
    body = {};
    auto decoded = DecodeEncodeRequest(&request, parts.decoding());
    if (!decoded.ok()) return decoded.status();
    Work work;
    for (size_t i = 0; i < decoded->inputs.size(); ++i) {
      const std::string& id = request.inputs(static_cast<int>(i)).id();
      work.push_back(std::make_shared<JsonTextWork>(
          std::move(decoded->inputs[i]), decoded->format,
          [id, path = absl::StrCat("inputs[", i, "]")](const absl::Status& status) {
            return WithInput(status, path, id);
          },
          [id, format = decoded->format](const EncodedDocument& document, const StageTimings&,
                                         std::string* out) {
            AppendEncodingJson(document, id, format, out);
          }));
    }
    return work;
  }

  HttpResponse Join(const std::vector<grpc::ByteBuffer>& pieces,
                    const BatchTotals& totals) override {
    std::string body = R"({"encodings":[)";
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (i > 0) body.push_back(',');
      AppendBuffer(pieces[i], &body);
    }
    body.append(R"(],"timings":)");
    AppendTimingsJson(totals.timings, &body);
    body.append("}\n");
    return Answer(std::move(body), kJson);
  }
};

// The vectors of one text's tokens, in one message or in lines.
class TokensWork final : public JsonTokensWork {
 public:
  TokensWork(EncodeInput input, VectorFormat format, bool in_lines)
      : JsonTokensWork(std::move(input), &AsItIs), format_(format), in_lines_(in_lines) {}

 private:
  // What one message tells of its rows.
  struct Rows {
    int64_t count = 0;
    std::vector<TextRange> ranges;         // the tokens whose rows these are
    std::vector<uint32_t> tokens_per_row;  // where they are pooled
    std::string values;                    // of FLOAT32: numbers with commas between them
    std::string packed;                    // of the other formats
    std::vector<float> scales;             // of INT8
  };

  void Write(std::string* out) override {
    const int64_t most =
        std::max<int64_t>(1, kMaxLineBytes / (kCharactersPerValue * std::max<int64_t>(1, width())));
    Rows rows;
    while (auto block = NextRows()) {
      const float* values = block->values.data();
      const std::vector<TokenRange> ranges = block->TokenRanges();
      std::span<const TokenRange> left = ranges;
      int64_t token = 0;
      for (int64_t row = 0; row < block->num_rows; ++row, values += width()) {
        if (in_lines_ && rows.count == most) AppendMessage(std::exchange(rows, {}), false, out);
        AddRow({values, static_cast<size_t>(width())}, &rows);
        if (!block->tokens_per_row.empty()) rows.tokens_per_row.push_back(block->TokensOfRow(row));
        for (uint32_t i = 0; i < block->TokensOfRow(row); ++i) {
          token = std::max(token, left.front().begin);
          AddToken(token++, &rows);
          if (token == left.front().end) left = left.subspan(1);
        }
      }
    }
    AppendMessage(std::move(rows), true, out);
  }

  static void AddToken(int64_t token, Rows* rows) {
    if (rows->ranges.empty() || rows->ranges.back().end != token)
      rows->ranges.push_back({token, token});
    rows->ranges.back().end = token + 1;
  }

  void AddRow(std::span<const float> values, Rows* rows) const {
    ++rows->count;
    if (format_ != VectorFormat::kFloat32) {
      float scale = 0;
      AppendPacked(values, format_, &rows->packed, &scale);
      if (format_ == VectorFormat::kInt8) rows->scales.push_back(scale);
      return;
    }
    for (const float value : values) {
      if (!rows->values.empty()) rows->values.push_back(',');
      AppendJsonFloat(value, &rows->values);
    }
  }

  void AppendMessage(Rows rows, bool last, std::string* out) const {
    const int64_t first = rows.ranges.empty() ? 0 : rows.ranges.front().begin;
    absl::StrAppend(out, R"({"firstToken":")", first, R"(","tokenCount":")", rows.count,
                    R"(","dimensions":)", width(), R"(,"format":")",
                    v1::VectorFormat_Name(WireFormat(format_)), "\",");
    if (format_ == VectorFormat::kFloat32) {
      absl::StrAppend(out, R"("values":[)", rows.values, "]");
    } else {
      out->append(R"("data":)");
      AppendJsonBase64(rows.packed, out);
    }
    if (format_ == VectorFormat::kInt8) {
      out->append(R"(,"scales":)");
      AppendJsonFloats(rows.scales, out);
    }
    const bool pooled = !rows.tokens_per_row.empty();
    if (pooled || rows.ranges.size() > 1) {
      out->append(R"(,"tokenRanges":)");
      AppendRangesJson(rows.ranges, out);
    }
    if (pooled) {
      absl::StrAppend(out, R"(,"tokensPerVector":[)", absl::StrJoin(rows.tokens_per_row, ","), "]");
    }
    if (last) AppendEnd(out);
    out->append("}\n");
  }

  void AppendEnd(std::string* out) const {
    out->append(R"(,"timings":)");
    AppendTimingsJson(timings_, out);
    absl::StrAppend(out, R"(,"tokensTotal":")", document_.tokens_total, R"(","tokensUsed":")",
                    document_.tokens_used, R"(","truncated":)",
                    document_.truncated ? "true" : "false", R"(,"usedText":)");
    AppendRangesJson(document_.used_text, out);
  }

  const VectorFormat format_;
  const bool in_lines_;
};

class EncodeTokensRequest final : public LongspanRequest {
 public:
  explicit EncodeTokensRequest(bool in_lines) : in_lines_(in_lines) {}

  absl::StatusOr<Work> Read(const ServiceParts& parts, std::string body) override {
    v1::EncodeTokensRequest request;
    if (absl::Status status = ReadBody(parts, body, &request); !status.ok()) return status;
    auto input = DecodeTokensInput(&request, parts.decoding());
    if (!input.ok()) return input.status();
    const VectorFormat format = DecodeVectorFormat(request.options().vector_format()).value();
    return Work{std::make_shared<TokensWork>(*std::move(input), format, in_lines_)};
  }

  HttpResponse Join(const std::vector<grpc::ByteBuffer>& pieces,
                    const BatchTotals& /*totals*/) override {
    std::string body;
    AppendBuffer(pieces.front(), &body);
    return Answer(std::move(body), in_lines_ ? kLines : kJson);
  }

 private:
  const bool in_lines_;
};

}  // namespace

HttpResponse LongspanRefusal(const absl::Status& status) {
  const google::rpc::Status wire = ToRpcStatus(status);
  const int code = ToHttpCode(status);
  nlohmann::ordered_json error = {
      {"code", code}, {"status", CodeName(status.code())}, {"message", wire.message()}};
  const auto whole =
      nlohmann::ordered_json::parse(WriteMessage(wire, /*all_fields=*/false), nullptr,
                                    /*allow_exceptions=*/false);
  if (whole.is_object() && whole.contains("details")) error["details"] = whole["details"];
  const nlohmann::ordered_json body = {{"error", std::move(error)}};
  return {.code = code, .content_type = kJson, .body = body.dump() + "\n"};
}

void AddLongspanRoutes(const ServiceParts* parts, HttpServer* http) {
  http->AddAsyncRoute(
      "POST", "/encode", ApiRoute(*parts), [parts](std::shared_ptr<HttpExchange> exchange) {
        HttpCall::Start(std::make_shared<BatchCall>(
            RpcMethod::kHttpEncode, std::make_unique<EncodeRequest>(), std::move(exchange), parts));
      });
  http->AddAsyncRoute(
      "POST", "/encode_tokens", ApiRoute(*parts), [parts](std::shared_ptr<HttpExchange> exchange) {
        const bool in_lines =
            exchange->request().Header("accept").find(kLines) != std::string_view::npos;
        HttpCall::Start(std::make_shared<BatchCall>(RpcMethod::kHttpEncodeTokens,
                                                    std::make_unique<EncodeTokensRequest>(in_lines),
                                                    std::move(exchange), parts));
      });
  http->AddRoute(
      "GET", "/model",
      [parts](const HttpRequest&) {
        v1::GetModelInfoResponse info;
        FillModelInfo(*parts->model, parts->tokenizer != nullptr, *parts->options, &info);
        return HttpResponse{.content_type = kJson, .body = WriteMessage(info, true) + "\n"};
      },
      ApiRoute(*parts));
}

}  // namespace longspan
