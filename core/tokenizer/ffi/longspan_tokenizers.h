/* The C ABI of the tokenizers crate (src/lib.rs), written by hand; the two files change together.
 *
 * A function that can fail returns a status, and none unwinds: a panic of the crate becomes
 * LONGSPAN_TOKENIZERS_BUG. On failure the reason is written to `message`, always NUL-terminated and
 * cut at its capacity. Results go to memory of the caller. There are no globals.
 *
 * Thread safety: functions that take a `const` tokenizer may run in many threads at once. */
#ifndef LONGSPAN_TOKENIZERS_H_
#define LONGSPAN_TOKENIZERS_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  LONGSPAN_TOKENIZERS_OK = 0,
  LONGSPAN_TOKENIZERS_INVALID = 1, /* the arguments or the file cannot be used */
  LONGSPAN_TOKENIZERS_BUG = 2      /* a panic inside the crate */
};

typedef struct longspan_tokenizers_tokenizer longspan_tokenizers_tokenizer;
typedef struct longspan_tokenizers_encoding longspan_tokenizers_encoding;

typedef struct {
  char* text;
  size_t capacity; /* bytes, the terminating NUL included; 0 = no message wanted */
} longspan_tokenizers_message;

/* Arrays of the caller, each with longspan_tokenizers_encoding_size() entries. The arrays of ranges
 * have twice as many: begin and end by turns. */
typedef struct {
  int32_t* ids;
  int32_t* types;      /* token type ids, as the post-processor sets them; may be NULL */
  uint8_t* special;    /* 1 = added by the post-processor */
  int64_t* bytes;      /* half-open ranges of the input, in bytes */
  int64_t* characters; /* half-open ranges of the input, in code points */
} longspan_tokenizers_tokens;

/* Reads a tokenizer.json. Truncation and padding that are stored there are switched off, and so is
 * BPE dropout. Without a recipe (recipe_length 0) the tokenizer is what the file says. With one, only
 * vocabulary, merges and post-processor are the file's: the recipe is a JSON object with "model",
 * "normalizer", "pre_tokenizer" and "decoder" (src/rebuild.rs), and there are no added tokens. */
int32_t longspan_tokenizers_load(const char* json, size_t length, const char* recipe,
                                 size_t recipe_length, longspan_tokenizers_tokenizer** tokenizer,
                                 longspan_tokenizers_message message);
/* The next four complete a tokenizer before its first text; no other call may run meanwhile.
 *
 * Adds the tokens of a JSON list, each an object with content, single_word, lstrip, rstrip,
 * normalized and special. A token that the vocabulary has keeps its id. */
int32_t longspan_tokenizers_add_tokens(longspan_tokenizers_tokenizer* tokenizer, const char* json,
                                       size_t length, longspan_tokenizers_message message);
/* Takes a "post_processor" as in a tokenizer.json instead of the present one. */
int32_t longspan_tokenizers_set_post_processor(longspan_tokenizers_tokenizer* tokenizer,
                                               const char* json, size_t length,
                                               longspan_tokenizers_message message);
/* Puts a normaliser that makes lower case in front of the present one. */
int32_t longspan_tokenizers_lowercase_first(longspan_tokenizers_tokenizer* tokenizer,
                                            longspan_tokenizers_message message);
/* From here on the names of special tokens in a text are text like any other. */
void longspan_tokenizers_split_special_tokens(longspan_tokenizers_tokenizer* tokenizer);
void longspan_tokenizers_free(longspan_tokenizers_tokenizer* tokenizer);

/* The text must be UTF-8; the message names the first byte that is not. */
int32_t longspan_tokenizers_encode(const longspan_tokenizers_tokenizer* tokenizer, const char* text,
                                   size_t length, int32_t add_special_tokens,
                                   longspan_tokenizers_encoding** encoding,
                                   longspan_tokenizers_message message);
/* What the post-processor makes of a text of one token with id 0: that token (special = 0) among
 * the tokens that it puts around a text. */
int32_t longspan_tokenizers_frame(const longspan_tokenizers_tokenizer* tokenizer,
                                  longspan_tokenizers_encoding** encoding,
                                  longspan_tokenizers_message message);
size_t longspan_tokenizers_encoding_size(const longspan_tokenizers_encoding* encoding);
void longspan_tokenizers_encoding_copy(const longspan_tokenizers_encoding* encoding,
                                       longspan_tokenizers_tokens tokens);
void longspan_tokenizers_encoding_free(longspan_tokenizers_encoding* encoding);

/* Writes the text of the ids, without a NUL, if it fits in `capacity` bytes, and its length in any
 * case. */
int32_t longspan_tokenizers_decode(const longspan_tokenizers_tokenizer* tokenizer,
                                   const int32_t* ids, size_t count, int32_t skip_special_tokens,
                                   char* text, size_t capacity, size_t* length,
                                   longspan_tokenizers_message message);
/* The vocabulary's text of one id, under the same rule. INVALID where no token has this id. */
int32_t longspan_tokenizers_token_text(const longspan_tokenizers_tokenizer* tokenizer, int32_t id,
                                       char* text, size_t capacity, size_t* length,
                                       longspan_tokenizers_message message);
/* The id of a token's text, -1 where the vocabulary has none. */
int32_t longspan_tokenizers_token_id(const longspan_tokenizers_tokenizer* tokenizer,
                                     const char* text, size_t length, int32_t* id,
                                     longspan_tokenizers_message message);
/* Number of tokens, added ones included. */
int32_t longspan_tokenizers_vocab_size(const longspan_tokenizers_tokenizer* tokenizer, size_t* size,
                                       longspan_tokenizers_message message);

#ifdef __cplusplus
}
#endif

#endif /* LONGSPAN_TOKENIZERS_H_ */
