// What the tests of collections have in common.
#pragma once

#include <gmock/gmock.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/collections/collections.h"
#include "tests/server/collections/kept_text_samples.h"
#include "tests/temporary_folder.h"

namespace longspan {

inline const CollectionSettings kSettings = {
    .format = TokenFormat::kInt8, .cell_tokens = kSampleCellTokens, .language = "english"};

inline std::vector<PutText> Texts(const std::map<std::string, int64_t>& numbers, int64_t rows = 6) {
  std::vector<PutText> texts;
  for (const auto& [id, number] : numbers) texts.push_back({id, PackedSample(number, rows)});
  return texts;
}

// Collections of the owner without a name, in memory or (with the parameter true) in a folder, with
// a clock that stands still until the test moves it.
class CollectionsTest : public testing::TestWithParam<bool> {
 protected:
  CollectionsTest() {
    options_ = {.directory = GetParam() ? folder_.path() + "/kept" : "",
                .max_bytes = int64_t{1} << 30,
                .model_fingerprint = "model 1",
                .width = kSampleWidth,
                .now = [this] { return absl::FromUnixSeconds(seconds_); }};
    Reopen();
  }
  // As a server does that starts anew.
  void Reopen() {
    collections_.reset();
    lines_.clear();
    auto opened = Collections::Open(options_, &lines_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    collections_ = *std::move(opened);
  }
  absl::StatusOr<PutCounts> Put(const std::string& name,
                                const std::map<std::string, int64_t>& numbers,
                                std::optional<absl::Time> expires = std::nullopt) {
    return collections_->Put("", name, kSettings, Texts(numbers), expires);
  }
  // The numbers of the texts by id, as a search finds them.
  std::map<std::string, int64_t> Kept(const std::string& name, const std::string& owner = "") {
    const auto found = collections_->Find(owner, name);
    if (!found.ok()) return {{std::string(found.status().message()), -1}};
    std::map<std::string, int64_t> kept;
    const Collection::Reading reading = (*found)->Read();
    for (uint32_t slot = 0; slot < reading.index().texts().size(); ++slot) {
      const std::optional<KeptText>& text = reading.index().texts()[slot];
      if (!text.has_value()) continue;
      EXPECT_TRUE(IsSample(*text, NumberOf(*text)));
      kept[std::string(reading.id_of(slot))] = NumberOf(*text);
    }
    EXPECT_EQ(reading.index().num_texts(), static_cast<int64_t>(kept.size()));
    return kept;
  }
  std::string PathOf(const std::string& name) const {
    return options_.directory + "/owner-/" + name + ".longspan";
  }

  using Numbers = std::map<std::string, int64_t>;
  const TemporaryFolder folder_;
  std::atomic<int64_t> seconds_ = 1000;
  CollectionsOptions options_;
  std::vector<std::string> lines_;
  std::unique_ptr<Collections> collections_;
};

}  // namespace longspan
