// What backend_check found, section by section: printed row by row as it is found, and kept for the
// report in JSON.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <utility>

#include "nlohmann/json.hpp"

namespace longspan {

using ReportJson = nlohmann::ordered_json;

// One section. Rows are objects with "what" and "result": "passed", "failed", "measured" or
// "skipped".
class CheckSection {
 public:
  // `on_row` is called after each row.
  explicit CheckSection(std::string name, std::function<void(const CheckSection&)> on_row = {})
      : name_(std::move(name)), on_row_(std::move(on_row)) {}

  // Passes where got <= bound; NaN fails. `more` is added to the row.
  void Compare(const std::string& what, double got, double bound, const ReportJson& more = {});
  void Require(const std::string& what, bool passed, const std::string& why_not);
  // Figures without a bound; `line` is what people read of them.
  void Measured(const std::string& what, const std::string& line, const ReportJson& more);
  // What this device or build does not have. Does not count as failed.
  void Skip(const std::string& what, const std::string& why);
  // Rows that the time did not suffice for.
  void OutOfTime(const std::string& what);

  int num_failed() const { return failed_; }
  bool complete() const { return complete_; }
  // {"name", "status", "seconds", "passed", "failed", "rows"}. The status is "failed", "incomplete"
  // (the time was over) or "passed"; "running" where the section is not yet `over`, which is what
  // the report of a run that was ended says.
  ReportJson Json(bool over) const;

 private:
  void Add(const std::string& what, const std::string& result, const std::string& line,
           const ReportJson& more);

  const std::string name_;
  const std::function<void(const CheckSection&)> on_row_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  int passed_ = 0, failed_ = 0;
  bool complete_ = true;
  ReportJson rows_ = ReportJson::array();
};

}  // namespace longspan
