#include "core/weights/safetensors_reader.h"

#include <gmock/gmock.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <list>
#include <random>

#include "core/weights/safetensors_header.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;

std::string File(const std::string& header, size_t data_bytes = 0) {
  const uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header + std::string(data_bytes, '\1');
}

auto Parse(const std::string& file) {
  return SafetensorsReader::Parse(std::as_bytes(std::span(file)), "m.safetensors");
}

std::string Header(const std::vector<std::string>& entries) {
  std::string header = "{";
  for (const std::string& entry : entries)
    header.append(header.size() > 1 ? "," : "").append(entry);
  return header.append("}");
}

// The error of a file that must be refused; it is one line.
std::string Refusal(const std::string& file) {
  const auto reader = Parse(file);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.status().code(), absl::StatusCode::kInvalidArgument);
  std::string message(reader.status().message());
  EXPECT_THAT(message, AllOf(HasSubstr("m.safetensors: "), Not(HasSubstr("\n"))));
  return message;
}

std::string Entry(const std::string& name, const std::string& shape, int begin, int end,
                  const std::string& type = "F32") {
  return std::string("\"").append(name) + R"(":{"dtype":")" + type + R"(","shape":)" + shape +
         R"(,"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

// Good files.

TEST(SafetensorsReader, Parse_GivesTensorsInPlaceAndMetadata) {
  const std::string file =
      File(R"({"__metadata__":{"format":"pt"},)" + Entry("b", "[2]", 4, 8, "BF16") + "," +
               Entry("a", "[]", 0, 4) + "}   ",
           8);
  const auto reader = Parse(file);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_THAT((*reader)->metadata(), ElementsAre(Pair("format", "pt")));
  ASSERT_THAT((*reader)->tensors(), SizeIs(2));
  const StoredTensor& a = (*reader)->tensors().at("a");
  EXPECT_EQ(a.type, StoredType::kF32);
  EXPECT_THAT(a.shape, IsEmpty());
  EXPECT_EQ(a.num_elements(), 1);
  EXPECT_EQ(reinterpret_cast<const char*>(a.data.data()), file.data() + file.size() - 8);
  EXPECT_THAT((*reader)->tensors().at("b").shape, ElementsAre(2));
}

TEST(SafetensorsReader, Parse_TakesEmptyFilesTensorsWithoutElementsAndEveryType) {
  EXPECT_TRUE(Parse(File("{}")).ok());
  EXPECT_TRUE(Parse(File(Header({Entry("a", "[0, 7]", 0, 0), Entry("b", "[3]", 0, 12),
                                 Entry("c", "[0]", 12, 12)}),
                         12))
                  .ok());
  for (const char* type : {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"}) {
    EXPECT_TRUE(Parse(File(Header({Entry("a", "[0]", 0, 0, type)}))).ok()) << type;
  }
}

TEST(SafetensorsReader, Parse_ReadsEscapesInNames) {
  const auto reader = Parse(File(Header({Entry(R"(\"\\\/\n\u00e9\uD83D\uDE00)", "[0]", 0, 0)})));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->tensors().begin()->first, "\"\\/\n\xC3\xA9\xF0\x9F\x98\x80");
}

// The frame: the length of the header, and the header within the file.

TEST(SafetensorsReader, Parse_RefusesATruncatedFile) {
  EXPECT_THAT(Refusal(""), HasSubstr("at least 8 bytes, this one has 0"));
  EXPECT_THAT(Refusal("1234567"), HasSubstr("has 7"));
  const std::string whole = File(Header({Entry("a", "[4]", 0, 16)}), 16);
  EXPECT_THAT(Refusal(whole.substr(0, 30)), HasSubstr("truncated"));
  EXPECT_THAT(Refusal(whole.substr(0, whole.size() - 1)),
              AllOf(HasSubstr("\"a\""), HasSubstr("truncated")));
}

TEST(SafetensorsReader, Parse_EveryCutOfAFileIsRefused) {
  const std::string whole =
      File(R"({"__metadata__":{"k":"v"},)" + Entry("a", "[4]", 0, 16) + "}", 16);
  ASSERT_TRUE(Parse(whole).ok());
  for (size_t bytes = 0; bytes < whole.size(); ++bytes)
    EXPECT_FALSE(Parse(whole.substr(0, bytes)).ok()) << bytes;
}

TEST(SafetensorsReader, Parse_RefusesAHeaderOver100MBWithoutReadingIt) {
  std::string file(64, '{');
  const uint64_t length = 100'000'001;
  std::memcpy(file.data(), &length, 8);
  EXPECT_THAT(Refusal(file), AllOf(HasSubstr("100000001"), HasSubstr("100000000")));
  EXPECT_THAT(Refusal(std::string(16, '\xFF')), HasSubstr("18446744073709551615"));
}

TEST(SafetensorsReader, Parse_RefusesBytesBehindTheTensors) {
  EXPECT_THAT(Refusal(File(Header({Entry("a", "[1]", 0, 4)}), 5)),
              HasSubstr("the last 1 bytes of the data belong to no tensor"));
  EXPECT_THAT(Refusal(File("{}", 3)), HasSubstr("the last 3 bytes"));
}

// The places of the tensors in the data.

TEST(SafetensorsReader, Parse_RefusesOverlaps) {
  EXPECT_THAT(Refusal(File(Header({Entry("a", "[2]", 0, 8), Entry("b", "[2]", 4, 12)}), 12)),
              HasSubstr("\"a\" and \"b\" overlap at byte 4"));
  EXPECT_THAT(Refusal(File(Header({Entry("a", "[2]", 0, 8), Entry("b", "[2]", 0, 8)}), 8)),
              HasSubstr("overlap"));
}

TEST(SafetensorsReader, Parse_RefusesHoles) {
  EXPECT_THAT(Refusal(File(Header({Entry("a", "[1]", 0, 4), Entry("b", "[1]", 8, 12)}), 12)),
              HasSubstr("bytes 4 to 8 of the data, in front of tensor \"b\", belong to no tensor"));
  EXPECT_THAT(Refusal(File(Header({Entry("a", "[1]", 4, 8)}), 8)), HasSubstr("bytes 0 to 4"));
}

TEST(SafetensorsReader, Parse_RefusesOffsetsThatRunBackwards) {
  EXPECT_THAT(Refusal(File(Header({Entry("a", "[1]", 4, 0)}), 4)),
              HasSubstr("[4, 0] run backwards"));
}

TEST(SafetensorsReader, Parse_RefusesASizeThatIsNotTheShapes) {
  EXPECT_THAT(Refusal(File(Header({Entry("a", "[3]", 0, 8)}), 8)),
              HasSubstr("data_offsets [0, 8] hold 8 bytes, shape [3] of F32 needs 12"));
}

TEST(SafetensorsReader, Parse_RefusesShapesThatOverflow) {
  for (const char* shape : {"[4611686018427387904, 4]", "[9223372036854775807]",
                            "[65536, 65536, 65536, 65536]", "[4294967296, 4294967296, 0]"}) {
    EXPECT_THAT(Refusal(File(Header({Entry("a", shape, 0, 0)}))), HasSubstr("overflows")) << shape;
  }
  EXPECT_THAT(Refusal(File(Header({Entry("a", "[9223372036854775808]", 0, 0)}))),
              HasSubstr("dimension of 9223372036854775808"));
  EXPECT_THAT(Refusal(File(Header({Entry("a", "[18446744073709551616]", 0, 0)}))),
              HasSubstr("over 2^64 - 1"));
}

TEST(SafetensorsReader, Parse_RefusesHugeOffsets) {
  const std::string huge =
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551614,18446744073709551615]}})";
  EXPECT_THAT(Refusal(File(huge, 1)), HasSubstr("leave the data, which has 1 bytes"));
}

TEST(SafetensorsReader, Parse_QuotesAHostileNameInOneShortLine) {
  EXPECT_THAT(Refusal(File(Header({Entry(R"(a\nb)", "[1]", 4, 0)}), 4)), HasSubstr("\"a?b\""));
  EXPECT_LT(Refusal(File(Header({Entry(std::string(1 << 19, 'n'), "[1]", 4, 0)}), 4)).size(),
            1100U);
}

// The grammar of the header.

TEST(SafetensorsReader, Header_RefusesDuplicates) {
  EXPECT_THAT(Refusal(File(Header({Entry("a", "[0]", 0, 0), Entry("a", "[0]", 0, 0)}))),
              HasSubstr("\"a\" stands twice"));
  EXPECT_THAT(Refusal(File(Header({Entry("a", "[0]", 0, 0), Entry(R"(\u0061)", "[0]", 0, 0)}))),
              HasSubstr("\"a\" stands twice"));
  EXPECT_THAT(Refusal(File(R"({"__metadata__":{},"__metadata__":{}})")),
              HasSubstr("\"__metadata__\" stands twice"));
  EXPECT_THAT(Refusal(File(R"({"__metadata__":{"k":"1","k":"2"}})")), HasSubstr("\"k\" twice"));
  EXPECT_THAT(
      Refusal(File(R"({"a":{"dtype":"F32","dtype":"F32","shape":[0],"data_offsets":[0,0]}})")),
      HasSubstr("\"dtype\" twice"));
}

TEST(SafetensorsReader, Header_RefusesUnknownTypesAndFields) {
  EXPECT_THAT(Refusal(File(Header({Entry("a", "[0]", 0, 0, "F8_E4M3")}))),
              AllOf(HasSubstr("F8_E4M3"), HasSubstr("F64, F32, F16")));
  EXPECT_THAT(
      Refusal(File(R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0],"strides":[1]}})")),
      HasSubstr("unknown field \"strides\""));
}

TEST(SafetensorsReader, Header_RefusesMissingFields) {
  EXPECT_THAT(Refusal(File(R"({"a":{"shape":[0],"data_offsets":[0,0]}})")),
              HasSubstr("lacks dtype"));
  EXPECT_THAT(Refusal(File(R"({"a":{"dtype":"F32","data_offsets":[0,0]}})")),
              HasSubstr("lacks shape"));
  EXPECT_THAT(Refusal(File(R"({"a":{"dtype":"F32","shape":[0]}})")),
              HasSubstr("lacks two data_offsets"));
  EXPECT_THAT(Refusal(File(R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0]}})")),
              HasSubstr("lacks two data_offsets"));
  EXPECT_THAT(Refusal(File(R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0,0]}})")),
              HasSubstr("more than 2 numbers"));
}

TEST(SafetensorsReader, Header_RefusesWhatIsNotItsGrammar) {
  for (const char* header : {"",
                             " {}",
                             "[]",
                             "{",
                             "}",
                             "{}{}",
                             "{} x",
                             R"({"a"})",
                             R"({"a":})",
                             R"({"a":1})",
                             R"({"a":null})",
                             R"({"a":[]})",
                             R"({"a":{}})",
                             "{,}",
                             R"({"a":{},})",
                             R"({"__metadata__":[]})",
                             R"({"__metadata__":{"k":1}})",
                             R"({"__metadata__":{"k":{}}})",
                             R"({a:{}})",
                             R"({'a':{}})",
                             R"({"a":{"dtype":3,"shape":[0],"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})",
                             R"({"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}})",
                             R"({"a":{"dtype":"F32","shape":[00],"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"F32","shape":[0,],"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"F32","shape":0,"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"F32","shape":[[0]],"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"F32","shape":["0"],"data_offsets":[0,0]}})",
                             "{/**/}",
                             "\xEF\xBB\xBF{}"}) {
    const std::string file = File(header);
    EXPECT_THAT(Refusal(file), HasSubstr("bad header at byte")) << header;
  }
  EXPECT_THAT(Refusal(File(std::string("{\0}", 3))), HasSubstr("bad header at byte 1"));
  EXPECT_THAT(Refusal(File(std::string("{}\0", 3))), HasSubstr("bad header at byte 2"));
}

TEST(SafetensorsReader, Header_RefusesStringsThatAreNotUtf8) {
  for (const char* name :
       {"\xFF", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC3", R"(\uD800)",
        R"(\uDC00)", R"(\uD800\u0041)", R"(\x41)", R"(\u12)", R"(\u12G4)", "\n"}) {
    EXPECT_THAT(Refusal(File(Header({Entry(name, "[0]", 0, 0)}))), HasSubstr("string")) << name;
  }
}

TEST(IsUtf8, TakesEveryLengthAndTheirBounds) {
  EXPECT_TRUE(IsUtf8(
      "a\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"));
  EXPECT_TRUE(IsUtf8(""));
}

TEST(SafetensorsReader, Header_RefusesMoreThanItsLimits) {
  std::string many = "{";
  for (int64_t i = 0; i <= kHeaderLimits.tensors; ++i)
    many.append(i > 0 ? "," : "").append(Entry(std::to_string(i), "[0]", 0, 0));
  EXPECT_THAT(Refusal(File(many + "}")), HasSubstr("more than 65536 tensors"));
  EXPECT_THAT(Refusal(File(Header({Entry("a", "[0,0,0,0,0,0,0,0,0]", 0, 0)}))),
              HasSubstr("a list of more than 8 numbers"));
  EXPECT_THAT(Refusal(File(Header({Entry(std::string((1 << 20) + 1, 'n'), "[0]", 0, 0)}))),
              HasSubstr("a string of more than"));
}

// The time and memory that a header of almost 100 MB may cost before it is refused.

struct Hostile {
  const char* name;
  std::string (*header)();
};
constexpr size_t kHostileBytes = 99'000'000;

std::string Repeat(const std::string& front, const std::string& unit) {
  std::string text = front;
  text.reserve(kHostileBytes + unit.size());
  while (text.size() < kHostileBytes) text += unit;
  return text;
}

std::string RandomBytes() {
  std::mt19937_64 random(1);
  std::string text(kHostileBytes, '{');
  for (size_t i = 8; i + 8 <= text.size(); i += 8) {
    const uint64_t value = random();
    std::memcpy(text.data() + i, &value, 8);
  }
  return text;
}

std::string DistinctTensors(size_t name_bytes) {
  std::string text = "{";
  for (int i = 0; text.size() < kHostileBytes; ++i) {
    std::string name = std::to_string(i);
    name.resize(std::max(name.size(), name_bytes), 'n');
    text.append(i > 0 ? "," : "").append(Entry(name, "[0,0,0,0,0,0,0,0]", 0, 0));
  }
  return text;
}

std::string DistinctMetadata() {
  std::string text = R"({"__metadata__":{)";
  for (int i = 0; text.size() < kHostileBytes; ++i)
    text.append(i > 0 ? ",\"" : "\"").append(std::to_string(i)).append(R"(":"")");
  return text;
}

// A header as large as the limits allow, in which only the last entry is wrong.
std::string DuplicateAtTheEnd() {
  std::string text = "{";
  for (int64_t i = 0; i + 1 < kHeaderLimits.tensors; ++i) {
    std::string name = std::to_string(i);
    name.resize(110, 'n');
    text += Entry(name, "[0,0,0,0,0,0,0,0]", 0, 0) + ",";
    if (i == 0) text += Entry(name, "[0]", 0, 0) + ",";
  }
  text.back() = '}';
  return text;
}

const Hostile kHostile[] = {
    {"brackets", [] { return Repeat("{\"a\":", "["); }},
    {"nested_objects", [] { return Repeat("", "{\"a\":"); }},
    {"spaces", [] { return Repeat("{", " "); }},
    {"spaces_behind", [] { return Repeat("{}", " "); }},
    {"zeros", [] { return Repeat("{", std::string(1, '\0')); }},
    {"one_string", [] { return Repeat("{\"", "x"); }},
    {"one_metadata_value", [] { return Repeat(R"({"__metadata__":{"k":")", "x"); }},
    {"escapes", [] { return Repeat("{\"", "\\u0041"); }},
    {"one_number", [] { return Repeat(R"({"a":{"shape":[)", "1"); }},
    {"zeros_number", [] { return Repeat(R"({"a":{"shape":[)", "0"); }},
    {"one_shape", [] { return Repeat(R"({"a":{"shape":[)", "1,"); }},
    {"tensors", [] { return DistinctTensors(1); }},
    {"tensors_long_names", [] { return DistinctTensors(900); }},
    {"metadata", [] { return DistinctMetadata(); }},
    {"duplicate_at_the_end", DuplicateAtTheEnd},
    {"random", RandomBytes},
};

class HostileHeaderTest : public ::testing::TestWithParam<Hostile> {};
INSTANTIATE_TEST_SUITE_P(SafetensorsReader, HostileHeaderTest, ::testing::ValuesIn(kHostile),
                         [](const auto& info) { return std::string(info.param.name); });

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double kMaxSeconds = 3.0;
constexpr int64_t kMaxBytes = int64_t{1} << 40;  // no bound: the sanitizer's own memory would count
#else
constexpr double kMaxSeconds = 0.1;
constexpr int64_t kMaxBytes = 64 << 20;
#endif

int64_t PeakBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * int64_t{1024};
}

// Runs in a child process, which has a peak of its own. Returns 0 where all is well, else what was
// wrong (see the end of the test below).
int OpenWithinBounds(const std::string& path) {
  double seconds = 1e9;
  int64_t grown = 0;
  for (int attempt = 0; attempt < 3 && seconds > kMaxSeconds; ++attempt) {
    const int64_t before = PeakBytes();
    const std::clock_t start = std::clock();
    const bool refused =
        SafetensorsReader::Open(path).status().code() == absl::StatusCode::kInvalidArgument;
    seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    grown = std::max(grown, PeakBytes() - before);
    if (!refused) return 1;
  }
  std::printf("%.1f ms, %.1f MiB\n", seconds * 1e3, static_cast<double>(grown) / (1 << 20));
  std::fflush(stdout);
  return seconds > kMaxSeconds ? 2 : grown > kMaxBytes ? 3 : 0;
}

TEST_P(HostileHeaderTest, IsRefusedWithin100MillisecondsAnd64MiB) {
  const std::string path =
      ::testing::TempDir() + "hostile." + GetParam().name + "." + std::to_string(getpid());
  {
    std::ofstream out(path, std::ios::binary);
    const std::string header = GetParam().header();
    out << File(header);
    ASSERT_TRUE(out.good());
  }
  // Memory that the parent has freed would serve the child's reader without being counted.
  malloc_trim(0);
  const pid_t child = fork();
  if (child == 0) _exit(OpenWithinBounds(path));
  int status = 0;
  waitpid(child, &status, 0);
  std::filesystem::remove(path);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: not refused, 2: too slow, 3: too much memory";
}

// Files.

class SafetensorsFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "safetensors_reader_test." + std::to_string(getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(SafetensorsFileTest, Open_RefusesWhatIsNoFile) {
  EXPECT_EQ(SafetensorsReader::Open(folder_ + "/nothing").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(SafetensorsReader::Open(folder_).status().message()),
              HasSubstr("is not a regular file"));
  const std::string pipe = folder_ + "/pipe", empty = folder_ + "/empty";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(std::string(SafetensorsReader::Open(pipe).status().message()),
              HasSubstr("is not a regular file"));
  std::ofstream(empty).flush();
  EXPECT_THAT(std::string(SafetensorsReader::Open(empty).status().message()),
              HasSubstr("at least 8 bytes"));
}

TEST_F(SafetensorsFileTest, Write_IsReadBackForRandomTensors) {
  std::mt19937 random(11);
  const auto below = [&](uint32_t n) { return static_cast<int64_t>(random() % n); };
  for (int round = 0; round < 50; ++round) {
    std::list<std::vector<std::byte>> buffers;
    std::map<std::string, StoredTensor> tensors;
    for (int64_t i = below(12); i > 0; --i) {
      const auto type = static_cast<StoredType>(below(10));
      std::vector<int64_t> shape(static_cast<size_t>(below(4)));
      int64_t bytes = StoredTypeBytes(type);
      for (int64_t& size : shape) bytes *= size = below(5);
      std::vector<std::byte>& buffer = buffers.emplace_back(static_cast<size_t>(bytes));
      for (std::byte& byte : buffer) byte = static_cast<std::byte>(random());
      tensors["tensor \"\xC3\xA9\" " + std::to_string(below(100))] = {type, shape, buffer};
    }
    const std::string path = folder_ + "/m.safetensors";
    ASSERT_TRUE(
        WriteSafetensors(path, tensors, {{"format", "pt"}, {"round", std::to_string(round)}}).ok());
    EXPECT_FALSE(std::filesystem::exists(path + ".part"));
    const auto reader = SafetensorsReader::Open(path);
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_THAT((*reader)->metadata(),
                ElementsAre(Pair("format", "pt"), Pair("round", std::to_string(round))));
    ASSERT_EQ((*reader)->tensors().size(), tensors.size());
    for (const auto& [name, want] : tensors) {
      const StoredTensor& got = (*reader)->tensors().at(name);
      EXPECT_EQ(got.type, want.type);
      EXPECT_EQ(got.shape, want.shape);
      EXPECT_TRUE(std::ranges::equal(got.data, want.data));
      EXPECT_TRUE(got.data.empty() || reinterpret_cast<uintptr_t>(got.data.data()) %
                                              static_cast<size_t>(StoredTypeBytes(got.type)) ==
                                          0);
    }
  }
}

TEST_F(SafetensorsFileTest, Write_RefusesWhatTheReaderWouldRefuse) {
  const std::vector<std::byte> bytes(8);
  const std::string path = folder_ + "/m.safetensors";
  EXPECT_THAT(
      std::string(WriteSafetensors(path, {{"a", {StoredType::kF32, {3}, bytes}}}).message()),
      HasSubstr("its shape needs 12"));
  EXPECT_FALSE(WriteSafetensors(path, {{"__metadata__", {StoredType::kF32, {2}, bytes}}}).ok());
  EXPECT_FALSE(WriteSafetensors(path, {{"\xFF", {StoredType::kF32, {2}, bytes}}}).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(WriteSafetensors(folder_ + "/no/such/folder", {}).ok());
}

TEST_F(SafetensorsFileTest, DropPages_KeepsTheBytesReadable) {
  std::vector<std::byte> bytes(100'000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7);
  const std::string path = folder_ + "/m.safetensors";
  ASSERT_TRUE(WriteSafetensors(path, {{"a", {StoredType::kU8, {100'000}, bytes}}}).ok());
  const auto reader = SafetensorsReader::Open(path);
  ASSERT_TRUE(reader.ok());
  const StoredTensor& tensor = (*reader)->tensors().at("a");
  (*reader)->DropPages(tensor);
  EXPECT_TRUE(std::ranges::equal(tensor.data, bytes));
}

}  // namespace
}  // namespace longspan
