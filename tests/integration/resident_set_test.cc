// Memory of a real server with the embedded model: what it holds after loading, and that it gives
// back what a long text took.
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "client/client.h"
#include "tests/integration/server_process.h"

namespace longspan {
namespace {

constexpr absl::Duration kLong = absl::Minutes(8);
constexpr int kLongText = 65536;  // tokens

v1::EncodeRequest TextOfTokens(int num_tokens) {
  v1::EncodeRequest request;
  auto* ids = request.add_inputs()->mutable_token_ids()->mutable_ids();
  constexpr uint32_t kCls = 101;
  constexpr uint32_t kSep = 102;
  ids->Add(kCls);
  for (int i = 2; i < num_tokens; ++i) ids->Add(static_cast<uint32_t>(2000 + i % 7919));
  ids->Add(kSep);
  return request;
}

int64_t MiB(int64_t bytes) { return bytes >> 20; }

TEST(MemoryTest, ResidentSetIsBoundedByTheWeights_AndReturnsAfterALongText) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer keeps more than the bound that is tested";
#endif
  ServerProcess process({"--model", LONGSPAN_EMBEDDED_MODEL, "--drain-delay", "0"});
  const int port = process.Port();
  ASSERT_GT(port, 0);
  const auto client =
      *Client::Connect({.server = absl::StrCat("127.0.0.1:", port), .retry = false});
  const auto info = client->GetModelInfo(kLong);
  ASSERT_TRUE(info.ok()) << info.status();
  const auto weights = static_cast<int64_t>(info->weight_bytes());
  ASSERT_GT(weights, 50 << 20);
  const int64_t loaded = process.ResidentBytes();
  EXPECT_LE(loaded, weights + weights * 3 / 10 + (200 << 20))
      << MiB(loaded) << " MiB with weights of " << MiB(weights);

  const auto answer = client->Encode(TextOfTokens(kLongText), kLong);
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_EQ(answer->encodings(0).tokens_used(), kLongText);
  // Memory goes back once the server has been idle for a while. The test does not ask how long.
  int64_t resident = process.ResidentBytes();
  for (int i = 0; i < 600 && resident > loaded + loaded / 10; ++i) {
    absl::SleepFor(absl::Milliseconds(100));
    resident = process.ResidentBytes();
  }
  EXPECT_LE(resident, loaded + loaded / 10)
      << MiB(resident) << " MiB, after loading it was " << MiB(loaded);
  RecordProperty("loaded_mib", static_cast<int>(MiB(loaded)));
  RecordProperty("returned_mib", static_cast<int>(MiB(resident)));
  process.Signal(SIGTERM);
  EXPECT_EQ(process.Wait(), 0);
}

}  // namespace
}  // namespace longspan
