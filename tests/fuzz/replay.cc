// Runs a fuzz target without libFuzzer, so that its corpus is a test of every build:
//
//   NAME_replay CORPUS_DIR [MUTATIONS]
//
// It runs each file of the corpus as it is and then MUTATIONS seeded mutations of it: bytes
// changed, cut out or doubled, numbers enlarged, two files crossed. The seed is fixed, so the
// inputs are the same on every machine.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size);

namespace {

using Input = std::string;

void Run(const Input& input) {
  // A copy on the heap of exactly the input's size, so that a sanitizer sees a read behind it.
  const std::vector<uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

Input Mutate(Input input, const Input& other, std::mt19937* random) {
  const auto below = [&](size_t n) { return n == 0 ? 0 : (*random)() % n; };
  for (size_t changes = 1 + below(4); changes > 0; --changes) {
    const size_t at = below(input.size());
    const size_t length = below(std::min<size_t>(input.size() - at, 64) + 1);
    switch (below(6)) {
      case 0:
        if (!input.empty()) input[at] = static_cast<char>((*random)());
        break;
      case 1:
        input.erase(at, length);
        break;
      case 2:
        input.append(input.substr(at, length));
        break;
      case 3:
        input.insert(at, std::to_string((*random)()));
        break;
      case 4:
        input.insert(at, 1, "{}[]\",:\\0-"[below(10)]);
        break;
      case 5:
        input.replace(at, Input::npos, other, below(other.size() + 1), Input::npos);
        break;
    }
  }
  return input;
}

std::vector<Input> ReadCorpus(const char* folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<Input> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: %s CORPUS_DIR [MUTATIONS]\n", argv[0]), 2;
  const std::vector<Input> corpus = ReadCorpus(argv[1]);
  const int mutations = argc > 2 ? std::atoi(argv[2]) : 500;
  if (corpus.empty()) return std::fprintf(stderr, "%s holds no corpus\n", argv[1]), 1;
  std::mt19937 random(20260101);
  for (const Input& input : corpus) {
    Run(input);
    for (int i = 0; i < mutations; ++i)
      Run(Mutate(input, corpus[random() % corpus.size()], &random));
  }
  std::printf("%zu inputs, %d mutations of each\n", corpus.size(), mutations);
  return 0;
}
