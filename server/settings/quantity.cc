#include "server/settings/quantity.h"

#include <array>
#include <limits>
#include <optional>

#include "absl/numeric/int128.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

struct Suffix {
  std::string_view name;
  int64_t factor;
};

// Without B. The empty one is that of a plain number.
constexpr std::array<Suffix, 9> kSuffixes = {{{"", 1},
                                              {"k", 1'000},
                                              {"M", 1'000'000},
                                              {"G", 1'000'000'000},
                                              {"T", 1'000'000'000'000},
                                              {"Ki", int64_t{1} << 10},
                                              {"Mi", int64_t{1} << 20},
                                              {"Gi", int64_t{1} << 30},
                                              {"Ti", int64_t{1} << 40}}};

std::optional<int64_t> FactorOf(std::string_view suffix, Counted counted) {
  if (counted == Counted::kBytes && !suffix.empty() && suffix.back() == 'B') {
    suffix.remove_suffix(1);
    if (suffix == "K") suffix = "k";  // KB is written as often as kB
  }
  for (const Suffix& known : kSuffixes) {
    if (suffix == known.name) return known.factor;
  }
  return std::nullopt;
}

absl::Status TooMuch() { return absl::InvalidArgumentError(absl::StrCat("more than ", kMost)); }

// `digits` times `factor`, added to *sum; false where that does not fit.
bool AddProduct(std::string_view digits, int64_t factor, int64_t* sum) {
  int64_t number = 0;
  for (const char digit : digits) {
    if (__builtin_mul_overflow(number, 10, &number) ||
        __builtin_add_overflow(number, digit - '0', &number))
      return false;
  }
  return !__builtin_mul_overflow(number, factor, &number) &&
         !__builtin_add_overflow(*sum, number, sum);
}

}  // namespace

absl::StatusOr<int64_t> ParseQuantity(std::string_view text, Counted counted) {
  const auto digits_from = [&](size_t at) {
    size_t end = at;
    while (end < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[end]))) ++end;
    return text.substr(at, end - at);
  };
  const std::string_view whole = digits_from(0);
  if (whole.empty()) return absl::InvalidArgumentError("no number at its beginning");
  size_t at = whole.size();
  std::string_view fraction;
  if (at < text.size() && text[at] == '.') {
    fraction = digits_from(at + 1);
    if (fraction.empty()) return absl::InvalidArgumentError("no digit behind the point");
    at += 1 + fraction.size();
  }
  const std::string_view suffix = text.substr(at);
  const std::optional<int64_t> factor = FactorOf(suffix, counted);
  if (!factor.has_value())
    return absl::InvalidArgumentError(absl::StrCat("unknown suffix ", Quoted(suffix)));
  int64_t value = 0;
  if (!AddProduct(whole, *factor, &value)) return TooMuch();
  while (!fraction.empty() && fraction.back() == '0') fraction.remove_suffix(1);
  if (fraction.empty()) return value;
  // 0.ddd times the factor is whole where 10^n divides ddd * factor.
  if (fraction.size() > 18) return absl::InvalidArgumentError("too many digits behind the point");
  absl::uint128 product = 0;
  uint64_t divisor = 1;
  for (const char digit : fraction) {
    product = product * 10 + static_cast<uint64_t>(digit - '0');
    divisor *= 10;
  }
  product *= static_cast<uint64_t>(*factor);
  if (product % divisor != 0)
    return absl::InvalidArgumentError(counted == Counted::kBytes ? "a fraction of a byte"
                                                                 : "not a whole number");
  const auto part = static_cast<int64_t>(product / divisor);  // below the factor
  if (__builtin_add_overflow(value, part, &value)) return TooMuch();
  return value;
}

std::string FormatQuantity(int64_t value, Counted counted) {
  constexpr std::array<std::string_view, 4> kBinary = {"Ki", "Mi", "Gi", "Ti"};
  const bool bytes = counted == Counted::kBytes;
  for (int power = 4; power >= (bytes ? 1 : 2); --power) {
    const int64_t factor = int64_t{1} << (10 * power);
    if (value == 0 || value % factor != 0) continue;
    const std::string_view name = kBinary[power - 1];
    return absl::StrCat(value / factor, std::string(name), bytes ? "B" : "");
  }
  return absl::StrCat(value);
}

std::string_view QuantityForms(Counted counted) {
  return counted == Counted::kBytes
             ? "bytes, as 8388608, 8MiB, 8Mi or 8.5M (k, M, G, T times 1000; Ki, Mi, Gi, Ti times "
               "1024; B may follow)"
             : "a whole number, as 16384, 16Ki or 16k (k, M, G, T times 1000; Ki, Mi, Gi, Ti times "
               "1024)";
}

}  // namespace longspan
