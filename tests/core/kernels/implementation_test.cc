// The lists from which kernels choose their code: which entries a processor gets, and what the
// lists of this build hold on this processor. The last test prints them, so that the output of a
// test run shows what was tested.
#include "core/kernels/implementation.h"

#include <gmock/gmock.h>

#include <iostream>
#include <string>
#include <vector>

#include "core/kernels/layer_norm.h"
#include "core/kernels/local_chunk_attention.h"
#include "core/kernels/lsh_hash.h"
#include "core/kernels/packed_gemm.h"
#include "core/kernels/quantize.h"
#include "core/kernels/rope.h"
#include "core/kernels/row_attention.h"

namespace longspan::kernels {
namespace {

using testing::ElementsAre;

template <class Function>
std::vector<std::string> Names(const std::vector<Implementation<Function>>& list) {
  std::vector<std::string> names;
  for (const auto& one : list) names.emplace_back(one.name);
  return names;
}

TEST(Supported, KeepsWhatTheProcessorHas_InOrder) {
  const std::vector<Implementation<void()>> all = {{"avx512_bf16", &CpuFeatures::avx512_bf16, {}},
                                                   {"avx512", &CpuFeatures::avx512, {}},
                                                   {"avx2", &CpuFeatures::avx2, {}},
                                                   {"portable", nullptr, {}}};
  EXPECT_THAT(Names(Supported(all, {})), ElementsAre("portable"));
  EXPECT_THAT(Names(Supported(all, {.avx2 = true})), ElementsAre("avx2", "portable"));
  EXPECT_THAT(Names(Supported(all, {.avx2 = true, .avx512 = true})),
              ElementsAre("avx512", "avx2", "portable"));
  EXPECT_THAT(Names(Supported(all, {.avx2 = true, .avx512 = true, .avx512_bf16 = true})),
              ElementsAre("avx512_bf16", "avx512", "avx2", "portable"));
}

// Those of `names` that this processor supports.
std::vector<std::string> Here(std::vector<std::string> names) {
  const CpuFeatures& features = GetCpuFeatures();
  std::erase_if(names, [&](const std::string& name) {
    return (name.ends_with("bf16") && !features.avx512_bf16) ||
           (name.starts_with("avx512_vnni") && !features.avx512_vnni) ||
           (name == "avx512" && !features.avx512) || (name == "avx2" && !features.avx2);
  });
  return names;
}

TEST(Implementations, OfEveryKernel_AreThoseOfThisProcessor_PreferredFirst) {
  const auto float32 = ElementType::kFloat32, bfloat16 = ElementType::kBFloat16;
  struct List {
    const char* kernel;
    std::vector<std::string> names, want;
  };
  const List lists[] = {
      {"RowAttention of float32", Names(RowAttentionImplementations(float32)),
       Here({"avx512", "avx2", "portable"})},
      {"RowAttention of bfloat16", Names(RowAttentionImplementations(bfloat16)),
       GetCpuFeatures().slow_vdpbf16ps ? Here({"avx512", "avx512_bf16", "avx2", "portable"})
                                       : Here({"avx512_bf16", "avx512", "avx2", "portable"})},
      {"RowAttention of float32 with int8 scores", Names(Int8RowAttentionImplementations(float32)),
       Here({"avx512_vnni"})},
      {"RowAttention of bfloat16 with int8 scores",
       Names(Int8RowAttentionImplementations(bfloat16)),
       GetCpuFeatures().slow_vdpbf16ps ? Here({"avx512_vnni", "avx512_vnni_bf16"})
                                       : Here({"avx512_vnni_bf16", "avx512_vnni"})},
      {"ChunkAttention of float32", Names(ChunkAttentionImplementations(float32)),
       Here({"avx512", "avx2", "portable"})},
      {"ChunkAttention of bfloat16", Names(ChunkAttentionImplementations(bfloat16)),
       GetCpuFeatures().slow_vdpbf16ps ? Here({"avx512", "avx512_bf16", "avx2", "portable"})
                                       : Here({"avx512_bf16", "avx512", "avx2", "portable"})},
      {"LshHash", Names(LshHashImplementations()), Here({"avx512", "avx2", "portable"})},
      {"LayerNorm", Names(LayerNormImplementations()), Here({"avx512", "avx2", "portable"})},
      {"Rope", Names(RopeImplementations()), Here({"avx512", "avx2", "portable"})},
      {"QuantizeRows", Names(QuantizeImplementations()), Here({"avx512", "avx2", "portable"})},
      {"DequantizeRows", Names(DequantizeImplementations()), Here({"avx512", "portable"})},
      {"PackedGemm", Names(PackedGemmImplementations()), Here({"avx2"})},
      {"PackedInt8Gemm", Names(PackedInt8GemmImplementations()), Here({"avx2"})},
  };
  for (const List& list : lists) {
    EXPECT_EQ(list.names, list.want) << list.kernel;
    std::cout << list.kernel << ":";
    for (const std::string& name : list.names) std::cout << " " << name;
    std::cout << "\n";
  }
}

}  // namespace
}  // namespace longspan::kernels
