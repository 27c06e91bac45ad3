// How long a search in a collection takes: 10,000 texts of 2,048 tokens of 384 values, a question
// of 16 tokens and 8 words, on the threads that are there.
//
//   kept_search_bench [TEXTS [REPETITIONS]]
//
// A line for each format: bytes a token, milliseconds of the fastest, the median and the slowest
// search. The texts are 64 different ones in memory of their own each; words follow Zipf's law.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "core/search/kept_search.h"
#include "tests/core/search/kept_samples.h"

namespace longspan {
namespace {

constexpr int64_t kWidth = 384, kTokens = 2048, kQuestionTokens = 16;
constexpr int kDifferent = 64, kVocabulary = 20000, kQuestionWords = 8;

uint64_t Stem(int64_t word) { return 0x9e3779b97f4a7c15ull * static_cast<uint64_t>(word + 1); }

// Of rank r with a probability of about 1 / r.
int64_t ZipfWord(std::mt19937& random) {
  const double u = std::uniform_real_distribution<double>()(random);
  return static_cast<int64_t>(std::pow(kVocabulary, u)) - 1;
}

SampleText Sample(std::mt19937& random) {
  SampleText text = MakeSampleText({kTokens}, kWidth, kCellTokens, random);
  for (KeptWord& word : text.words) word.stem = Stem(ZipfWord(random));
  return text;
}

void OnAllCores(int64_t parts, const std::function<void(int64_t)>& part) {
  std::atomic<int64_t> next{0};
  const auto work = [&] {
    for (int64_t i = next++; i < parts; i = next++) part(i);
  };
  std::vector<std::jthread> threads;
  for (unsigned i = 1; i < std::thread::hardware_concurrency(); ++i) threads.emplace_back(work);
  work();
}

void Measure(TokenFormat format, int64_t num_texts, int repetitions) {
  std::mt19937 random(7);
  std::vector<std::vector<std::byte>> different;
  for (int i = 0; i < kDifferent; ++i)
    different.push_back(PackText(Sample(random).Parts(format, kCellTokens)));
  std::vector<std::vector<std::byte>> texts;
  KeptIndex index(kWidth, kCellTokens);
  int64_t bytes = 0;
  for (int64_t i = 0; i < num_texts; ++i) {
    texts.push_back(different[i % kDifferent]);
    bytes += static_cast<int64_t>(texts.back().size());
    index.Add(KeptText::Parse(texts.back(), kWidth).value());
  }
  std::vector<double> milliseconds;
  for (int i = 0; i < repetitions; ++i) {
    const SampleText about = MakeSampleText({kQuestionTokens}, kWidth, kCellTokens, random);
    const LateQuestion rows(about.values.data(), kQuestionTokens, kWidth);
    KeptQuestion question{.rows = &rows};
    question.weights.assign(kQuestionTokens, 1.0f / kQuestionTokens);
    while (question.stems.size() < kQuestionWords) {
      const uint64_t stem = Stem(ZipfWord(random));
      if (std::find(question.stems.begin(), question.stems.end(), stem) == question.stems.end())
        question.stems.push_back(stem);
    }
    const auto begin = std::chrono::steady_clock::now();
    SearchKept(index, question, {}, OnAllCores);
    milliseconds.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
            .count());
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  std::printf("%s: %.0f bytes a token, %.1f ms (median %.1f, slowest %.1f)\n",
              format == TokenFormat::kInt8 ? "int8" : "2 bits",
              static_cast<double>(bytes) / static_cast<double>(num_texts * kTokens),
              milliseconds.front(), milliseconds[milliseconds.size() / 2], milliseconds.back());
}

}  // namespace
}  // namespace longspan

int main(int argc, char** argv) {
  const int64_t texts = argc > 1 ? std::atoll(argv[1]) : 10000;
  const int repetitions = argc > 2 ? std::atoi(argv[2]) : 20;
  for (const auto format : {longspan::TokenFormat::kTwoBit, longspan::TokenFormat::kInt8})
    longspan::Measure(format, texts, repetitions);
  return 0;
}
