#include "tests/cuda/check_report.h"

#include <cstdio>

#include "absl/strings/str_format.h"

namespace longspan {

void CheckSection::Add(const std::string& what, const std::string& result, const std::string& line,
                       const ReportJson& more) {
  const char* const word = result == "passed"    ? "PASS"
                           : result == "failed"  ? "FAIL"
                           : result == "skipped" ? "SKIP"
                                                 : "    ";
  std::printf("%s %s: %s\n", word, what.c_str(), line.c_str());
  std::fflush(stdout);
  ReportJson row = {{"what", what}, {"result", result}};
  if (more.is_object()) row.update(more);
  rows_.push_back(std::move(row));
  if (on_row_) on_row_(*this);
}

void CheckSection::Compare(const std::string& what, double got, double bound,
                           const ReportJson& more) {
  const bool passed = got <= bound;  // not for NaN
  ++(passed ? passed_ : failed_);
  ReportJson row = {{"got", got}, {"bound", bound}};
  if (more.is_object()) row.update(more);
  Add(what, passed ? "passed" : "failed", absl::StrFormat("%.1e (at most %.1e)", got, bound), row);
}

void CheckSection::Require(const std::string& what, bool passed, const std::string& why_not) {
  ++(passed ? passed_ : failed_);
  Add(what, passed ? "passed" : "failed", passed ? "as it must be" : why_not,
      passed ? ReportJson() : ReportJson{{"why", why_not}});
}

void CheckSection::Measured(const std::string& what, const std::string& line,
                            const ReportJson& more) {
  Add(what, "measured", line, more);
}

void CheckSection::Skip(const std::string& what, const std::string& why) {
  Add(what, "skipped", why, {{"why", why}});
}

void CheckSection::OutOfTime(const std::string& what) {
  complete_ = false;
  Add(what, "skipped", "the time is over", {{"why", "the time is over"}});
}

ReportJson CheckSection::Json(bool over) const {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  return {{"name", name_},
          {"status", failed_ > 0 ? "failed"
                     : !over     ? "running"
                     : complete_ ? "passed"
                                 : "incomplete"},
          {"seconds", seconds},
          {"passed", passed_},
          {"failed", failed_},
          {"rows", rows_}};
}

}  // namespace longspan
