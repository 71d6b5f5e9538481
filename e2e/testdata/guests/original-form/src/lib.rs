//! A processor in the form that the first guests of the contract had, when
//! `poll_task` was all there was: a task buffer of fixed size on the stack, `run`
//! without a result, a panic for every failure, and preopened directories
//! registered by hand. Modules of this form must go on running unchanged.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::raw::c_char;

use serde::Deserialize;

const ROOM: usize = 1 << 20;

#[derive(Deserialize)]
struct Task {
    message: String,
}

#[link(wasm_import_module = "decaton")]
extern "C" {
    fn poll_task(buf_addr: i64, buf_len: i32) -> i32;
}

extern "C" {
    fn __wasilibc_register_preopened_fd(fd: i32, prefix: *const c_char) -> i32;
}

/// Tells wasi-libc of the granted directories, which are the descriptors from 3
/// on, in case that no constructor of its own does.
#[no_mangle]
pub unsafe extern "C" fn _initialize() {
    for fd in 3.. {
        let len = match wasi::fd_prestat_get(fd) {
            Ok(stat) if stat.tag == wasi::PREOPENTYPE_DIR => stat.u.dir.pr_name_len,
            _ => return,
        };
        let mut name = vec![0u8; len + 1];
        wasi::fd_prestat_dir_name(fd, name.as_mut_ptr(), len).unwrap();
        let name = Box::leak(name.into_boxed_slice()); // libc keeps the pointer
        __wasilibc_register_preopened_fd(fd as i32, name.as_ptr() as *const c_char);
    }
}

#[no_mangle]
pub unsafe extern "C" fn run() {
    let mut buf = [0u8; ROOM];
    let len = poll_task(buf.as_mut_ptr() as i64, ROOM as i32);
    let task: Task = serde_json::from_slice(&buf[..len as usize]).unwrap();

    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open("/messages")
        .unwrap();
    writeln!(file, "{}", task.message).unwrap();
}
