#include "core/tokenizer/cut_rules.h"

#include <algorithm>
#include <cstdint>

namespace longspan {
namespace {

constexpr char32_t kNoCharacter = 0xFFFFFFFF;

struct Range {
  char32_t first, last;
};

// IsPlainLetter beyond ASCII, in order. Made from the Unicode character database, of these blocks:
// Latin, Greek, Cyrillic, Armenian, Hebrew, Arabic, Devanagari, Bengali, Gujarati, Tamil, Telugu,
// Kannada, Malayalam, Thai, Lao, Georgian, Ethiopic, kana, Bopomofo, ideographs of the first
// versions, Hangul syllables. A character is in it if it is Lu, Ll or Lo in Unicode 3.2 and in
// 14.0, has combining class 0, is its own NFC and NFKC form, and its NFKD form begins with a
// letter of class 0. TextChunksTest.PlainLetters looks at its edges.
constexpr Range kPlainLetters[] = {
    {0xC0, 0xD6},     {0xD8, 0xF6},     {0xF8, 0x131},     {0x134, 0x13E},   {0x141, 0x148},
    {0x14A, 0x17E},   {0x180, 0x1C3},   {0x1CD, 0x1F0},    {0x1F4, 0x220},   {0x222, 0x233},
    {0x250, 0x2AD},   {0x386, 0x386},   {0x388, 0x38A},    {0x38C, 0x38C},   {0x38E, 0x3A1},
    {0x3A3, 0x3CE},   {0x3D7, 0x3EF},   {0x3F3, 0x3F3},    {0x400, 0x481},   {0x48A, 0x4CE},
    {0x4D0, 0x4F5},   {0x4F8, 0x4F9},   {0x500, 0x50F},    {0x531, 0x556},   {0x561, 0x586},
    {0x5D0, 0x5EA},   {0x621, 0x63A},   {0x641, 0x64A},    {0x66E, 0x66F},   {0x671, 0x674},
    {0x679, 0x6D3},   {0x905, 0x939},   {0x985, 0x98C},    {0x98F, 0x990},   {0x993, 0x9A8},
    {0x9AA, 0x9B0},   {0x9B2, 0x9B2},   {0x9B6, 0x9B9},    {0xA85, 0xA8B},   {0xA8D, 0xA8D},
    {0xA8F, 0xA91},   {0xA93, 0xAA8},   {0xAAA, 0xAB0},    {0xAB2, 0xAB3},   {0xAB5, 0xAB9},
    {0xB85, 0xB8A},   {0xB8E, 0xB90},   {0xB92, 0xB95},    {0xB99, 0xB9A},   {0xB9C, 0xB9C},
    {0xB9E, 0xB9F},   {0xBA3, 0xBA4},   {0xBA8, 0xBAA},    {0xBAE, 0xBB5},   {0xBB7, 0xBB9},
    {0xC05, 0xC0C},   {0xC0E, 0xC10},   {0xC12, 0xC28},    {0xC2A, 0xC33},   {0xC35, 0xC39},
    {0xC85, 0xC8C},   {0xC8E, 0xC90},   {0xC92, 0xCA8},    {0xCAA, 0xCB3},   {0xCB5, 0xCB9},
    {0xD05, 0xD0C},   {0xD0E, 0xD10},   {0xD12, 0xD28},    {0xD2A, 0xD39},   {0xE01, 0xE30},
    {0xE81, 0xE82},   {0xE84, 0xE84},   {0xE87, 0xE88},    {0xE8A, 0xE8A},   {0xE8D, 0xE8D},
    {0xE94, 0xE97},   {0xE99, 0xE9F},   {0xEA1, 0xEA3},    {0xEA5, 0xEA5},   {0xEA7, 0xEA7},
    {0xEAA, 0xEAB},   {0xEAD, 0xEB0},   {0x10D0, 0x10F0},  {0x1200, 0x1206}, {0x1208, 0x1246},
    {0x1248, 0x1248}, {0x124A, 0x124D}, {0x1250, 0x1256},  {0x1258, 0x1258}, {0x125A, 0x125D},
    {0x1260, 0x1286}, {0x1288, 0x1288}, {0x128A, 0x128D},  {0x1290, 0x12AE}, {0x12B0, 0x12B0},
    {0x12B2, 0x12B5}, {0x12B8, 0x12BE}, {0x12C0, 0x12C0},  {0x12C2, 0x12C5}, {0x12C8, 0x12CE},
    {0x12D0, 0x12D6}, {0x12D8, 0x12EE}, {0x12F0, 0x130E},  {0x1310, 0x1310}, {0x1312, 0x1315},
    {0x1318, 0x131E}, {0x1320, 0x1346}, {0x1348, 0x135A},  {0x1E00, 0x1E99}, {0x1EA0, 0x1EF9},
    {0x1F00, 0x1F15}, {0x1F18, 0x1F1D}, {0x1F20, 0x1F45},  {0x1F48, 0x1F4D}, {0x1F50, 0x1F57},
    {0x1F59, 0x1F59}, {0x1F5B, 0x1F5B}, {0x1F5D, 0x1F5D},  {0x1F5F, 0x1F70}, {0x1F72, 0x1F72},
    {0x1F74, 0x1F74}, {0x1F76, 0x1F76}, {0x1F78, 0x1F78},  {0x1F7A, 0x1F7A}, {0x1F7C, 0x1F7C},
    {0x1F80, 0x1F87}, {0x1F90, 0x1F97}, {0x1FA0, 0x1FA7},  {0x1FB0, 0x1FB4}, {0x1FB6, 0x1FBA},
    {0x1FC2, 0x1FC4}, {0x1FC6, 0x1FC8}, {0x1FCA, 0x1FCA},  {0x1FD0, 0x1FD2}, {0x1FD6, 0x1FDA},
    {0x1FE0, 0x1FE2}, {0x1FE4, 0x1FEA}, {0x1FEC, 0x1FEC},  {0x1FF2, 0x1FF4}, {0x1FF6, 0x1FF8},
    {0x1FFA, 0x1FFA}, {0x3041, 0x3094}, {0x30A1, 0x30FA},  {0x3105, 0x312C}, {0x3400, 0x4DB5},
    {0x4E00, 0x9FA5}, {0xAC00, 0xD7A3}, {0x20000, 0x2A6D6}};

// Punctuation beyond ASCII that no normaliser changes into a blank, a letter or a digit, and that
// composes with nothing: dashes, quotation marks, the ellipsis, Arabic comma, semicolon and
// question mark, the danda, and the marks of Chinese and Japanese.
constexpr Range kWidePunctuation[] = {
    {0x60C, 0x60C},   {0x61B, 0x61B},   {0x61F, 0x61F},   {0x964, 0x964},   {0x2013, 0x2014},
    {0x2018, 0x2019}, {0x201C, 0x201D}, {0x2026, 0x2026}, {0x3001, 0x3002}, {0x3008, 0x3011},
    {0xFF01, 0xFF01}, {0xFF08, 0xFF09}, {0xFF0C, 0xFF0C}, {0xFF1A, 0xFF1B}, {0xFF1F, 0xFF1F}};

template <size_t kSize>
bool IsIn(const Range (&ranges)[kSize], char32_t c) {
  const Range* const behind =
      std::upper_bound(std::begin(ranges), std::end(ranges), c,
                       [](char32_t value, const Range& range) { return value < range.first; });
  return behind != std::begin(ranges) && c <= (behind - 1)->last;
}

bool IsAsciiLetter(char32_t c) { return c < 0x80 && (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
bool IsAsciiDigit(char32_t c) { return c >= '0' && c <= '9'; }
bool IsVisibleAscii(char32_t c) { return c > 0x20 && c < 0x7F; }
bool IsAsciiPunctuation(char32_t c) {
  return IsVisibleAscii(c) && !IsAsciiLetter(c) && !IsAsciiDigit(c);
}

// The ideographs among the plain letters: those that BertNormalizer puts blanks around.
bool IsIdeograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3400 && c <= 0x4DB5) ||
         (c >= 0x20000 && c <= 0x2A6D6);
}

// The characters that may stand beside a blank at which a text is cut.
bool IsPlain(char32_t c) {
  return IsVisibleAscii(c) || IsPlainLetter(c) || IsIn(kWidePunctuation, c);
}

// "=" and a solidus U+0338 behind it compose to one letterlike sign, and so do "<" and ">".
bool ComposesWithWhatFollows(char32_t c) { return c >= '<' && c <= '>'; }

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

// The character that begins at byte `at`; kNoCharacter at the end of the text and where there is no
// whole one.
char32_t CharacterAt(std::string_view text, size_t at) {
  if (at >= text.size()) return kNoCharacter;
  const auto first = static_cast<uint8_t>(text[at]);
  if (first < 0x80) return first;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC2 ? 2 : 0;
  if (length == 0 || text.size() - at < length) return kNoCharacter;
  char32_t c = first & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) {
    if (!IsContinuation(text[at + i])) return kNoCharacter;
    c = c << 6 | (static_cast<uint8_t>(text[at + i]) & 0x3F);
  }
  return c;
}

char32_t CharacterBefore(std::string_view text, size_t at) {
  size_t begin = at;
  do {
    if (begin == 0 || at - begin == 4) return kNoCharacter;
    --begin;
  } while (IsContinuation(text[begin]));
  return CharacterAt(text.substr(0, at), begin);
}

size_t LengthOf(char32_t c) { return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4; }

}  // namespace

bool IsPlainLetter(char32_t c) {
  return c < 0x80 ? IsAsciiLetter(c) : IsIdeograph(c) || IsIn(kPlainLetters, c);
}

bool CutRules::Allow(std::string_view text, size_t at) const {
  if (at == 0 || at >= text.size() || IsContinuation(text[at])) return false;
  const char32_t right = CharacterAt(text, at);
  // Most places lie between two ASCII letters.
  if (IsAsciiLetter(right) && IsAsciiLetter(static_cast<uint8_t>(text[at - 1]))) return false;
  const char32_t left = CharacterBefore(text, at);
  if (left == kNoCharacter || right == kNoCharacter) return false;
  const char32_t behind = CharacterAt(text, at + LengthOf(right));
  const bool fits = right == ' ' || right == '\n' || right == '\t'
                        ? AllowsBlank(left, right, behind)
                        : AllowsBorder(left, right, behind);
  return fits && !Forbids(left, right) &&
         (!prefixes || InThePieceOf(CharacterBefore(text, at - LengthOf(left))));
}

// Whether `left` is in one piece with the character `before` it: no normaliser removes that, no
// added token ends with it or takes it, and no pre-tokeniser in front of ByteLevel splits there.
bool CutRules::InThePieceOf(char32_t before) const {
  if (before == kNoCharacter || (before < 0x80 ? ends_token[before] : wide_ends_token))
    return false;
  if (letters) return IsPlainLetter(before);
  const bool is_blank = before == ' ' || before == '\n' || before == '\t';
  return IsPlain(before) || (is_blank && !any_rstrip);
}

bool CutRules::AllowsBlank(char32_t left, char32_t blank, char32_t right) const {
  if (!(blank == ' ' ? blanks : line_breaks)) return false;
  if (left < 0x80 && ends_rstrip[left]) return false;
  if (right < 0x80 && begins_lstrip[right]) return false;
  if (ascii_letters) return IsAsciiLetter(left) && IsAsciiLetter(right);
  if (letters) return IsPlainLetter(left) && IsPlainLetter(right);
  return IsPlain(left) && IsPlain(right);
}

bool CutRules::AllowsBorder(char32_t left, char32_t right, char32_t behind) const {
  if (ideographs && IsIdeograph(left) && IsIdeograph(right)) return true;
  if (!word_neighbours && (left == '_' || right == '_')) return false;
  if (bert_punctuation && IsVisibleAscii(left) && IsVisibleAscii(right) &&
      (IsAsciiPunctuation(left) || IsAsciiPunctuation(right))) {
    return !ComposesWithWhatFollows(right) || behind == ' ' || IsVisibleAscii(behind);
  }
  if (!symbols) return false;
  const auto is_symbol = [](char32_t c) {
    return IsAsciiPunctuation(c) || IsIn(kWidePunctuation, c);
  };
  const auto is_word = [](char32_t c) { return IsAsciiDigit(c) || IsPlainLetter(c); };
  if (!is_word(right)) return is_word(left) && is_symbol(right);
  if (!is_word(left)) return is_symbol(left) && left != '\'';
  return word_neighbours && IsAsciiDigit(left) != IsAsciiDigit(right);
}

bool CutRules::Forbids(char32_t left, char32_t right) const {
  if (left < 0x80 && right < 0x80) return ascii_pairs[left][right];
  return std::binary_search(wide_pairs.begin(), wide_pairs.end(), std::pair(left, right));
}

void CutRules::ForbidPair(char32_t left, char32_t right) {
  if (left < 0x80 && right < 0x80) {
    ascii_pairs[left].set(right);
  } else {
    wide_pairs.emplace_back(left, right);
  }
}

void CutRules::ForbidInside(std::string_view token) {
  char32_t left = kNoCharacter;
  for (size_t at = 0; at < token.size(); ++at) {
    if (IsContinuation(token[at])) continue;
    const char32_t right = CharacterAt(token, at);
    if (left != kNoCharacter && right != kNoCharacter) ForbidPair(left, right);
    left = right;
  }
}

void CutRules::Seal() {
  std::sort(wide_pairs.begin(), wide_pairs.end());
  wide_pairs.erase(std::unique(wide_pairs.begin(), wide_pairs.end()), wide_pairs.end());
}

}  // namespace longspan
