//! The C ABI over the Hugging Face `tokenizers` crate; longspan_tokenizers.h is its contract.
//!
//! Nothing here starts a thread. Texts are encoded one by one; the crate's batch entry points,
//! which alone use rayon, are never called, and the crate's switch for parallelism is set to "off"
//! as well.

mod abi;
mod encode;
mod load;
mod rebuild;
mod word_piece;

use abi::{borrow, entry, Message, Status};
use encode::Tokens;
use load::Loaded;
use std::ffi::c_char;

#[repr(C)]
pub struct TokenArrays {
    ids: *mut i32,
    types: *mut i32,
    special: *mut u8,
    bytes: *mut i64,
    characters: *mut i64,
}

#[no_mangle]
pub extern "C" fn longspan_tokenizers_load(
    json: *const c_char,
    length: usize,
    recipe: *const c_char,
    recipe_length: usize,
    tokenizer: *mut *mut Loaded,
    message: Message,
) -> Status {
    entry(message, || {
        // SAFETY: the caller passes `length` and `recipe_length` readable bytes and one writable
        // pointer.
        let json = unsafe { borrow(json.cast::<u8>(), length) };
        let recipe = unsafe { borrow(recipe.cast::<u8>(), recipe_length) };
        let loaded = load::load(json, recipe)?;
        unsafe { *tokenizer = Box::into_raw(Box::new(loaded)) };
        Ok(())
    })
}

#[no_mangle]
pub extern "C" fn longspan_tokenizers_add_tokens(
    tokenizer: &mut Loaded,
    json: *const c_char,
    length: usize,
    message: Message,
) -> Status {
    entry(message, || {
        // SAFETY: the caller passes `length` readable bytes.
        rebuild::add_tokens(&mut tokenizer.tokenizer, unsafe { borrow(json.cast::<u8>(), length) })
    })
}

#[no_mangle]
pub extern "C" fn longspan_tokenizers_set_post_processor(
    tokenizer: &mut Loaded,
    json: *const c_char,
    length: usize,
    message: Message,
) -> Status {
    entry(message, || {
        // SAFETY: the caller passes `length` readable bytes.
        let json = unsafe { borrow(json.cast::<u8>(), length) };
        rebuild::set_post_processor(&mut tokenizer.tokenizer, json)
    })
}

#[no_mangle]
pub extern "C" fn longspan_tokenizers_lowercase_first(
    tokenizer: &mut Loaded,
    message: Message,
) -> Status {
    entry(message, || load::put_lowercase_first(&mut tokenizer.tokenizer))
}

#[no_mangle]
pub extern "C" fn longspan_tokenizers_split_special_tokens(tokenizer: &mut Loaded) {
    tokenizer.tokenizer.set_encode_special_tokens(true);
}

#[no_mangle]
pub extern "C" fn longspan_tokenizers_free(tokenizer: *mut Loaded) {
    abi::free(tokenizer);
}

#[no_mangle]
pub extern "C" fn longspan_tokenizers_encode(
    tokenizer: &Loaded,
    text: *const c_char,
    length: usize,
    add_special_tokens: i32,
    encoding: *mut *mut Tokens,
    message: Message,
) -> Status {
    entry(message, || {
        // SAFETY: the caller passes `length` readable bytes and one writable pointer.
        let text = abi::utf8(unsafe { borrow(text.cast::<u8>(), length) })?;
        let tokens = encode::encode(
            &tokenizer.tokenizer,
            tokenizer.longest_piece,
            text,
            add_special_tokens != 0,
        )
        .map_err(|e| e.to_string())?;
        unsafe { *encoding = Box::into_raw(Box::new(tokens)) };
        Ok(())
    })
}

#[no_mangle]
pub extern "C" fn longspan_tokenizers_frame(
    tokenizer: &Loaded,
    encoding: *mut *mut Tokens,
    message: Message,
) -> Status {
    entry(message, || {
        let tokens = encode::frame(&tokenizer.tokenizer).map_err(|e| e.to_string())?;
        // SAFETY: the caller passes one writable pointer.
        unsafe { *encoding = Box::into_raw(Box::new(tokens)) };
        Ok(())
    })
}

#[no_mangle]
pub extern "C" fn longspan_tokenizers_encoding_size(encoding: &Tokens) -> usize {
    encoding.ids.len()
}

/// # Safety
/// Each array has room for the encoding's size (twice that for the ranges); `types` may be null.
#[no_mangle]
pub unsafe extern "C" fn longspan_tokenizers_encoding_copy(encoding: &Tokens, to: TokenArrays) {
    for i in 0..encoding.ids.len() {
        *to.ids.add(i) = encoding.ids[i] as i32;
        if !to.types.is_null() {
            *to.types.add(i) = encoding.types[i] as i32;
        }
        *to.special.add(i) = (encoding.special[i] != 0) as u8;
        for (to, range) in [(to.bytes, encoding.bytes[i]), (to.characters, encoding.characters[i])]
        {
            *to.add(2 * i) = range.0 as i64;
            *to.add(2 * i + 1) = range.1 as i64;
        }
    }
}

#[no_mangle]
pub extern "C" fn longspan_tokenizers_encoding_free(encoding: *mut Tokens) {
    abi::free(encoding);
}

#[no_mangle]
pub extern "C" fn longspan_tokenizers_decode(
    tokenizer: &Loaded,
    ids: *const i32,
    count: usize,
    skip_special_tokens: i32,
    text: *mut c_char,
    capacity: usize,
    length: *mut usize,
    message: Message,
) -> Status {
    entry(message, || {
        // SAFETY: the caller passes `count` readable ids, `capacity` writable bytes and one
        // writable size.
        let ids: Vec<u32> = unsafe { borrow(ids, count) }.iter().map(|&id| id as u32).collect();
        if let Some(at) = ids.iter().position(|&id| tokenizer.tokenizer.id_to_token(id).is_none()) {
            return Err(format!(
                "ids[{at}] is {}; the vocabulary has no token with this id",
                ids[at] as i32
            ));
        }
        let decoded = tokenizer
            .tokenizer
            .decode(&ids, skip_special_tokens != 0)
            .map_err(|e| e.to_string())?;
        unsafe { abi::give(&decoded, text, capacity, length) };
        Ok(())
    })
}

#[no_mangle]
pub extern "C" fn longspan_tokenizers_token_text(
    tokenizer: &Loaded,
    id: i32,
    text: *mut c_char,
    capacity: usize,
    length: *mut usize,
    message: Message,
) -> Status {
    entry(message, || {
        let token = tokenizer
            .tokenizer
            .id_to_token(id as u32)
            .ok_or(format!("the vocabulary has no token with id {id}"))?;
        // SAFETY: the caller passes `capacity` writable bytes and one writable size.
        unsafe { abi::give(&token, text, capacity, length) };
        Ok(())
    })
}

#[no_mangle]
pub extern "C" fn longspan_tokenizers_token_id(
    tokenizer: &Loaded,
    text: *const c_char,
    length: usize,
    id: *mut i32,
    message: Message,
) -> Status {
    entry(message, || {
        // SAFETY: the caller passes `length` readable bytes and one writable id.
        let text = abi::utf8(unsafe { borrow(text.cast::<u8>(), length) })?;
        unsafe { *id = tokenizer.tokenizer.token_to_id(text).map_or(-1, |id| id as i32) };
        Ok(())
    })
}

#[no_mangle]
pub extern "C" fn longspan_tokenizers_vocab_size(
    tokenizer: &Loaded,
    size: *mut usize,
    message: Message,
) -> Status {
    entry(message, || {
        // SAFETY: the caller passes one writable size.
        unsafe { *size = tokenizer.tokenizer.get_vocab_size(true) };
        Ok(())
    })
}
