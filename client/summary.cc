#include "client/summary.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace longspan {
namespace {

constexpr int kHeadValues = 8;  // values of the vector that are shown: as many as one line holds

double Milliseconds(uint64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-6; }

}  // namespace

std::string VectorHead(const v1::Vector& vector, int most_values) {
  std::string head;
  for (int i = 0; i < std::min(vector.values_size(), most_values); ++i)
    absl::StrAppendFormat(&head, "%s%.6f", i > 0 ? ", " : "", vector.values(i));
  return absl::StrCat("[", head, vector.values_size() > most_values ? ", ...]" : "]");
}

std::string JoinLines(const std::string& text, size_t max_bytes, std::vector<size_t>* from) {
  std::string line;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    if (space && (line.empty() || line.back() == ' ')) continue;
    line += space ? ' ' : c;
    if (from != nullptr) from->push_back(at);
  }
  if (line.size() <= max_bytes) return line;
  size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) --end;
  if (from != nullptr) from->resize(end);
  return line.substr(0, end) + "...";
}

std::string SummaryText(const std::string& text, const v1::EncodeResponse& response,
                        absl::Duration wall) {
  const v1::Encoding& encoding = response.encodings(0);
  const v1::Timings& timings = response.timings();
  const double compute_seconds = static_cast<double>(timings.compute_ns()) * 1e-9;
  const double used = static_cast<double>(encoding.tokens_used());
  std::string out = absl::StrFormat(
      "%d tokens read of %d (%d bytes), %s\n", encoding.tokens_used(), encoding.tokens_total(),
      text.size(), encoding.truncated() ? "TRUNCATED" : "nothing truncated, one pass");
  if (encoding.has_vector())
    absl::StrAppendFormat(&out, "vector   %d values %s\n", encoding.vector().dimensions(),
                          VectorHead(encoding.vector(), kHeadValues));
  if (encoding.spans_size() > 0)
    absl::StrAppendFormat(&out, "spans    %d vectors, each seeing the whole text\n",
                          encoding.spans_size());
  absl::StrAppendFormat(&out,
                        "time     tokenize %.1f ms, queue %.1f ms, compute %.1f ms, total %.1f ms "
                        "(with the network %.1f ms)\n",
                        Milliseconds(timings.tokenize_ns()), Milliseconds(timings.queue_ns()),
                        Milliseconds(timings.compute_ns()), Milliseconds(timings.total_ns()),
                        absl::ToDoubleMilliseconds(wall));
  if (compute_seconds > 0)
    absl::StrAppendFormat(&out, "speed    %.0f tokens/s\n", used / compute_seconds);
  // Dense BERT models have 512 positions; servers built on them read no further.
  constexpr uint64_t kUsualLimit = 512;
  if (encoding.tokens_total() > kUsualLimit)
    absl::StrAppendFormat(&out,
                          "a server that truncates at 512 tokens would have read %.1f %% of this "
                          "text (512 tokens), and not said so\n",
                          100.0 * kUsualLimit / static_cast<double>(encoding.tokens_total()));
  return out;
}

}  // namespace longspan
