//! WordPiece with candidates no longer than the vocabulary's longest piece.
//!
//! The rule: a word's next token is its longest prefix in the vocabulary. The crate tries every
//! prefix from the whole word down, and it copies and hashes each: a word of 100 characters that
//! splits into single letters costs 5,000 look-ups of 50 bytes each.
//!
//! No prefix that is longer than the longest piece can be in the vocabulary, so the search may
//! start there and finds the same token. With the pieces {a, b, ab, ##b, ##ab} the longest has 4
//! bytes, so "abbbbbbb" tries "abbb" first, and not "abbbbbbb", "abbbbbb", "abbbbb", "abbbb".
//!
//! Cost: word x longest piece^2 instead of word^3. Everything else (limits, unknown words) is as in
//! the crate. Proven by TokenizerParityTest (bert-uncased, bert-cased), PublishedTokenizerTest and
//! TokenizerFolderTest.WordPiece*.

use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{Model, Result, Token};

/// The length in bytes of the longest piece, with its prefix: a text may hold a "##" of its own at
/// the start of a word.
pub fn longest_piece(model: &WordPiece) -> usize {
    model.get_vocab().keys().map(String::len).max().unwrap_or(0)
}

pub fn tokenize(model: &WordPiece, longest: usize, word: &str) -> Result<Vec<Token>> {
    if word.chars().count() > model.max_input_chars_per_word {
        return model.tokenize(word); // which gives the unknown token for the whole word
    }
    let mut tokens = vec![];
    let mut begin = 0;
    let mut candidate = String::new();
    while begin < word.len() {
        let prefix = if begin > 0 { model.continuing_subword_prefix.as_str() } else { "" };
        let mut end = floor_char_boundary(word, begin + longest);
        let id = loop {
            if end <= begin {
                return unknown(model, word);
            }
            candidate.clear();
            candidate.push_str(prefix);
            candidate.push_str(&word[begin..end]);
            if let Some(id) = model.token_to_id(&candidate) {
                break id;
            }
            end = floor_char_boundary(word, end - 1);
        };
        tokens.push(Token::new(id, candidate.clone(), (begin, end)));
        begin = end;
    }
    Ok(tokens)
}

fn unknown(model: &WordPiece, word: &str) -> Result<Vec<Token>> {
    let id = model.token_to_id(&model.unk_token).ok_or("the vocabulary lacks its unknown token")?;
    Ok(vec![Token::new(id, model.unk_token.clone(), (0, word.len()))])
}

/// The last boundary between characters at or before `at`.
fn floor_char_boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
