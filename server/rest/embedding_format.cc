#include "server/rest/embedding_format.h"

#include <bit>

#include "absl/strings/str_cat.h"
#include "server/rest/json_writer.h"

namespace longspan {
namespace {

// Each byte as a number, less `bias`.
void AppendBytes(std::string_view bytes, bool is_signed, int bias, std::string* out) {
  out->push_back('[');
  for (size_t i = 0; i < bytes.size(); ++i) {
    const int value =
        is_signed ? static_cast<signed char>(bytes[i]) : static_cast<unsigned char>(bytes[i]);
    absl::StrAppend(out, i > 0 ? "," : "", value - bias);
  }
  out->push_back(']');
}

bool HasScale(Embedding embedding) {
  return embedding == Embedding::kInt8 || embedding == Embedding::kUint8;
}

}  // namespace

Embedding EmbeddingOf(std::string_view name) {
  if (name == "base64") return Embedding::kBase64;
  if (name == "int8") return Embedding::kInt8;
  if (name == "uint8") return Embedding::kUint8;
  if (name == "binary") return Embedding::kBinary;
  if (name == "ubinary") return Embedding::kUbinary;
  return Embedding::kFloats;
}

VectorFormat AnswerFormatOf(Embedding embedding) {
  if (HasScale(embedding)) return VectorFormat::kInt8;
  return embedding == Embedding::kBinary || embedding == Embedding::kUbinary
             ? VectorFormat::kBinary
             : VectorFormat::kFloat32;
}

void AppendEmbedding(std::span<const float> values, Embedding embedding, std::string* out) {
  static_assert(std::endian::native == std::endian::little);
  std::string packed;
  float scale = 0;
  AppendPacked(values, AnswerFormatOf(embedding), &packed, &scale);
  switch (embedding) {
    case Embedding::kFloats:
      return AppendJsonFloats(values, out);
    case Embedding::kBase64:
      return AppendJsonBase64({reinterpret_cast<const char*>(values.data()), values.size_bytes()},
                              out);
    case Embedding::kInt8:
      return AppendBytes(packed, /*is_signed=*/true, 0, out);
    case Embedding::kUint8:
      return AppendBytes(packed, /*is_signed=*/true, -128, out);
    case Embedding::kBinary:
      return AppendBytes(packed, /*is_signed=*/false, 128, out);
    case Embedding::kUbinary:
      return AppendBytes(packed, /*is_signed=*/false, 0, out);
  }
}

void AppendScale(std::span<const float> values, Embedding embedding, std::string* out) {
  if (!HasScale(embedding)) return;
  std::string packed;
  float scale = 0;
  AppendPacked(values, VectorFormat::kInt8, &packed, &scale);
  out->append(",\"scale\":");
  AppendJsonFloat(scale, out);
}

}  // namespace longspan
