#include "client/info_text.h"

#include <google/protobuf/descriptor.h>

#include <cmath>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"

namespace longspan {
namespace {

// 8388608 as "8 MiB", 1000 as "1000": exact where a unit divides it.
std::string Bytes(uint64_t bytes) {
  const char* const units[] = {" bytes", " KiB", " MiB", " GiB", " TiB"};
  size_t unit = 0;
  for (; unit + 1 < std::size(units) && bytes > 0 && bytes % 1024 == 0; ++unit) bytes /= 1024;
  return absl::StrCat(bytes, units[unit]);
}

// How many layers have which attention: "6 x sliding_window (256 on each side)".
std::string Attention(const v1::GetModelInfoResponse& info) {
  std::vector<std::string> kinds;
  std::vector<int> counts;
  for (const v1::LayerAttention& layer : info.layers()) {
    std::string kind = layer.kind();
    if (layer.window() > 0) absl::StrAppend(&kind, " (", layer.window(), " on each side)");
    if (layer.chunk_length() > 0) absl::StrAppend(&kind, " (blocks of ", layer.chunk_length(), ")");
    size_t at = 0;
    while (at < kinds.size() && kinds[at] != kind) ++at;
    if (at == kinds.size()) kinds.push_back(kind), counts.push_back(0);
    ++counts[at];
  }
  std::string text;
  for (size_t i = 0; i < kinds.size(); ++i)
    absl::StrAppend(&text, i > 0 ? ", " : "", counts[i], " x ", kinds[i]);
  if (info.dense_up_to() > 0)
    absl::StrAppend(&text, "; full up to ", info.dense_up_to(), " tokens");
  return text;
}

std::string Pooling(const v1::GetModelInfoResponse& info) {
  return absl::StrCat(info.pooling_size() > 0 ? absl::StrJoin(info.pooling(), " + ") : "no",
                      " pooling", info.normalize() ? ", of length 1" : "");
}

// What a request may use beside the defaults.
std::string Options(const v1::GetModelInfoResponse& info) {
  std::vector<std::string> can;
  can.emplace_back(info.has_tokenizer() ? "texts and token ids" : "token ids only: no tokenizer");
  if (info.supports_global_attention()) can.emplace_back("global attention");
  if (info.supports_hashing())
    can.push_back(absl::StrCat("hashing (", info.num_hashes(), " rounds)"));
  std::string text = absl::StrJoin(can, ", ");
  if (info.prompt_names_size() > 0)
    absl::StrAppend(&text, "; prompts: ", absl::StrJoin(info.prompt_names(), ", "));
  if (!info.default_prompt_name().empty())
    absl::StrAppend(&text, " (default: ", info.default_prompt_name(), ")");
  return text;
}

// Of a model that has no vectors of texts.
std::string MultiVectorText(const v1::GetModelInfoResponse& info) {
  const v1::MultiVector& own = info.multi_vector();
  std::string text =
      absl::StrCat(info.token_dimensions(), " values of a token, none of a text ",
                   "(multi-vector: ask EncodeTokens)", info.normalize() ? ", of length 1" : "");
  if (own.has_expansion())
    absl::StrAppend(&text, "; queries are filled up to ", own.expansion().length(), " tokens");
  if (own.skipped_token_ids_size() > 0) {
    const bool both = own.skips_in_documents() && own.skips_in_queries();
    absl::StrAppend(&text, "; ", own.skipped_token_ids_size(), " tokens are left out of ",
                    both                       ? "queries and documents"
                    : own.skips_in_documents() ? "documents"
                                               : "queries");
  }
  return text;
}

// One limit with its unit, which its name tells.
std::string Limit(const v1::Limits& limits, const google::protobuf::FieldDescriptor& field) {
  using google::protobuf::FieldDescriptor;
  const google::protobuf::Reflection& values = *limits.GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE)
    return absl::FormatDuration(absl::Seconds(values.GetDouble(limits, &field)));
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_UINT64) return "";
  const uint64_t value = values.GetUInt64(limits, &field);
  if (value == 0) return "none";
  const std::string text =
      absl::EndsWith(field.name(), "_bytes") ? Bytes(value) : absl::StrCat(value);
  const bool told = field.name() == "max_tokens" && !limits.max_tokens_set_by().empty();
  return told ? absl::StrCat(text, " (set by: ", limits.max_tokens_set_by(), ")") : text;
}

}  // namespace

std::string InfoText(const v1::GetModelInfoResponse& info) {
  std::string out;
  const auto line = [&out](const char* name, const std::string& text) {
    absl::StrAppendFormat(&out, "%-10s %s\n", name, text);
  };
  line("model", info.model());
  line("kind", absl::StrFormat("%s, %s on %s, %.1f million weights (%.0f MiB)", info.architecture(),
                               info.dtype(), info.device(),
                               static_cast<double>(info.num_parameters()) * 1e-6,
                               std::ceil(static_cast<double>(info.weight_bytes()) / (1 << 20))));
  line("vectors", info.has_multi_vector()
                      ? MultiVectorText(info)
                      : absl::StrCat(info.dimensions(), " values of a text (", Pooling(info), "), ",
                                     info.token_dimensions(), " of a token"));
  line("attention", Attention(info));
  line("takes", Options(info));
  line("server", absl::StrCat("longspan-server ", info.server_version(), ", LibTorch ",
                              info.libtorch_version(), ", ", info.num_replicas(), " x ",
                              info.threads_per_replica(), " threads"));
  out += "limits\n";
  const google::protobuf::Descriptor& limits = *v1::Limits::descriptor();
  for (int i = 0; i < limits.field_count(); ++i) {
    const std::string value = Limit(info.limits(), *limits.field(i));
    if (!value.empty()) absl::StrAppendFormat(&out, "  %-28s %s\n", limits.field(i)->name(), value);
  }
  return out;
}

}  // namespace longspan
