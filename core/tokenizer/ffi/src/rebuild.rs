//! A tokenizer as one of the tokenizer classes of `transformers` builds it out of a tokenizer.json.
//!
//! Those classes take the vocabulary, the merges and the post-processor of the file. Normaliser,
//! pre-tokeniser, decoder, added tokens and the other settings of the model come from the class and
//! from tokenizer_config.json. What exactly, the C++ side knows (core/tokenizer/tokenizer_class.h);
//! it arrives here as a recipe, a JSON object of the form
//!
//!   {"model": {"type": "BPE", ...}, "normalizer": ..., "pre_tokenizer": ..., "decoder": ...}
//!
//! whose components are spelled as in a tokenizer.json and may be null.

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::models::unigram::Unigram;
use tokenizers::models::ModelWrapper;
use tokenizers::{AddedToken, DecoderWrapper, NormalizerWrapper};
use tokenizers::{PostProcessorWrapper, PreTokenizerWrapper, Tokenizer};

pub fn rebuild(file: &Tokenizer, recipe: &[u8]) -> Result<Tokenizer, String> {
    let recipe: Value = serde_json::from_slice(recipe).map_err(|e| e.to_string())?;
    let mut tokenizer = Tokenizer::new(model(file.get_model(), &recipe["model"])?);
    let normalizer: Option<NormalizerWrapper> = component(&recipe["normalizer"])?;
    tokenizer.with_normalizer(normalizer).map_err(|e| e.to_string())?;
    tokenizer
        .with_pre_tokenizer(component::<Option<PreTokenizerWrapper>>(&recipe["pre_tokenizer"])?);
    tokenizer.with_decoder(component::<Option<DecoderWrapper>>(&recipe["decoder"])?);
    tokenizer.with_post_processor(file.get_post_processor().cloned());
    Ok(tokenizer)
}

/// `json` is a list as the "added_tokens" of a tokenizer.json, without ids. A token that the
/// vocabulary has keeps its id, and its rules are replaced; another one gets the next free id.
pub fn add_tokens(tokenizer: &mut Tokenizer, json: &[u8]) -> Result<(), String> {
    let tokens: Vec<AddedToken> = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    tokenizer.add_tokens(tokens).map(|_| ()).map_err(|e| e.to_string())
}

pub fn set_post_processor(tokenizer: &mut Tokenizer, json: &[u8]) -> Result<(), String> {
    let processor: PostProcessorWrapper =
        serde_json::from_slice(json).map_err(|e| e.to_string())?;
    tokenizer.with_post_processor(Some(processor));
    Ok(())
}

fn component<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_json::from_value(value.clone()).map_err(|e| e.to_string())
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// The file's model with the settings of the recipe.
fn model(file: &ModelWrapper, recipe: &Value) -> Result<ModelWrapper, String> {
    match (file, recipe["type"].as_str().unwrap_or("")) {
        (ModelWrapper::WordPiece(model), "WordPiece") => {
            let mut model = model.clone();
            model.unk_token = text(&recipe["unk_token"]).unwrap_or_default();
            model.continuing_subword_prefix = "##".to_owned();
            model.max_input_chars_per_word = 100;
            Ok(model.into())
        }
        (ModelWrapper::BPE(model), "BPE") => {
            let mut model = model.clone();
            // The table of merges was made with the file's prefix.
            if model.continuing_subword_prefix.as_deref().is_some_and(|prefix| !prefix.is_empty()) {
                return Err("the BPE model has a continuing_subword_prefix".to_owned());
            }
            model.dropout = None;
            model.unk_token = text(&recipe["unk_token"]);
            model.continuing_subword_prefix = None;
            model.end_of_word_suffix = text(&recipe["end_of_word_suffix"]);
            model.fuse_unk = recipe["fuse_unk"].as_bool().unwrap_or(false);
            model.byte_fallback = false;
            model.ignore_merges = false;
            Ok(model.into())
        }
        (ModelWrapper::Unigram(model), "Unigram") => {
            let vocabulary: Vec<(String, f64)> = model.iter().cloned().collect();
            let unknown = unknown_id(&vocabulary, recipe);
            Ok(Unigram::from(vocabulary, Some(unknown), false).map_err(|e| e.to_string())?.into())
        }
        (_, wanted) => Err(format!("its model is not the {wanted} of the tokenizer class")),
    }
}

/// Where the piece "unk_token" stands (with the score "unk_score", if one is given), else "unk_id".
fn unknown_id(vocabulary: &[(String, f64)], recipe: &Value) -> usize {
    let fallback = recipe["unk_id"].as_u64().unwrap_or(0) as usize;
    let Some(unknown) = recipe["unk_token"].as_str() else { return fallback };
    let score = recipe["unk_score"].as_f64();
    vocabulary
        .iter()
        .position(|(piece, s)| piece == unknown && score.map_or(true, |score| score == *s))
        .unwrap_or(fallback)
}
