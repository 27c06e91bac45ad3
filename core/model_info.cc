#include "core/model_info.h"

namespace longspan {

std::string_view DataTypeName(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat32:
      return "float32";
    case DataType::kBFloat16:
      return "bfloat16";
    case DataType::kInt8:
      return "int8";
    case DataType::kFloat16:
      return "float16";
  }
  return "unknown";
}

std::string_view PoolingModeName(PoolingMode mode) {
  switch (mode) {
    case PoolingMode::kCls:
      return "cls";
    case PoolingMode::kMax:
      return "max";
    case PoolingMode::kMean:
      return "mean";
    case PoolingMode::kMeanSqrtLen:
      return "mean_sqrt_len_tokens";
    case PoolingMode::kWeightedMean:
      return "weightedmean";
    case PoolingMode::kLastToken:
      return "lasttoken";
  }
  return "unknown";
}

std::string_view TextRoleName(TextRole role) {
  return role == TextRole::kQuery ? "query" : "document";
}

bool PoolsOneToken(PoolingMode mode) {
  return mode == PoolingMode::kCls || mode == PoolingMode::kLastToken;
}

std::string_view AttentionKindName(AttentionKind kind) {
  switch (kind) {
    case AttentionKind::kDense:
      return "dense";
    case AttentionKind::kSlidingWindow:
      return "sliding_window";
    case AttentionKind::kBlockSparse:
      return "block_sparse";
    case AttentionKind::kLsh:
      return "lsh";
    case AttentionKind::kLocalChunk:
      return "local_chunk";
  }
  return "unknown";
}

}  // namespace longspan
