#include "core/weights/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

constexpr char kEndOfHeader = '\0';

std::optional<StoredType> TypeOfName(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(StoredType::kBool); ++i) {
    if (StoredTypeName(static_cast<StoredType>(i)) == name) return static_cast<StoredType>(i);
  }
  return std::nullopt;
}

void AppendUtf8(uint32_t code, std::string* out) {
  const auto put = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6), put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12), put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18), put(0x80 | (code >> 12 & 0x3F)), put(0x80 | (code >> 6 & 0x3F)),
        put(0x80 | (code & 0x3F));
  }
}

// Whether a character of a string stands for itself: it is neither the string's end, nor the begin
// of an escape, nor a control character.
bool IsPlain(char c) { return c != '"' && c != '\\' && static_cast<unsigned char>(c) >= 0x20; }

// A name as an error shows it: at most 80 bytes, and printable.
std::string Shown(std::string_view text) {
  return absl::StrCat("\"", absl::CHexEscape({text.data(), std::min<size_t>(text.size(), 80)}),
                      text.size() > 80 ? "..." : "", "\"");
}

// Descends through the grammar with one method for each of its rules. The grammar is three levels
// deep, so nothing recurses. Each method returns false after the first error.
class HeaderScanner {
 public:
  explicit HeaderScanner(std::string_view json) : json_(json) {}

  absl::StatusOr<SafetensorsHeader> Scan() {
    SafetensorsHeader header;
    // No white space may stand in front: "{" as the first byte is the format's own mark.
    if ((json_.empty() || json_[0] != '{') ? Fail("expected '{'") : ScanEntries(&header)) {
      if (Next() == kEndOfHeader && at_ >= json_.size()) return header;
      Fail("expected nothing after the last '}'");
    }
    return absl::InvalidArgumentError(error_);
  }

 private:
  bool ScanEntries(SafetensorsHeader* header) {
    bool has_metadata = false;
    return ScanObject([&](std::string name) {
      if (name == "__metadata__") {
        if (has_metadata) return Fail("\"__metadata__\" stands twice");
        has_metadata = true;
        return ScanMetadata(&header->metadata);
      }
      if (static_cast<int64_t>(header->tensors.size()) >= kHeaderLimits.tensors) {
        return Fail(absl::StrCat("more than ", kHeaderLimits.tensors,
                                 " tensors; this reader takes at most that many"));
      }
      HeaderTensor& tensor = header->tensors.emplace_back();
      tensor.name = std::move(name);
      return ScanTensor(&tensor);
    });
  }

  bool ScanMetadata(std::map<std::string, std::string>* metadata) {
    return ScanObject([&](const std::string& key) {
      std::string value;
      if (!ScanString(&value)) return false;
      if (static_cast<int64_t>(metadata->size()) >= kHeaderLimits.tensors) {
        return Fail(absl::StrCat("more than ", kHeaderLimits.tensors, " entries of metadata"));
      }
      if (!metadata->emplace(key, std::move(value)).second) {
        return Fail(absl::StrCat("\"__metadata__\" holds ", Shown(key), " twice"));
      }
      return true;
    });
  }

  bool ScanTensor(HeaderTensor* tensor) {
    bool has_type = false, has_shape = false, has_offsets = false;
    const auto once = [&](bool* seen, const std::string& key) {
      return !std::exchange(*seen, true) ||
             Fail(absl::StrCat("tensor ", Shown(tensor->name), " has ", Shown(key), " twice"));
    };
    const bool ok = ScanObject([&](const std::string& key) {
      if (key == "dtype") return once(&has_type, key) && ScanType(tensor);
      if (key == "shape") return once(&has_shape, key) && ScanShape(tensor);
      if (key == "data_offsets") return once(&has_offsets, key) && ScanOffsets(tensor);
      return Fail(absl::StrCat("tensor ", Shown(tensor->name), " has an unknown field ", Shown(key),
                               "; the fields are dtype, shape, data_offsets"));
    });
    if (!ok) return false;
    if (!has_type || !has_shape || !has_offsets) {
      return Fail(absl::StrCat("tensor ", Shown(tensor->name), " lacks ",
                               !has_type    ? "dtype"
                               : !has_shape ? "shape"
                                            : "two data_offsets"));
    }
    return true;
  }

  bool ScanOffsets(HeaderTensor* tensor) {
    if (!ScanNumbers(2, &numbers_)) return false;
    if (numbers_.size() != 2)
      return Fail(absl::StrCat("tensor ", Shown(tensor->name), " lacks two data_offsets"));
    tensor->begin = numbers_[0];
    tensor->end = numbers_[1];
    return true;
  }

  bool ScanType(HeaderTensor* tensor) {
    std::string name;
    if (!ScanString(&name)) return false;
    const std::optional<StoredType> type = TypeOfName(name);
    if (!type.has_value()) {
      return Fail(
          absl::StrCat("tensor ", Shown(tensor->name), " has dtype ", Shown(name),
                       "; this reader knows F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL"));
    }
    tensor->type = *type;
    return true;
  }

  bool ScanShape(HeaderTensor* tensor) {
    std::vector<uint64_t>& sizes = numbers_;
    if (!ScanNumbers(kHeaderLimits.dimensions, &sizes)) return false;
    tensor->shape.reserve(sizes.size());
    for (const uint64_t size : sizes) {
      if (size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return Fail(absl::StrCat("tensor ", Shown(tensor->name), " has a dimension of ", size));
      }
      tensor->shape.push_back(static_cast<int64_t>(size));
    }
    return true;
  }

  // { key : value, ... }. `value` is called with each key and scans the value behind it.
  template <typename ScanValue>
  bool ScanObject(const ScanValue& value) {
    if (!Take('{')) return false;
    if (Next() == '}') return Take('}');
    while (true) {
      std::string key;
      if (!ScanString(&key) || !Take(':') || !value(std::move(key))) return false;
      if (Next() == '}') return Take('}');
      if (!Take(',')) return false;
    }
  }

  // [ n, ... ], at most `most` whole numbers.
  bool ScanNumbers(int64_t most, std::vector<uint64_t>* numbers) {
    numbers->clear();
    if (!Take('[')) return false;
    if (Next() == ']') return Take(']');
    while (true) {
      if (static_cast<int64_t>(numbers->size()) == most)
        return Fail(absl::StrCat("a list of more than ", most, " numbers"));
      if (!ScanNumber(&numbers->emplace_back())) return false;
      if (Next() == ']') return Take(']');
      if (!Take(',')) return false;
    }
  }

  bool ScanNumber(uint64_t* number) {
    const auto is_digit = [this] {
      return at_ < json_.size() && json_[at_] >= '0' && json_[at_] <= '9';
    };
    Next();
    const size_t first = at_;
    for (*number = 0; is_digit(); ++at_) {
      if (__builtin_mul_overflow(*number, 10U, number) ||
          __builtin_add_overflow(*number, static_cast<uint64_t>(json_[at_] - '0'), number)) {
        return Fail("a number over 2^64 - 1");
      }
      if (at_ == first + 1 && json_[first] == '0') return Fail("a number that begins with 0");
    }
    return at_ > first || Fail("expected a whole number, 0 or more");
  }

  bool ScanString(std::string* out) {
    if (!Take('"')) return false;
    const size_t first = at_;
    const size_t stop = std::min(json_.size(), first + kHeaderLimits.string_bytes + 1);
    while (at_ < json_.size() && json_[at_] != '"') {
      const size_t run = at_;
      while (at_ < stop && IsPlain(json_[at_])) ++at_;
      out->append(json_.substr(run, at_ - run));
      if (static_cast<int64_t>(at_ - first) > kHeaderLimits.string_bytes) {
        return Fail(absl::StrCat("a string of more than ", kHeaderLimits.string_bytes, " bytes"));
      }
      if (at_ >= json_.size() || json_[at_] == '"') break;
      if (json_[at_] != '\\') return Fail("a control character in a string");
      ++at_;
      if (!ScanEscape(out)) return false;
    }
    string_bytes_ += static_cast<int64_t>(at_ - first);
    if (string_bytes_ > kHeaderLimits.total_string_bytes) {
      return Fail(absl::StrCat("names and metadata of more than ", kHeaderLimits.total_string_bytes,
                               " bytes"));
    }
    if (!IsUtf8(*out)) return Fail("a string that is not UTF-8");
    if (at_ >= json_.size()) return Fail("a string without its end");
    ++at_;
    return true;
  }

  bool ScanEscape(std::string* out) {
    static constexpr std::string_view kNames = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    const char name = at_ < json_.size() ? json_[at_++] : kEndOfHeader;
    if (const size_t i = kNames.find(name); i != std::string_view::npos) {
      out->push_back(kMeanings[i]);
      return true;
    }
    uint32_t code = 0, low = 0;
    if (name != 'u' || !ScanHex4(&code)) return Fail("an unknown escape in a string");
    if (code >= 0xD800 && code < 0xDC00) {  // the first half of a surrogate pair
      if (json_.substr(at_, 2) != "\\u") return Fail("half a surrogate pair in a string");
      at_ += 2;
      if (!ScanHex4(&low) || low < 0xDC00 || low > 0xDFFF)
        return Fail("half a surrogate pair in a string");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    AppendUtf8(code, out);  // of a second half alone, these are bytes that IsUtf8 refuses
    return true;
  }

  bool ScanHex4(uint32_t* code) {
    for (int i = 0; i < 4; ++i, ++at_) {
      static constexpr std::string_view kDigits = "0123456789abcdef";
      const char lower = at_ < json_.size() ? static_cast<char>(json_[at_] | 0x20) : kEndOfHeader;
      const size_t digit = kDigits.find(lower);
      if (digit == std::string_view::npos || (json_[at_] < '0')) return false;
      *code = *code << 4 | static_cast<uint32_t>(digit);
    }
    return true;
  }

  // The next character that is not white space, without taking it; kEndOfHeader at the end.
  char Next() {
    while (at_ < json_.size() &&
           (json_[at_] == ' ' || json_[at_] == '\n' || json_[at_] == '\r' || json_[at_] == '\t')) {
      if (++white_space_bytes_ > kHeaderLimits.white_space_bytes) {
        Fail(absl::StrCat("more than ", kHeaderLimits.white_space_bytes, " bytes of white space"));
        return kEndOfHeader;
      }
      ++at_;
    }
    return at_ < json_.size() ? json_[at_] : kEndOfHeader;
  }

  bool Take(char c) {
    if (Next() != c) return Fail(absl::StrCat("expected '", absl::string_view(&c, 1), "'"));
    ++at_;
    return true;
  }

  bool Fail(absl::string_view what) {
    if (!error_.empty()) return false;
    const std::string got = at_ < json_.size()
                                ? absl::StrCat("near '", absl::CHexEscape({&json_[at_], 1}), "'")
                                : "at the end";
    error_ = absl::StrCat("bad header at byte ", at_, " ", got, ": ", what);
    return false;
  }

  std::string_view json_;
  size_t at_ = 0;
  int64_t white_space_bytes_ = 0;
  int64_t string_bytes_ = 0;
  std::vector<uint64_t> numbers_;  // of the last list; a member, so that its memory is used again
  std::string error_;
};

}  // namespace

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t k) {
      return k < text.size() ? static_cast<unsigned char>(text[k]) : 0U;
    };
    const uint32_t lead = byte(i);
    const int length = lead < 0x80                   ? 1
                       : lead >= 0xC2 && lead < 0xE0 ? 2
                       : lead >= 0xE0 && lead < 0xF0 ? 3
                       : lead >= 0xF0 && lead < 0xF5 ? 4
                                                     : 0;
    if (length == 0) return false;
    for (int k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xC0) != 0x80) return false;
    }
    const uint32_t second = byte(i + 1);
    // Three bytes for what fits in two, or a surrogate.
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return false;
    // Four bytes for what fits in three, or a number beyond U+10FFFF.
    if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return false;
    i += length;
  }
  return true;
}

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view json) {
  return HeaderScanner(json).Scan();
}

}  // namespace longspan
