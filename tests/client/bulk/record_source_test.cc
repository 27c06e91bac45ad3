// Which records lines are, which of them are errors, and that reading goes on where it stopped, or
// finds out that the input is another.
#include "client/bulk/record_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <string>
#include <vector>

#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class RecordSourceTest : public testing::Test {
 protected:
  RecordSource::Options Of(const std::vector<std::string>& texts) {
    RecordSource::Options options;
    for (const std::string& text : texts)
      options.files.push_back(
          folder_.WriteText(std::to_string(options.files.size()) + ".jsonl", text));
    return options;
  }
  // All records; an error of the reading fails the test.
  static std::vector<Record> All(RecordSource* source) {
    std::vector<Record> all;
    while (true) {
      auto record = source->Next();
      EXPECT_TRUE(record.ok()) << record.status();
      if (!record.ok() || !record->has_value()) return all;
      all.push_back(**std::move(record));
    }
  }
  std::vector<Record> All(const RecordSource::Options& options) {
    RecordSource source(options);
    return All(&source);
  }
  static std::vector<std::string> Ids(const std::vector<Record>& records) {
    std::vector<std::string> ids;
    for (const Record& record : records) ids.push_back(record.id);
    return ids;
  }
  std::string ErrorOf(const std::string& line) {
    const auto records = All(Of({line + "\n"}));
    return records.size() == 1 ? std::string(records[0].error.message()) : "no record";
  }

  TemporaryFolder folder_;
};

TEST_F(RecordSourceTest, LinesAreRecords_BlankOnesAreNot) {
  const auto records =
      All(Of({"{\"id\":\"a\",\"text\":\"x\"}\n\n  \r\n{\"text\":\"Grüße\",\"other\":[1]}\n",
              "{\"id\":7,\"text\":\"without an end\"}"}));
  EXPECT_THAT(Ids(records), ElementsAre("a", "1", "7"));
  EXPECT_EQ(records[1].text, "Grüße");
  EXPECT_EQ(records[1].position.line, 4u);
  EXPECT_EQ(records[2].number, 2u);
  EXPECT_EQ(records[2].position.file, 1u);
  for (const Record& record : records) EXPECT_TRUE(record.error.ok()) << record.error;
}

TEST_F(RecordSourceTest, ALineThatIsNone_IsARecordWithAnError) {
  EXPECT_THAT(ErrorOf("{\"id\":"), HasSubstr("not JSON"));
  EXPECT_THAT(ErrorOf("{\"text\":\"\xff\"}"), HasSubstr("not JSON in UTF-8"));
  EXPECT_THAT(ErrorOf("[1]"), HasSubstr("no object"));
  EXPECT_THAT(ErrorOf("{}"), HasSubstr("nor path"));
  EXPECT_THAT(ErrorOf("{\"text\":\"a\",\"path\":\"b\"}"), HasSubstr("both text and path"));
  EXPECT_THAT(ErrorOf("{\"text\":5}"), HasSubstr("text is a number"));
  EXPECT_THAT(ErrorOf("{\"text\":\"a\",\"id\":[]}"), HasSubstr("id is a array"));
  EXPECT_THAT(ErrorOf("{\"path\":\"no such file\"}"), HasSubstr("cannot be read"));
}

TEST_F(RecordSourceTest, APath_IsFromTheFolderOfItsFile) {
  folder_.WriteText("deep.txt", "from the file");
  const auto records = All(Of({"{\"path\":\"deep.txt\"}\n"}));
  ASSERT_TRUE(records[0].error.ok()) << records[0].error;
  EXPECT_EQ(records[0].text, "from the file");
}

TEST_F(RecordSourceTest, FieldsHaveTheNamesThatAreGiven) {
  auto options = Of({"{\"key\":\"k\",\"body\":\"b\",\"text\":\"t\"}\n"});
  options.text_field = "body";
  options.id_field = "key";
  const auto records = All(options);
  EXPECT_EQ(records[0].text, "b");
  EXPECT_EQ(records[0].id, "k");
}

TEST_F(RecordSourceTest, TooLongTexts_AreErrors_AndTheNextRecordIsRead) {
  auto options =
      Of({"{\"text\":\"" + std::string(101, 'x') + "\"}\n{\"text\":\"" + std::string(3 << 20, 'y') +
          "\"}\n{\"id\":\"fits\",\"text\":\"" + std::string(100, 'z') + "\"}\n"});
  options.max_text_bytes = 100;
  const auto records = All(options);
  ASSERT_EQ(records.size(), 3u);
  EXPECT_THAT(std::string(records[0].error.message()), HasSubstr("101 bytes"));
  EXPECT_THAT(std::string(records[1].error.message()), HasSubstr("the line has more than"));
  EXPECT_EQ(records[2].text.size(), 100u);
}

TEST_F(RecordSourceTest, Shards_HaveEachRecordOnce) {
  std::string text;
  for (int i = 0; i < 20; ++i) text += "{\"text\":\"" + std::to_string(i) + "\"}\n\n";
  std::vector<int> times(20, 0);
  for (uint64_t shard = 0; shard < 3; ++shard) {
    auto options = Of({text});
    options.shard = shard;
    options.shards = 3;
    for (const Record& record : All(options)) {
      EXPECT_EQ(record.number % 3, shard);
      ++times[record.number];
    }
  }
  EXPECT_THAT(times, testing::Each(1));
}

// Wherever it stops, also between files and behind blank lines, the rest is what it would be.
TEST_F(RecordSourceTest, GoesOnBehindEachRecord) {
  const auto options = Of({"{\"id\":\"a\",\"text\":\"1\"}\n\n{\"id\":\"b\",\"text\":\"2\"}\n", "",
                           "\n{\"id\":\"c\",\"text\":\"3\"}", "{\"id\":\"d\",\"text\":\"4\"}\n"});
  const auto whole = All(options);
  ASSERT_EQ(whole.size(), 4u);
  for (size_t i = 0; i < whole.size(); ++i) {
    RecordSource source(options);
    ASSERT_TRUE(source.SkipTo(whole[i].position).ok());
    const auto rest = All(&source);
    ASSERT_EQ(rest.size(), whole.size() - i - 1);
    for (size_t r = 0; r < rest.size(); ++r) {
      EXPECT_EQ(rest[r].id, whole[i + 1 + r].id);
      EXPECT_EQ(rest[r].number, whole[i + 1 + r].number);
      EXPECT_EQ(rest[r].position.checksum, whole[i + 1 + r].position.checksum);
    }
  }
}

TEST_F(RecordSourceTest, AnotherInput_IsFoundOut) {
  const std::string first = "{\"id\":\"a\",\"text\":\"1\"}\n", second = "{\"id\":\"b\"}\n";
  const auto stopped = All(Of({first + second}))[1].position;
  for (const std::string& other :
       {std::string("{\"id\":\"a\",\"text\":\"2\"}\n") + second, first, std::string(),
        "\n" + first + second, first + "{\"id\":\"b\"} \n"}) {
    RecordSource source(Of({other}));
    const absl::Status status = source.SkipTo(stopped);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << other;
    EXPECT_THAT(std::string(status.message()), HasSubstr("not those"));
  }
  RecordSource longer(Of({first + second + first}));  // what is behind may grow
  EXPECT_TRUE(longer.SkipTo(stopped).ok());
}

std::string Gzip(const std::string& text) {
  z_stream stream = {};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(text.size() + 1000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

TEST_F(RecordSourceTest, Compressed_IsReadLikePlain_AlsoInSeveralParts) {
  std::string text;
  for (int i = 0; i < 3000; ++i)
    text += "{\"id\":\"" + std::to_string(i * i) + "\",\"text\":\"" + std::to_string(i) + "\"}\n";
  const std::string front = text.substr(0, 5000), behind = text.substr(5000);
  const auto plain = All(Of({text}));
  for (const std::string& packed :
       {Gzip(text), Zstd(text), Gzip(front) + Gzip(behind), Zstd(front) + Zstd(behind)}) {
    const auto options = Of({packed});
    const auto got = All(options);
    EXPECT_EQ(Ids(got), Ids(plain));
    EXPECT_EQ(got.back().position.checksum, plain.back().position.checksum);
    RecordSource source(options);
    EXPECT_TRUE(source.SkipTo(plain[1234].position).ok());
    EXPECT_EQ(All(&source).size(), 3000u - 1235u);
  }
}

TEST_F(RecordSourceTest, DamagedFiles_AreErrors_BehindWhatCouldBeRead) {
  std::string text;
  for (int i = 0; i < 30000; ++i) text += "{\"text\":\"" + std::to_string(i * 7919) + "\"}\n";
  for (const std::string& packed : {Gzip(text), Zstd(text)}) {
    RecordSource source(Of({packed.substr(0, packed.size() - 9)}));
    absl::StatusOr<std::optional<Record>> record;
    int read = 0;
    while ((record = source.Next()).ok() && record->has_value()) ++read;
    ASSERT_FALSE(record.ok());
    EXPECT_EQ(record.status().code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(record.status().message()), HasSubstr("damaged, or not whole"));
    EXPECT_GT(read, 100);
  }
}

TEST_F(RecordSourceTest, FilesThatCannotBeRead_AreErrors) {
  for (const std::string& path : {std::string("/no/such/file"), folder_.path()}) {
    RecordSource source({.files = {path}});
    EXPECT_EQ(source.Next().status().code(), absl::StatusCode::kNotFound);
  }
}

TEST_F(RecordSourceTest, TheShare_GrowsToOne) {
  auto options = Of({"{\"text\":\"1\"}\n{\"text\":\"2\"}\n", "{\"text\":\"3\"}\n"});
  const auto records = All(options);
  EXPECT_EQ(records.back().share, 1.0);
  options.files.push_back("-");
  EXPECT_EQ(RecordSource(options).share(), std::nullopt);
}

}  // namespace
}  // namespace longspan
