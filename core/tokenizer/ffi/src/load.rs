//! From a tokenizer.json to a tokenizer that a service can use: it does not truncate, does not pad,
//! and gives the same tokens for the same text.

use crate::rebuild;
use crate::word_piece;
use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::{Lowercase, NormalizerWrapper, Sequence};
use tokenizers::Tokenizer;

/// What a handle of the C ABI points to.
pub struct Loaded {
    pub tokenizer: Tokenizer,
    pub longest_piece: usize,
}

/// `recipe` empty: the tokenizer is what the file says; otherwise see rebuild.rs.
pub fn load(json: &[u8], recipe: &[u8]) -> Result<Loaded, String> {
    tokenizers::utils::parallelism::set_parallelism(false);
    let mut tokenizer = Tokenizer::from_bytes(json).map_err(|e| e.to_string())?;
    if !recipe.is_empty() {
        tokenizer = rebuild::rebuild(&tokenizer, recipe)?;
    }
    tokenizer.with_truncation(None).map_err(|e| e.to_string())?;
    tokenizer.with_padding(None);
    switch_dropout_off(&mut tokenizer);
    check_ids(&tokenizer)?;
    let longest_piece = match tokenizer.get_model() {
        ModelWrapper::WordPiece(model) => word_piece::longest_piece(model),
        _ => 0,
    };
    Ok(Loaded { tokenizer, longest_piece })
}

/// Refuses ids that do not fit in 32-bit signed numbers, as which they travel.
fn check_ids(tokenizer: &Tokenizer) -> Result<(), String> {
    match tokenizer.get_vocab(true).into_iter().find(|(_, id)| *id > i32::MAX as u32) {
        Some((token, id)) => {
            Err(format!("token {token:?} has id {id}; at most {} is allowed", i32::MAX))
        }
        None => Ok(()),
    }
}

/// BPE dropout leaves merges out at random. That helps training, but here a text must always give
/// the same ids.
fn switch_dropout_off(tokenizer: &mut Tokenizer) {
    if let ModelWrapper::BPE(bpe) = tokenizer.get_model() {
        if bpe.dropout.is_some() {
            let mut bpe = bpe.clone();
            bpe.dropout = None;
            tokenizer.with_model(bpe);
        }
    }
}

pub fn put_lowercase_first(tokenizer: &mut Tokenizer) -> Result<(), String> {
    let mut steps: Vec<NormalizerWrapper> = vec![Lowercase.into()];
    steps.extend(tokenizer.get_normalizer().cloned());
    tokenizer.with_normalizer(Some(Sequence::new(steps))).map_err(|e| e.to_string())?;
    Ok(())
}
