// closed_loop_load SERVER TEXTS TOKENS SECONDS
//
// Runs TEXTS callers at once. Each sends one text of TOKENS ids and waits for its answer before it
// sends the next, so the server holds a fixed number of texts, whatever its speed. Prints
// "TOKENS_PER_SECOND P50_MS P99_MS", for concurrency.py. The open-loop load, which finds the
// capacity with deadlines, is `longspan bench`.
#include <algorithm>
#include <barrier>
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

double Seconds(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

v1::EncodeRequest RequestOf(int64_t tokens, int64_t vocab_size, uint32_t seed) {
  std::minstd_rand random(seed);
  v1::EncodeRequest request;
  auto* ids = request.add_inputs()->mutable_token_ids();
  for (int64_t i = 0; i < tokens; ++i)
    ids->add_ids(static_cast<uint32_t>(3 + random() % (vocab_size - 3)));
  return request;
}

// How long the answers to one caller took, in seconds. A first request warms up and is not counted;
// then requests follow for `seconds` from the common start, at least two.
absl::StatusOr<std::vector<double>> Call(Client& client, const v1::EncodeRequest& request,
                                         std::barrier<>& start, double seconds) {
  constexpr absl::Duration kDeadline = absl::Seconds(300);
  absl::Status status = client.Encode(request, kDeadline).status();
  start.arrive_and_wait();
  const Clock::time_point begin = Clock::now();
  std::vector<double> times;
  while (status.ok() && (times.size() < 2 || Seconds(begin) < seconds)) {
    const Clock::time_point sent = Clock::now();
    status = client.Encode(request, kDeadline).status();
    times.push_back(Seconds(sent));
  }
  if (!status.ok()) return status;
  return times;
}

int Run(const std::string& server, int64_t texts, int64_t tokens, double seconds) {
  const auto client = Client::Connect({.server = server});
  if (!client.ok()) return std::cerr << client.status() << "\n", 1;
  const auto info = (*client)->GetModelInfo(absl::Seconds(10));
  if (!info.ok()) return std::cerr << info.status() << "\n", 1;
  std::barrier<> start(texts + 1);
  std::vector<absl::StatusOr<std::vector<double>>> times(texts, std::vector<double>());
  std::vector<std::thread> callers;
  for (int64_t i = 0; i < texts; ++i) {
    callers.emplace_back([&, i] {
      const auto request =
          RequestOf(tokens, static_cast<int64_t>(info->vocab_size()), static_cast<uint32_t>(i + 1));
      times[i] = Call(**client, request, start, seconds);
    });
  }
  start.arrive_and_wait();
  const Clock::time_point begin = Clock::now();
  for (std::thread& caller : callers) caller.join();
  const double elapsed = Seconds(begin);
  std::vector<double> all;
  for (const auto& caller : times) {
    if (!caller.ok()) return std::cerr << caller.status() << "\n", 1;
    all.insert(all.end(), caller->begin(), caller->end());
  }
  std::sort(all.begin(), all.end());
  std::cout << static_cast<double>(all.size()) * static_cast<double>(tokens) / elapsed << " "
            << 1e3 * all[all.size() / 2] << " " << 1e3 * all[all.size() * 99 / 100] << std::endl;
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
