//! What every entry of the C ABI needs: statuses, messages, borrowed and given memory.

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

/// Runs `body`; an error's text and a panic's text go to the message.
pub fn entry(message: Message, body: impl FnOnce() -> Result<(), String>) -> Status {
    // AssertUnwindSafe: a tokenizer is read only, and what a panic leaves half written is never
    // looked at again.
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
    let text = panic.downcast_ref::<&str>().map(|s| s.to_string()).or(panic.downcast_ref::<String>().cloned());
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
/// `length` readable elements stand at `start` (which may be null when there are none) for as long as the result is used.
pub unsafe fn borrow<'a, T>(start: *const T, length: usize) -> &'a [T] {
    if length == 0 {
        return &[];
    }
    std::slice::from_raw_parts(start, length)
}

pub fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|e| {
        let at = e.valid_up_to();
        format!("text is not UTF-8: byte {at} of {} (0x{:02X})", bytes.len(), bytes[at])
    })
}

/// # Safety
/// `capacity` writable bytes stand at `to`, and a writable size at `length`.
pub unsafe fn give(text: &str, to: *mut c_char, capacity: usize, length: *mut usize) {
    *length = text.len();
    if text.len() <= capacity && !text.is_empty() {
        std::ptr::copy_nonoverlapping(text.as_ptr(), to.cast::<u8>(), text.len());
    }
}

pub fn free<T>(object: *mut T) {
    if !object.is_null() {
        // A destructor that panics leaks the rest, which is the lesser evil across a C ABI.
        // SAFETY: the pointer came from Box::into_raw and is given back once.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Box::from_raw(object) })));
    }
}
