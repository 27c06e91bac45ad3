// What a Status carries beside its code and text: the field at fault, when to try again, a reason
// that a program can read.
//
// The details are payloads of absl::Status under names of our own, so that code without gRPC (the
// encoder, and the server's text, batching and engine) can attach them. server/wire/status.h turns
// them into google.rpc details and HTTP headers.
//
//   InvalidField("spans[2]", "is empty; allowed: 1 token or more")
//     INVALID_ARGUMENT "spans[2] is empty; allowed: 1 token or more", FieldOf: "spans[2]"
//   AtField(that status, "inputs[3]")
//     INVALID_ARGUMENT "inputs[3] spans[2] is empty; ...", FieldOf: "inputs[3]"
//
// It also holds the rule for messages that repeat what a stranger wrote: Quoted cuts it, so that no
// message, log line or trailer grows with a request.
//
// Free functions without state: thread safe.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace longspan {

// INVALID_ARGUMENT with the text "FIELD MESSAGE" and the field attached.
absl::Status InvalidField(std::string_view field, std::string_view message);

// Each returns the status with the detail attached, in place of an older one of its kind; an OK
// status stays as it is. AtField also puts the field in front of the text.
absl::Status AtField(const absl::Status& status, std::string_view field);
absl::Status WithRetryAfter(absl::Status status, absl::Duration delay);
absl::Status WithReason(absl::Status status, std::string_view reason);
// The input that is to blame, by its path in the request ("inputs[3]") and the id that its caller
// gave it. Nothing changes where the status names a field outside that input, as of the options.
absl::Status WithInput(absl::Status status, std::string_view path, std::string_view id);
// What the caller should know beside the text, such as the settings that made a deadline. A note
// that is there stays.
absl::Status WithNote(absl::Status status, std::string_view note);

// The details of a status; nullopt where it has none of the kind.
std::optional<std::string> FieldOf(const absl::Status& status);
std::optional<absl::Duration> RetryAfterOf(const absl::Status& status);
std::optional<std::string> ReasonOf(const absl::Status& status);

// The text of a status as its caller reads it: with the input, by path and id, and with the note.
// The text alone is what the log has, so that no log line holds an id.
//   inputs[3].text (id 'contract-17') has 900 tokens; this model takes at most 512
//   inputs[3] (id 'contract-17'): the deadline passed after 2s; <the note>
std::string MessageForCaller(const absl::Status& status);

// The reasons that exist. ErrorInfo carries them to the caller; they are the label of
// longspan_rejected_total{reason}, so this list is all that the label can be, beside the names of
// the codes.
inline constexpr std::string_view kReasonDeadlineUnreachable = "DEADLINE_UNREACHABLE";
inline constexpr std::string_view kReasonMemory = "MEMORY";  // does not fit in what is free now
// A limit refused. In lower case each is the limit's name in Limits of the contract, in
// longspan_limit{limit} and in the field `limit` of the log; with - for _ it is the setting, where
// the limit is one.
inline constexpr std::string_view kReasonMaxTokens = "MAX_TOKENS";
inline constexpr std::string_view kReasonMaxTextBytes = "MAX_TEXT_BYTES";
inline constexpr std::string_view kReasonMaxUncutBytes = "MAX_UNCUT_BYTES";
inline constexpr std::string_view kReasonMaxTextsPerRequest = "MAX_TEXTS_PER_REQUEST";
inline constexpr std::string_view kReasonMaxRequestBytes = "MAX_REQUEST_BYTES";
inline constexpr std::string_view kReasonMaxSpansPerText = "MAX_SPANS_PER_TEXT";
inline constexpr std::string_view kReasonMaxGlobalSpansPerText = "MAX_GLOBAL_SPANS_PER_TEXT";
inline constexpr std::string_view kReasonMaxGlobalTokens = "MAX_GLOBAL_TOKENS";
inline constexpr std::string_view kReasonMaxIdBytes = "MAX_ID_BYTES";
inline constexpr std::string_view kReasonMaxPromptNameBytes = "MAX_PROMPT_NAME_BYTES";
inline constexpr std::string_view kReasonMaxMetadataBytes = "MAX_METADATA_BYTES";
inline constexpr std::string_view kReasonMaxQueueTokens = "MAX_QUEUE_TOKENS";
inline constexpr std::string_view kReasonMaxQueueBytes = "MAX_QUEUE_BYTES";
inline constexpr std::string_view kReasonMaxQueueSeconds = "MAX_QUEUE_SECONDS";
inline constexpr std::string_view kReasonMaxTokenVectorBytes = "MAX_TOKEN_VECTOR_BYTES";
inline constexpr std::string_view kReasonMaxAnswerBytes = "MAX_ANSWER_BYTES";
inline constexpr std::string_view kReasonMaxReceivingBytes = "MAX_RECEIVING_BYTES";
inline constexpr std::string_view kReasonMaxCollections = "MAX_COLLECTIONS";
inline constexpr std::string_view kReasonMaxCollectionBytes = "MAX_COLLECTION_BYTES";
inline constexpr std::string_view kReasonMaxCollectionBytesPerKey = "MAX_COLLECTION_BYTES_PER_KEY";
// The limit that the caller set to its own answer, or gRPC to its messages.
inline constexpr std::string_view kReasonCallersMaxAnswerBytes = "CALLER_MAX_ANSWER_BYTES";
inline constexpr std::array kReasons = {kReasonDeadlineUnreachable,
                                        kReasonMemory,
                                        kReasonMaxTokens,
                                        kReasonMaxTextBytes,
                                        kReasonMaxTextsPerRequest,
                                        kReasonMaxRequestBytes,
                                        kReasonMaxSpansPerText,
                                        kReasonMaxGlobalSpansPerText,
                                        kReasonMaxGlobalTokens,
                                        kReasonMaxIdBytes,
                                        kReasonMaxPromptNameBytes,
                                        kReasonMaxMetadataBytes,
                                        kReasonMaxQueueTokens,
                                        kReasonMaxQueueBytes,
                                        kReasonMaxQueueSeconds,
                                        kReasonMaxTokenVectorBytes,
                                        kReasonMaxAnswerBytes,
                                        kReasonMaxReceivingBytes,
                                        kReasonMaxUncutBytes,
                                        kReasonCallersMaxAnswerBytes,
                                        kReasonMaxCollections,
                                        kReasonMaxCollectionBytes,
                                        kReasonMaxCollectionBytesPerKey};

// The name of the limit that refused: "max_queue_tokens"; empty where no limit did.
std::string LimitOf(const absl::Status& status);

// What a stranger wrote, as a message may repeat it: between single quotes, with control characters
// escaped, whole UTF-8 characters, and at most kMaxQuotedBytes of it. What is cut is told:
//   Quoted("query") = 'query'        Quoted(10 MB of x) = 'xxx...' (10485760 bytes)
inline constexpr size_t kMaxQuotedBytes = 64;
std::string Quoted(std::string_view text);
// Names that are allowed, quoted, with commas: at most ten of them and then how many more there
// are.
template <typename Names>
std::string QuotedNames(const Names& names) {
  constexpr size_t kMost = 10;
  std::string list;
  size_t count = 0;
  for (const auto& name : names) {
    if (++count <= kMost) list.append(count > 1 ? ", " : "").append(Quoted(name));
  }
  if (count > kMost) list.append(" and ").append(std::to_string(count - kMost)).append(" more");
  return list;
}

// The beginning of a text, at most `most` bytes of it, that ends between two UTF-8 characters.
std::string CutUtf8(std::string_view text, size_t most);

// A message as it leaves the process: at most kMaxStatusBytes, the last of them telling how long
// it was where it is cut. Everything that is quoted is short already; this is the net behind that
// rule.
inline constexpr size_t kMaxStatusBytes = 1024;
std::string ShortMessage(std::string_view message);

}  // namespace longspan
