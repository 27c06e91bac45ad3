//! Text to tokens: the stages of `tokenizers::Tokenizer::encode`, one by one, so that one pass
//! gives the offsets in bytes and in characters.
//!
//! The crate counts offsets either in bytes or in characters, but its post-processors trim the
//! blanks of a token by adding *characters* to them in both cases. So only characters stay right:
//! "\u{3000}a" as one token, trimmed by one blank, starts at character 1, which is byte 3 and not
//! byte 1.
//!
//! Here byte offsets become character offsets before post-processing, and byte offsets are read
//! back from the characters at the end. The way between them is a table with one number for each
//! byte (the crate fills a hash map).
//!
//! Cost: linear in the text; the table has 4 bytes for each byte of the text. Proven by
//! tests/core/tokenizer/tokenizer_parity_test.cc, against offsets from the Python package.

use crate::word_piece;
use tokenizers::models::ModelWrapper;
use tokenizers::tokenizer::{OffsetType, PreTokenizer};
use tokenizers::{Encoding, Model, Token, Tokenizer};

/// The longest text, in bytes: positions are kept in 32 bits.
const LONGEST_TEXT: usize = i32::MAX as usize;

pub struct Tokens {
    pub ids: Vec<u32>,
    pub types: Vec<u32>,   // token type ids, as the post-processor sets them
    pub special: Vec<u32>, // 1 = added by the post-processor
    pub bytes: Vec<(usize, usize)>, // half-open ranges of the text
    pub characters: Vec<(usize, usize)>, // half-open ranges of the text
}

/// `longest_piece` is that of a WordPiece vocabulary (word_piece.rs); other models do not read it.
pub fn encode(
    tokenizer: &Tokenizer,
    longest_piece: usize,
    text: &str,
    add_special_tokens: bool,
) -> tokenizers::Result<Tokens> {
    if text.len() > LONGEST_TEXT {
        return Err(
            format!("text has {} bytes; at most {LONGEST_TEXT} are allowed", text.len()).into()
        );
    }
    let mut pieces =
        tokenizer.get_added_vocabulary().extract_and_normalize(tokenizer.get_normalizer(), text);
    if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
        pre_tokenizer.pre_tokenize(&mut pieces)?;
    }
    match tokenizer.get_model() {
        ModelWrapper::WordPiece(model) => {
            pieces.tokenize(|word| word_piece::tokenize(model, longest_piece, word.get()))?
        }
        model => pieces.tokenize(|piece| model.tokenize(piece.get()))?,
    }
    let mut encoding = pieces.into_encoding(None, 0, OffsetType::Byte)?;

    let positions = CharacterTable::new(text);
    for (begin, end) in encoding.get_offsets_mut() {
        *begin = positions.character_of_byte(*begin);
        *end = positions.character_of_byte(*end);
    }
    let encoding = tokenizer.post_process(encoding, None, add_special_tokens)?;
    Ok(collect(text, &encoding))
}

/// What the post-processor makes of a text of one token.
pub fn frame(tokenizer: &Tokenizer) -> tokenizers::Result<Tokens> {
    let token = Encoding::from_tokens(vec![Token::new(0, "a".into(), (0, 1))], 0);
    Ok(collect("a", &tokenizer.post_process(token, None, true)?))
}

fn collect(text: &str, encoding: &Encoding) -> Tokens {
    let first_byte: Vec<usize> =
        text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
    let last = first_byte.len() - 1;
    let byte = |character: usize| first_byte[character.min(last)];
    Tokens {
        ids: encoding.get_ids().to_vec(),
        types: encoding.get_type_ids().to_vec(),
        special: encoding.get_special_tokens_mask().to_vec(),
        bytes: encoding
            .get_offsets()
            .iter()
            .map(|&(begin, end)| (byte(begin), byte(end)))
            .collect(),
        characters: encoding.get_offsets().to_vec(),
    }
}

/// Byte position -> index of the character that holds the byte; the position behind the text -> the
/// number of characters.
struct CharacterTable {
    character: Vec<u32>, // [bytes + 1]
}

impl CharacterTable {
    fn new(text: &str) -> Self {
        let mut character = Vec::with_capacity(text.len() + 1);
        let mut count = 0;
        for c in text.chars() {
            character.extend(std::iter::repeat_n(count, c.len_utf8()));
            count += 1;
        }
        character.push(count);
        CharacterTable { character }
    }

    fn character_of_byte(&self, byte: usize) -> usize {
        self.character[byte.min(self.character.len() - 1)] as usize
    }
}
