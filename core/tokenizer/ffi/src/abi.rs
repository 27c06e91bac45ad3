//! What every entry of the C ABI needs: statuses, messages, memory that is borrowed from the caller
//! and memory that is given to it.

use std::ffi::c_char;
use std::panic::{catch_unwind, AssertUnwindSafe};

pub type Status = i32;
const OK: Status = 0;
const INVALID: Status = 1;
const BUG: Status = 2;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Message {
    text: *mut c_char,
    capacity: usize,
}

/// Runs `body`. The text of an error or of a panic goes to the message.
pub fn entry(message: Message, body: impl FnOnce() -> Result<(), String>) -> Status {
    // AssertUnwindSafe: a tokenizer is only read, and what a panic leaves half written is never
    // read again.
    let (status, reason) = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return OK,
        Ok(Err(reason)) => (INVALID, reason),
        Err(panic) => (BUG, panic_text(panic.as_ref())),
    };
    // SAFETY: the caller owns `capacity` writable bytes.
    unsafe { message.write(&reason) };
    status
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|s| s.to_string())
        .or(panic.downcast_ref::<String>().cloned());
    format!("panic in the tokenizers crate: {}", text.unwrap_or("no reason given".into()))
}

impl Message {
    unsafe fn write(self, reason: &str) {
        if self.capacity == 0 {
            return;
        }
        let mut end = reason.len().min(self.capacity - 1);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        std::ptr::copy_nonoverlapping(reason.as_ptr(), self.text.cast::<u8>(), end);
        *self.text.add(end) = 0;
    }
}

/// # Safety
/// `length` readable elements stand at `start` for as long as the result is used; `start` may be
/// null where there are none.
pub unsafe fn borrow<'a, T>(start: *const T, length: usize) -> &'a [T] {
    if length == 0 {
        return &[];
    }
    std::slice::from_raw_parts(start, length)
}

/// The bytes as a text, or an error that names the first byte that is not UTF-8.
pub fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|e| {
        let at = e.valid_up_to();
        format!("text is not UTF-8: byte {at} of {} (0x{:02X})", bytes.len(), bytes[at])
    })
}

/// Writes the text if it fits, and its length in any case.
///
/// # Safety
/// `capacity` writable bytes stand at `to`, and a writable size at `length`.
pub unsafe fn give(text: &str, to: *mut c_char, capacity: usize, length: *mut usize) {
    *length = text.len();
    if text.len() <= capacity && !text.is_empty() {
        std::ptr::copy_nonoverlapping(text.as_ptr(), to.cast::<u8>(), text.len());
    }
}

/// Frees what `Box::into_raw` gave; null is left alone.
pub fn free<T>(object: *mut T) {
    if !object.is_null() {
        // A destructor that panics leaks the rest: a panic must not cross the C ABI.
        // SAFETY: the pointer came from Box::into_raw and is given back once.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Box::from_raw(object) })));
    }
}
