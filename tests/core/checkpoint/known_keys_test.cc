// The table of keys: what CheckKeys refuses and warns of, that readers keep to it, that every file
// which transformers writes for a fixture is known, and that the documents show it.
#include "core/checkpoint/known_keys.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "core/checkpoint/config_keys.h"
#include "core/checkpoint/json_reader.h"
#include "gmock/gmock.h"

namespace longspan {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr KnownKey kRows[] = {
    {"size", KeyRule::kHonoured, "a b", "", "Says how large."},
    {"size", KeyRule::kRefused, "c", "1 \"one\"", "Cannot be served."},
    {"note", KeyRule::kHarmless, "", "", "Says nothing."},
    {"inner.*.depth", KeyRule::kHonoured, "a", "", "Says how deep."},
};
constexpr KeyTable kTable = {"test.json", kRows};

struct Outcome {
  absl::Status status;
  std::vector<std::string> warnings;
};

Outcome Check(const std::string& family, const json& object) {
  Outcome outcome;
  outcome.status = CheckKeys(kTable, family, object, "/m/test.json", &outcome.warnings);
  return outcome;
}

TEST(CheckKeys, PassesWhatTheTableNames) {
  const Outcome outcome =
      Check("a", {{"size", 3}, {"note", {{"x", 1}}}, {"inner", {{"k", {{"depth", 2}}}}}});
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.warnings, IsEmpty());
}

TEST(CheckKeys, WarnsOnceOfEachUnknownKey_WithFileAndKey) {
  const Outcome outcome = Check(
      "a", {{"colour", 3}, {"shape", nullptr}, {"inner", {{"k", {{"depth", 2}, {"width", 1}}}}}});
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.warnings,
              ElementsAre(HasSubstr("/m/test.json: \"colour\" is not a key that is known"),
                          HasSubstr("\"inner.k.width\""), HasSubstr("\"shape\"")));
}

// A name with a dot is no path into an object, and many unknown keys do not fill the log.
TEST(CheckKeys, TakesNamesOfStrangersForWhatTheyAre) {
  EXPECT_THAT(Check("a", {{"inner.k.depth", 2}}).warnings, ElementsAre(HasSubstr("inner.k.depth")));
  json many;
  for (int i = 0; i < 1000; ++i) many["key" + std::to_string(i)] = i;
  const Outcome outcome = Check("a", many);
  EXPECT_TRUE(outcome.status.ok());
  ASSERT_EQ(outcome.warnings.size(), 21u);
  EXPECT_THAT(outcome.warnings.back(), HasSubstr("980 more keys"));
}

TEST(CheckKeys, RefusesARefusedKey_UnlessItsValueIsServed) {
  const absl::Status status = Check("c", {{"size", 2}}).status;
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(status.message()),
            "/m/test.json: \"size\" is 2; allowed: 1, \"one\", null (Cannot be served.)");
  for (const json& served : {json(1), json(1.0), json("one"), json(nullptr)})
    EXPECT_TRUE(Check("c", {{"size", served}}).status.ok()) << served;
}

TEST(CheckKeys, RefusesAnUnknownKeyWhoseNameSaysThatItChangesVectors) {
  const absl::Status status = Check("a", {{"ROPE_style", "x"}}).status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("\"ROPE_style\" is \"x\""), HasSubstr("allowed: null")));
  for (const json& off : {json(nullptr), json(false), json::object(), json::array()})
    EXPECT_TRUE(Check("a", {{"rope_style", off}}).status.ok()) << off;
}

TEST(JsonReader, ReadsOnlyWhatTheTableCallsHonoured) {
  const json object = {{"size", 3}, {"note", 1}, {"inner", {{"k", {{"depth", 2}}}}}};
  const auto reader = [&] {
    return JsonReader(object, "f", JsonReader::Wording::kAllowed, {&kTable, "a"});
  };
  JsonReader good = reader();
  EXPECT_EQ(good.Integer("size", {}), 3);
  JsonReader inner = good.Object("inner");
  JsonReader kind = inner.Object("k");
  EXPECT_EQ(kind.Integer("depth", {}), 2);
  inner.Merge(kind);
  good.Merge(inner);
  EXPECT_TRUE(good.status().ok()) << good.status();
  for (const char* key : {"note", "colour"}) {
    JsonReader bad = reader();
    EXPECT_FALSE(bad.Boolean(key, false));
    EXPECT_EQ(bad.status().code(), absl::StatusCode::kInternal) << key;
    JsonReader asked = reader();
    (void)asked.Has(key);
    EXPECT_EQ(asked.status().code(), absl::StatusCode::kInternal) << key;
  }
  JsonReader other(object, "f", JsonReader::Wording::kAllowed, {&kTable, "c"});
  (void)other.Integer("size", {});
  EXPECT_EQ(other.status().code(), absl::StatusCode::kInternal) << "refused for this family";
}

std::vector<std::string> Families(const KnownKey& row) {
  std::istringstream words{std::string(row.families)};
  return {std::istream_iterator<std::string>(words), {}};
}

// Rows for every family may stand behind those for some of them; but no family has two of its own.
TEST(KeyTables, HoldEachKeyOnceAFamily) {
  for (const KeyTable* table : KeyTables()) {
    for (size_t i = 0; i < table->keys.size(); ++i) {
      const KnownKey& row = table->keys[i];
      EXPECT_FALSE(row.why.empty()) << row.key;
      EXPECT_EQ(row.why.find('|'), std::string_view::npos) << row.key;
      EXPECT_EQ(row.allowed.empty() || row.rule == KeyRule::kRefused, true) << row.key;
      for (size_t j = 0; j < i; ++j) {
        if (table->keys[j].key != row.key) continue;
        EXPECT_FALSE(table->keys[j].families.empty()) << row.key << " is never reached";
        for (const std::string& family : Families(row))
          EXPECT_FALSE(IsForFamily(table->keys[j], family)) << row.key << " twice for " << family;
      }
    }
  }
}

TEST(ConfigKeys, NameEveryKeyThatTransformersWritesForTheFixtures) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LONGSPAN_FIXTURES)) {
    const std::string path = entry.path().string() + "/config.json";
    if (!std::filesystem::exists(path)) continue;
    const json config = json::parse(std::ifstream(path));
    std::vector<std::string> warnings;
    const absl::Status status = CheckKeys(ConfigKeys(), config.at("model_type").get<std::string>(),
                                          config, path, &warnings);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_THAT(warnings, IsEmpty());
    ++files;
  }
  EXPECT_GE(files, 10);
}

TEST(ConfigKeys, KnowTheModelTypesThatAreServed) {
  for (const char* type : {"longformer", "led", "reformer", "modernbert", "big_bird", "bert",
                           "roberta", "xlm-roberta", "camembert"})
    EXPECT_TRUE(IsKnownModelType(type)) << type;
  EXPECT_FALSE(IsKnownModelType("gpt2"));
  EXPECT_FALSE(IsKnownModelType(""));
}

TEST(CheckpointsDocument, ShowsTheTablesOfTheCode) {
  std::stringstream document;
  document << std::ifstream(std::string(LONGSPAN_SOURCE_DIR) + "/docs/checkpoints.md").rdbuf();
  const std::string text = document.str();
  const std::string begin = "<!-- keys: made by longspan-model keys -->\n", end = "<!-- /keys -->";
  ASSERT_THAT(text, AllOf(HasSubstr(begin), HasSubstr(end)));
  const size_t from = text.find(begin) + begin.size();
  EXPECT_EQ(text.substr(from, text.find(end) - from), AllKeysMarkdown())
      << "run: longspan-model keys, and put its output between the marks";
}

}  // namespace
}  // namespace longspan
