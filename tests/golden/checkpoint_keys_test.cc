// config.json files with unusual keys, which people have: what each key does is compared with what
// transformers made of the same file (tests/parity/record_keys.py wrote the cases), or the folder
// is refused with words that name the key.
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "core/encoder.h"
#include "gmock/gmock.h"
#include "tests/golden/formula_checkpoint.h"

namespace longspan {
namespace {

using nlohmann::json;

const json& Recorded() {
  static const json recorded =
      json::parse(std::ifstream(std::string(LONGSPAN_FIXTURES) + "/checkpoint_keys/cases.json"));
  return recorded;
}

// The folder of the case: its config.json, byte by byte, and weights from the formula.
class CaseFolder {
 public:
  explicit CaseFolder(const json& test_case)
      : checkpoint_(Recorded().at("scale"),
                    {"norm.weight", "Norm.weight", "layernorm_embedding.weight"}) {
    for (const auto& [name, shape] : Recorded().at("weights").at(test_case.at("family")).items())
      checkpoint_.Add(name, shape.get<std::vector<int64_t>>());
    checkpoint_.Write({});
    checkpoint_.folder().WriteText("config.json", test_case.at("config"));
  }
  const std::string& path() const { return checkpoint_.folder().path(); }

 private:
  FormulaCheckpoint checkpoint_;
};

// The vectors of all tokens of the recorded texts, which are encoded as one batch: [texts][tokens].
std::vector<std::vector<std::vector<float>>> TokenVectors(const Encoder& encoder) {
  const auto texts = Recorded().at("texts").get<std::vector<std::vector<int32_t>>>();
  std::vector<std::vector<std::vector<float>>> vectors(texts.size());
  std::vector<EncodeOptions> options(texts.size());
  TokenBatch batch;
  const int64_t width = encoder.info().token_dimensions;
  for (size_t i = 0; i < texts.size(); ++i) {
    options[i].document_vector = false;
    options[i].token_sink = [&out = vectors[i], width](int64_t, int64_t count, const float* rows) {
      for (int64_t t = 0; t < count; ++t)
        out.emplace_back(rows + t * width, rows + (t + 1) * width);
    };
    batch.Add({.token_ids = texts[i]});
  }
  for (const auto& result : encoder.Encode(batch, options))
    EXPECT_TRUE(result.ok()) << result.status();
  return vectors;
}

class CheckpointKeysTest : public testing::TestWithParam<size_t> {
 protected:
  const json& Case() const { return Recorded().at("cases")[GetParam()]; }
};

TEST_P(CheckpointKeysTest, GivesTheVectorsOfThePublishedLibraryOrNamesTheKey) {
  SCOPED_TRACE(Case().at("name").get<std::string>() + "\n" +
               Case().at("config").get<std::string>());
  const CaseFolder folder(Case());
  const auto encoder = Encoder::Load(folder.path());
  if (Case().contains("refused")) {
    ASSERT_FALSE(encoder.ok()) << "was served";
    const std::string message(encoder.status().message());
    EXPECT_THAT(message, testing::HasSubstr("/config.json: "));
    EXPECT_EQ(message.find('\n'), std::string::npos) << "one line";
    for (const std::string word : Case().at("refused"))
      EXPECT_THAT(message, testing::HasSubstr(word));
    return;
  }
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  const auto got = TokenVectors(**encoder);
  const float bound = Case().at("family") == "reformer" ? 1e-4F : 2e-5F;
  for (size_t text = 0; text < got.size(); ++text) {
    const size_t tokens = got[text].size();
    const std::vector<size_t> kept = {0, tokens / 2, tokens - 1};
    for (size_t i = 0; i < kept.size(); ++i) {
      const auto want = Case().at("expected")[text][i].get<std::vector<float>>();
      ASSERT_EQ(got[text][kept[i]].size(), want.size());
      for (size_t k = 0; k < want.size(); ++k) {
        EXPECT_NEAR(got[text][kept[i]][k], want[k], bound)
            << "text " << text << ", token " << kept[i] << ", value " << k;
      }
    }
  }
}

std::string CaseName(const testing::TestParamInfo<size_t>& info) {
  std::string name = Recorded().at("cases")[info.param].at("name");
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Recorded, CheckpointKeysTest,
                         testing::Range<size_t>(0, Recorded().at("cases").size()), CaseName);

}  // namespace
}  // namespace longspan
