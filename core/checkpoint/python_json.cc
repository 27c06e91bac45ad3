#include "core/checkpoint/python_json.h"

#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

using nlohmann::json;

// In this Abseil, absl::string_view is a type of its own.
absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// A recursive descent over the text. Each Read function begins at a value's first byte and ends
// behind its last one. The first error stays; `at_` then lies where it was found.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  absl::StatusOr<json> Parse() {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
    SkipSpace();
    json value = ReadValue(0);
    SkipSpace();
    if (ok() && at_ != text_.size()) Fail("more text behind the value");
    if (!ok()) return absl::InvalidArgumentError(error_);
    return value;
  }

 private:
  bool ok() const { return error_.empty(); }
  void Fail(std::string_view what) {
    if (ok()) error_ = absl::StrCat("not valid JSON at byte ", at_ + 1, ": ", Absl(what));
  }
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool Take(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  void SkipSpace() {
    while (at_ < text_.size() &&
           std::string_view(" \t\n\r").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }

  json ReadValue(int depth) {
    const bool opens = Peek() == '{' || Peek() == '[';
    if (opens && depth >= kMaxJsonDepth) {
      Fail(absl::StrCat("nested deeper than ", kMaxJsonDepth, " levels"));
      return nullptr;
    }
    if (Peek() == '{') return ReadObject(depth);
    if (Peek() == '[') return ReadArray(depth);
    if (Peek() == '"') return ReadString();
    if (Take("null")) return nullptr;
    if (Take("true")) return true;
    if (Take("false")) return false;
    if (Take("NaN")) return std::nan("");
    if (Take("Infinity")) return HUGE_VAL;
    if (Take("-Infinity")) return -HUGE_VAL;
    return ReadNumber();
  }

  json ReadObject(int depth) {
    json object = json::object();
    ++at_;
    SkipSpace();
    if (Take("}")) return object;
    while (ok()) {
      if (Peek() != '"') Fail("a key in double quotes is missing");
      if (!ok()) break;
      const std::string key = ReadString();
      SkipSpace();
      if (ok() && !Take(":")) Fail("a colon is missing");
      SkipSpace();
      if (ok()) object[key] = ReadValue(depth + 1);
      if (EndsAfterItem('}')) break;
    }
    return object;
  }

  json ReadArray(int depth) {
    json array = json::array();
    ++at_;
    SkipSpace();
    if (Take("]")) return array;
    while (ok()) {
      array.push_back(ReadValue(depth + 1));
      if (EndsAfterItem(']')) break;
    }
    return array;
  }

  // Behind an item of an object or array: whether the closing bracket stands there. Else a comma
  // must.
  bool EndsAfterItem(char bracket) {
    SkipSpace();
    if (!ok() || Take(std::string_view(&bracket, 1))) return true;
    if (!Take(",")) Fail("a comma or a closing bracket is missing");
    SkipSpace();
    return false;
  }

  json ReadNumber() {
    const size_t begin = at_;
    bool whole = true;
    if (Peek() == '-') ++at_;
    if (!IsDigit(Peek())) {
      Fail("no value stands here");
      return nullptr;
    }
    if (!Take("0")) SkipDigits();
    if (Peek() == '.' && at_ + 1 < text_.size() && IsDigit(text_[at_ + 1])) {
      whole = false;
      ++at_;
      SkipDigits();
    }
    if (const size_t digits = ExponentDigits(); digits > 0) {
      whole = false;
      at_ = digits;
      SkipDigits();
    }
    return Number(text_.substr(begin, at_ - begin), whole);
  }

  void SkipDigits() {
    while (IsDigit(Peek())) ++at_;
  }
  // Where the digits of an exponent begin that stands here; 0 where none does.
  size_t ExponentDigits() const {
    size_t i = at_;
    if (Peek() != 'e' && Peek() != 'E') return 0;
    ++i;
    if (i < text_.size() && (text_[i] == '+' || text_[i] == '-')) ++i;
    return i < text_.size() && IsDigit(text_[i]) ? i : 0;
  }

  static json Number(std::string_view digits, bool whole) {
    uint64_t positive = 0;
    int64_t any = 0;
    if (whole && digits[0] != '-' && absl::SimpleAtoi(Absl(digits), &positive)) return positive;
    if (whole && digits[0] == '-' && absl::SimpleAtoi(Absl(digits), &any)) return any;
    double value = 0;  // too large: an infinity; too small: zero
    if (!absl::SimpleAtod(Absl(digits), &value)) return nullptr;  // never: the digits were checked
    return value;
  }

  std::string ReadString() {
    std::string out;
    ++at_;
    while (ok()) {
      const char c = Peek();
      if (at_ >= text_.size()) Fail("the text ends in a string");
      if (!ok() || Take("\"")) break;
      if (static_cast<unsigned char>(c) < 0x20) {
        Fail("a control character stands in a string");
      } else if (c == '\\') {
        ReadEscape(&out);
      } else if (static_cast<unsigned char>(c) < 0x80) {
        out += c;
        ++at_;
      } else {
        ReadUtf8(&out);
      }
    }
    return out;
  }

  void ReadEscape(std::string* out) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    const char name = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (const size_t i = kNames.find(name); name != '\0' && i != std::string_view::npos) {
      *out += kMeanings[i];
      at_ += 2;
      return;
    }
    std::optional<uint32_t> unit = CodeUnit(at_);
    if (!unit.has_value()) return Fail("an unknown escape stands in a string");
    size_t length = 6;
    if (*unit >= 0xD800 && *unit < 0xDC00) {
      const std::optional<uint32_t> low = CodeUnit(at_ + 6);
      if (low.has_value() && *low >= 0xDC00 && *low < 0xE000) {
        unit = 0x10000 + ((*unit - 0xD800) << 10) + (*low - 0xDC00);
        length = 12;
      }
    }
    if (*unit >= 0xD800 && *unit < 0xE000)
      return Fail("half of a surrogate pair stands in a string");
    AppendUtf8(*unit, out);
    at_ += length;
  }

  // The UTF-16 code unit of the escape at `at`: a backslash, u and four hexadecimal digits.
  std::optional<uint32_t> CodeUnit(size_t at) const {
    if (text_.size() < at + 6 || text_[at] != '\\' || text_[at + 1] != 'u') return std::nullopt;
    uint32_t unit = 0;
    for (size_t i = at + 2; i < at + 6; ++i) {
      const char c = text_[i];
      const bool letter = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
      if (!IsDigit(c) && !letter) return std::nullopt;
      unit = 16 * unit + (IsDigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return unit;
  }

  static void AppendUtf8(uint32_t point, std::string* out) {
    if (point < 0x80) {
      *out += static_cast<char>(point);
    } else if (point < 0x800) {
      *out += static_cast<char>(0xC0 | point >> 6);
    } else if (point < 0x10000) {
      *out += static_cast<char>(0xE0 | point >> 12);
    } else {
      *out += static_cast<char>(0xF0 | point >> 18);
      *out += static_cast<char>(0x80 | (point >> 12 & 0x3F));
    }
    if (point >= 0x800) *out += static_cast<char>(0x80 | (point >> 6 & 0x3F));
    if (point >= 0x80) *out += static_cast<char>(0x80 | (point & 0x3F));
  }

  // A character of two to four bytes: copied where it is well-formed (Unicode, table 3-7).
  void ReadUtf8(std::string* out) {
    const auto byte = [this](size_t i) -> unsigned {
      return at_ + i < text_.size() ? static_cast<unsigned char>(text_[at_ + i]) : 0;
    };
    const unsigned first = byte(0);
    const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    unsigned low = 0x80, high = 0xBF;  // of the second byte
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
    bool good = first >= 0xC2 && first <= 0xF4 && byte(1) >= low && byte(1) <= high;
    for (size_t i = 2; i < length; ++i) good = good && byte(i) >= 0x80 && byte(i) <= 0xBF;
    if (!good) return Fail("bytes that are not UTF-8 stand in a string");
    out->append(text_.substr(at_, length));
    at_ += length;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string error_;
};

bool IsNonFinite(const json& value) {
  return value.is_number_float() && !std::isfinite(value.get<double>());
}

// A copy in which NaN and infinities are strings.
json WithNames(const json& value) {
  if (IsNonFinite(value)) return PythonJsonText(value);
  json copy = value;
  if (value.is_structured()) {
    for (json& item : copy) item = WithNames(item);
  }
  return copy;
}

}  // namespace

absl::StatusOr<json> ParsePythonJson(std::string_view text) { return Parser(text).Parse(); }

std::string PythonJsonText(const json& value) {
  if (IsNonFinite(value)) {
    const double number = value.get<double>();
    return std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
  }
  return WithNames(value).dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace longspan
