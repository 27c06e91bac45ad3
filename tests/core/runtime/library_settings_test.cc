// What the environment variables of OpenMP, MKL, oneDNN and LibTorch do to vectors. This program
// runs itself as a child under each of them. The child encodes texts with a model of each family
// in each data type; its vectors are those of a child in a clean environment, or it names the
// variable.
#include "core/runtime/library_settings.h"

#include <gmock/gmock.h>
#include <omp.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "core/encoder.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

const char* const kFamilies[] = {
    "bert",    "roberta",    "longformer-windows", "longformer-long", "led",
    "bigbird", "modernbert", "reformer-local",     "reformer-lsh",    "reformer-mixed"};
constexpr int64_t kLengths[] = {7, 64, 200, 700};

std::vector<int32_t> Ids(const ModelInfo& info, int64_t n) {
  std::vector<int32_t> ids(n);
  for (int64_t i = 0; i < n; ++i) {
    ids[i] = static_cast<int32_t>((i * 7 + n) % info.vocab_size);
    if (ids[i] == info.pad_token_id) ids[i] = static_cast<int32_t>((ids[i] + 1) % info.vocab_size);
  }
  return ids;
}

// The vectors of all texts in one batch, then of the longest text alone. Empty = an error, which
// is printed.
std::vector<std::vector<float>> Vectors(const Encoder& encoder) {
  std::vector<int64_t> lengths;
  for (int64_t n : kLengths) lengths.push_back(encoder.info().CutToLongest(n));
  std::vector<std::vector<float>> vectors;
  for (const std::vector<int64_t>& texts : {lengths, std::vector<int64_t>{lengths.back()}}) {
    TokenBatch batch;
    for (int64_t n : texts) {
      const auto globals = ResolveGlobalPositions(encoder.info(), std::nullopt, {}, n);
      batch.Add({.token_ids = Ids(encoder.info(), n), .global_positions = globals});
    }
    for (const auto& result : encoder.Encode(batch, std::vector<EncodeOptions>(texts.size()))) {
      if (!result.ok()) {
        std::cout << "refused: " << result.status().message() << std::endl;
        return {};
      }
      vectors.push_back(result->vector);
    }
  }
  return vectors;
}

// Runs in a child program only: writes all vectors to the file LONGSPAN_TEST_OUT, with teams of
// LONGSPAN_TEST_THREADS threads. A line is a model, a data type and the values of one vector.
TEST(LibrarySettings, DISABLED_Child) {
  std::ofstream out(std::getenv("LONGSPAN_TEST_OUT"));
  const int threads = std::atoi(std::getenv("LONGSPAN_TEST_THREADS"));
  for (const char* family : kFamilies) {
    for (const DataType dtype : {DataType::kFloat32, DataType::kBFloat16, DataType::kInt8}) {
      const auto encoder = Encoder::Load(std::string(LONGSPAN_FIXTURES "/") + family,
                                         {.dtype = dtype, .num_threads = threads});
      if (!encoder.ok()) {
        std::cout << "refused: " << encoder.status().message() << std::endl;
        continue;
      }
      for (const std::vector<float>& vector : Vectors(**encoder)) {
        out << family << " " << DataTypeName(dtype);
        for (float value : vector) out << " " << value;
        out << "\n";
      }
    }
  }
}

struct Child {
  std::string output;  // what it printed
  // By model and data type: the values of all vectors.
  std::map<std::string, std::vector<float>> vectors;
  bool crashed = false;
};

#ifdef __SANITIZE_THREAD__
constexpr bool kSeesNoTeams = true;
#else
constexpr bool kSeesNoTeams = false;
#endif

// Under the thread sanitizer OpenMP may have one thread only (./dev test).
int TestThreads() { return std::getenv("OMP_THREAD_LIMIT") == nullptr ? 2 : 0; }

Child RunChild(const std::string& environment, int threads, const std::string& shell = "") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/vectors";
  const std::string command =
      shell + "exec env OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=2000 LONGSPAN_TEST_OUT='" + path +
      "' LONGSPAN_TEST_THREADS=" + std::to_string(threads) + " " + environment + " /proc/" +
      std::to_string(getpid()) +
      "/exe --gtest_also_run_disabled_tests --gtest_filter='*DISABLED_Child' 2>&1";
  FILE* const pipe = popen(command.c_str(), "r");
  Child child;
  char buffer[4096];
  while (const size_t got = fread(buffer, 1, sizeof buffer, pipe)) child.output.append(buffer, got);
  child.crashed = pclose(pipe) != 0;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string family, dtype;
    fields >> family >> dtype;
    std::vector<float>& values = child.vectors[family + " " + dtype];
    for (std::string value; fields >> value;) values.push_back(std::strtof(value.c_str(), nullptr));
  }
  return child;
}

const Child& Clean() {
  static const auto* const clean = new Child(RunChild("", TestThreads()));
  return *clean;
}

// The largest difference of two vectors that may come from another order of sums. The values are of
// the order of 1.
float Bound(const std::string& name) { return name.ends_with("float32") ? 5e-5f : 5e-2f; }

void ExpectCleanVectors(const std::string& environment, int threads,
                        const std::string& shell = "") {
  SCOPED_TRACE(environment + " " + shell + " threads " + std::to_string(threads));
  const Child child = RunChild(environment, threads, shell);
  EXPECT_FALSE(child.crashed) << child.output;
  ASSERT_GE(Clean().vectors.size(), std::size(kFamilies)) << Clean().output;
  for (const auto& [name, want] : Clean().vectors) {
    const auto found = child.vectors.find(name);
    ASSERT_NE(found, child.vectors.end()) << name << " is missing: " << child.output;
    ASSERT_EQ(found->second.size(), want.size()) << name;
    float worst = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      const float error = std::abs(found->second[i] - want[i]);
      if (!(error <= worst)) worst = error;  // NaN counts
    }
    EXPECT_LE(worst, Bound(name)) << name;
  }
}

void ExpectRefusal(const std::string& environment, int threads, const std::string& why,
                   const std::string& shell = "") {
  SCOPED_TRACE(environment + shell);
  const Child child = RunChild(environment, threads, shell);
  EXPECT_FALSE(child.crashed) << child.output;
  EXPECT_THAT(child.output, HasSubstr(why));
  EXPECT_TRUE(child.vectors.empty()) << child.vectors.begin()->first;
}

// The settings that made a team smaller than the one that products were planned for.
TEST(LibrarySettings, SizesOfTeams_ChangeNoVector) {
  if (kSeesNoTeams) GTEST_SKIP() << "the sanitizer of threads does not see libgomp's barriers";
  for (const char* environment :
       {"OMP_DYNAMIC=true", "OMP_MAX_ACTIVE_LEVELS=0", "OMP_NUM_THREADS=1", "OMP_NUM_THREADS=2,1",
        "OMP_NUM_THREADS=1,2", "OMP_NUM_THREADS=8", "OMP_NESTED=true OMP_NUM_THREADS=2,2",
        "OMP_SCHEDULE=static,1", "MKL_NUM_THREADS=1 MKL_DYNAMIC=true", "MKL_DOMAIN_NUM_THREADS=1",
        "OMP_CANCELLATION=true OMP_TEAMS_THREAD_LIMIT=1", "MKL_THREADING_LAYER=INTEL"})
    ExpectCleanVectors(environment, TestThreads());
  ExpectCleanVectors("OMP_THREAD_LIMIT=1", 0);
  ExpectCleanVectors("OMP_THREAD_LIMIT=1", 1);
  ExpectCleanVectors("OMP_THREAD_LIMIT=3 OMP_DYNAMIC=true", TestThreads());
  ExpectCleanVectors("", 1);
  ExpectCleanVectors("", TestThreads() == 0 ? 0 : 3);
}

TEST(LibrarySettings, ATeamThatIsForbidden_IsRefusedByName) {
  ExpectRefusal("OMP_THREAD_LIMIT=1", 2,
                "threads is 2; at most 1 can be had here: OMP_THREAD_LIMIT=1 is set");
}

TEST(LibrarySettings, BindingThreadsToCores_ChangesNoVector) {
  for (const char* environment : {"OMP_PROC_BIND=true", "OMP_PROC_BIND=master",
                                  "OMP_PROC_BIND=close OMP_PLACES=cores", "GOMP_CPU_AFFINITY=0"})
    ExpectCleanVectors(environment, TestThreads());
  ExpectCleanVectors("taskset -c $(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')", TestThreads());
}

TEST(LibrarySettings, MalformedValues_ChangeNoVector) {
  if (kSeesNoTeams) GTEST_SKIP() << "the sanitizer of threads does not see libgomp's barriers";
  for (const char* environment :
       {"OMP_NUM_THREADS=abc OMP_THREAD_LIMIT=x OMP_DYNAMIC=7 OMP_MAX_ACTIVE_LEVELS=-1",
        "OMP_STACKSIZE=many OMP_SCHEDULE=never OMP_PROC_BIND=?",
        "ONEDNN_MAX_CPU_ISA=FOO ONEDNN_DEFAULT_FPMATH_MODE=BAR MKL_CBWR=BAZ"})
    ExpectCleanVectors(environment, TestThreads() == 0 ? 0 : 2);
}

TEST(LibrarySettings, InstructionSetsAndPrecision_ChangeNoVector_OrAreRefusedByName) {
  for (const char* environment :
       {"ONEDNN_DEFAULT_FPMATH_MODE=BF16", "DNNL_DEFAULT_FPMATH_MODE=ANY",
        "ONEDNN_DEFAULT_FPMATH_MODE=TF32", "ONEDNN_PRIMITIVE_CACHE_CAPACITY=0",
        "DNNL_PRIMITIVE_CACHE_CAPACITY=0", "LRU_CACHE_CAPACITY=1", "ATEN_CPU_CAPABILITY=default",
        "ATEN_CPU_CAPABILITY=avx2", "MKL_CBWR=COMPATIBLE", "MKL_ENABLE_INSTRUCTIONS=SSE4_2",
        "ONEDNN_MAX_CPU_ISA=ALL", "ONEDNN_CPU_ISA_HINTS=PREFER_YMM"})
    ExpectCleanVectors(environment, TestThreads());
  ExpectRefusal("LRU_CACHE_CAPACITY=0", 0, "LRU_CACHE_CAPACITY is 0; it must be at least 1");
  ExpectRefusal("MKL_VML_DEBUG_CPU_TYPE=8", 0, "MKL_VML_DEBUG_CPU_TYPE is 8, with which exp");
  // Weaker sets than that of the processor are refused; others do not matter there.
  for (const std::string name : {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"}) {
    const Child child = RunChild(name + "=AVX2", TestThreads());
    EXPECT_FALSE(child.crashed) << child.output;
    if (child.vectors.empty()) {
      EXPECT_THAT(child.output, HasSubstr(name + " is AVX2, with which"));
    } else {
      ExpectCleanVectors(name + "=AVX2", TestThreads());
    }
  }
}

TEST(LibrarySettings, SmallStacks_AreRefusedByName) {
  if (kSeesNoTeams) GTEST_SKIP() << "the sanitizer of threads does not see libgomp's barriers";
  ExpectRefusal("OMP_STACKSIZE=16k", 0, "OMP_STACKSIZE is 16k; computing threads need");
  ExpectRefusal("OMP_STACKSIZE=65536B", 0, "OMP_STACKSIZE is 65536B");
  ExpectRefusal("GOMP_STACKSIZE=64", 0, "GOMP_STACKSIZE is 64; computing threads need");
  ExpectRefusal("", 0, "threads get stacks of 256K (ulimit -s)", "ulimit -s 256; ");
  ExpectCleanVectors("OMP_STACKSIZE=512k", TestThreads());
  ExpectCleanVectors("OMP_STACKSIZE=1M", TestThreads(), "ulimit -s 256; ");
}

class LoadedEncoderTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loaded = Encoder::Load(LONGSPAN_FIXTURES "/led", {.num_threads = TestThreads()});
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    encoder_ = *std::move(loaded);
    want_ = Vectors(*encoder_);
    ASSERT_FALSE(want_.empty());
  }
  void ExpectSame(const std::vector<std::vector<float>>& got) const {
    ASSERT_EQ(got.size(), want_.size());
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_THAT(got[i], testing::Pointwise(testing::FloatNear(1e-5), want_[i]));
  }
  std::unique_ptr<Encoder> encoder_;
  std::vector<std::vector<float>> want_;
};

TEST_F(LoadedEncoderTest, EncodesInsideAParallelRegionOfTheCaller) {
  std::vector<std::vector<float>> got[2];
  for (int levels : {1, 3}) {
    omp_set_max_active_levels(levels);
#pragma omp parallel for num_threads(2)
    for (int i = 0; i < 2; ++i) got[i] = Vectors(*encoder_);
    ExpectSame(got[0]);
    ExpectSame(got[1]);
    ExpectSame(Vectors(*encoder_));
  }
}

TEST_F(LoadedEncoderTest, EncodesAfterOtherCodeHasChangedTheTeamOfTheThread) {
  for (int size : {1, 2, 4}) {
    omp_set_num_threads(size);
    omp_set_dynamic(1);
    omp_set_max_active_levels(0);
    ExpectSame(Vectors(*encoder_));
  }
}

// A change between two layers is noticed: an error, not a vector.
TEST_F(LoadedEncoderTest, ATeamThatShrinksWithinAPass_IsAnError) {
  if (omp_get_max_threads() < 2) return;
  TokenBatch batch;
  batch.Add({.token_ids = Ids(encoder_->info(), encoder_->info().CutToLongest(200))});
  const EncodeControl control{.at_seam = [] { omp_set_max_active_levels(0); }};
  const auto results = encoder_->Encode(batch, std::vector<EncodeOptions>(1), control);
  EXPECT_EQ(results[0].status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(results[0].status().message()), HasSubstr("threads that products"));
  ExpectSame(Vectors(*encoder_));
}

TEST_F(LoadedEncoderTest, EncodesOnOneCore_WhereTheOthersAreTakenAwayWhileItServes) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++core)
    if (CPU_ISSET(core, &before)) CPU_SET(core, &one);
#pragma omp parallel
  sched_setaffinity(0, sizeof one, &one);
  ExpectSame(Vectors(*encoder_));
#pragma omp parallel
  sched_setaffinity(0, sizeof before, &before);
}

const char* UseName(SettingUse use) {
  switch (use) {
    case SettingUse::kHonoured:
      return "honoured";
    case SettingUse::kOverridden:
      return "overridden";
    case SettingUse::kRemoved:
      return "removed";
    case SettingUse::kNoEffect:
      return "no effect";
  }
  return "";
}

// A row of the table is "| `A`, `B` | honoured | ... |".
TEST(LibrarySettings, AreThoseOfTheDocument) {
  std::ifstream file(LONGSPAN_SOURCE_DIR "/docs/operations.md");
  std::string documented;
  bool in_section = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) in_section = line == "## Variables of the libraries";
    if (!in_section || !line.starts_with("| `")) continue;
    const size_t use = line.find(" | ") + 3;
    const std::string names = line.substr(0, use);
    for (size_t begin = 0; (begin = names.find('`', begin)) != std::string::npos;) {
      const size_t end = names.find('`', begin + 1);
      documented += names.substr(begin + 1, end - begin - 1) + " " +
                    line.substr(use, line.find(" |", use) - use) + "\n";
      begin = end + 1;
    }
  }
  std::string known;
  for (const LibrarySetting& setting : LibrarySettings())
    known += std::string(setting.name) + " " + UseName(setting.use) + "\n";
  EXPECT_EQ(documented, known);
}

}  // namespace
}  // namespace longspan
