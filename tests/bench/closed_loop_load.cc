// closed_loop_load SERVER TEXTS TOKENS SECONDS: TEXTS callers at once, each sending one text of TOKENS ids and waiting for its
// answer before it sends the next. Prints "TOKENS_PER_SECOND P50_MS P99_MS". The open-loop load, for capacity with deadlines, is
// `longspan bench`; this one keeps a number of texts in the server, whatever its speed. The other half is concurrency.py.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "client/client.h"

namespace longspan {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

v1::EncodeRequest RequestOf(int64_t tokens, int64_t vocab_size, uint32_t seed) {
  std::minstd_rand random(seed);
  v1::EncodeRequest request;
  auto* ids = request.add_inputs()->mutable_token_ids();
  for (int64_t i = 0; i < tokens; ++i) ids->add_ids(static_cast<uint32_t>(3 + random() % (vocab_size - 3)));
  return request;
}

// The time of each answer of one caller that began after `warm` seconds and ended before `end`.
absl::StatusOr<std::vector<double>> Call(Client& client, const v1::EncodeRequest& request, Clock::time_point start, double warm,
                                         double end) {
  std::vector<double> times;
  for (;;) {
    const Clock::time_point begin = Clock::now();
    const auto answer = client.Encode(request, absl::Seconds(300));
    if (!answer.ok()) return answer.status();
    if (Seconds(start) > end) return times;
    if (std::chrono::duration<double>(begin - start).count() >= warm) times.push_back(Seconds(begin));
  }
}

int Run(const std::string& server, int64_t texts, int64_t tokens, double seconds) {
  const auto client = Client::Connect({.server = server});
  if (!client.ok()) return std::cerr << client.status() << "\n", 1;
  const auto info = (*client)->GetModelInfo(absl::Seconds(10));
  if (!info.ok()) return std::cerr << info.status() << "\n", 1;
  const double warm = seconds / 4;
  const Clock::time_point start = Clock::now();
  std::vector<absl::StatusOr<std::vector<double>>> times(texts, std::vector<double>());
  std::vector<std::thread> callers;
  for (int64_t i = 0; i < texts; ++i) {
    callers.emplace_back([&, i] {
      const auto request = RequestOf(tokens, static_cast<int64_t>(info->vocab_size()), static_cast<uint32_t>(i + 1));
      times[i] = Call(**client, request, start, warm, warm + seconds);
    });
  }
  for (std::thread& caller : callers) caller.join();
  std::vector<double> all;
  for (const auto& caller : times) {
    if (!caller.ok()) return std::cerr << caller.status() << "\n", 1;
    all.insert(all.end(), caller->begin(), caller->end());
  }
  if (all.empty()) return std::cerr << "no text was answered within " << seconds << " s; measure longer\n", 1;
  std::sort(all.begin(), all.end());
  std::cout << static_cast<double>(all.size()) * static_cast<double>(tokens) / seconds << " " << 1e3 * all[all.size() / 2] << " "
            << 1e3 * all[all.size() * 99 / 100] << std::endl;
  return 0;
}

}  // namespace
}  // namespace longspan

int main(int argc, char** argv) {
  int64_t texts = 0, tokens = 0;
  double seconds = 0;
  if (argc != 5 || !absl::SimpleAtoi(argv[2], &texts) || !absl::SimpleAtoi(argv[3], &tokens) ||
      !absl::SimpleAtod(argv[4], &seconds) || texts < 1 || tokens < 1 || !(seconds > 0)) {
    return std::cerr << "usage: closed_loop_load SERVER TEXTS TOKENS SECONDS\n", 2;
  }
  return longspan::Run(argv[1], texts, tokens, seconds);
}
