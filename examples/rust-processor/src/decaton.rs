//! The guest's side of the `decaton` contract.

mod host {
    #[link(wasm_import_module = "decaton")]
    extern "C" {
        /// Length of the task that waits to be polled, or -1 when there is none.
        pub fn task_size() -> i32;
        /// Copies the task to `buf_addr` and returns its length, or returns -1
        /// and keeps it when `buf_len` is too small.
        pub fn poll_task(buf_addr: i64, buf_len: i32) -> i32;
    }
}

extern "C" {
    fn __wasm_call_ctors();
}

/// Called once by the host before the first `run`.
///
/// Without it, the linker makes every export run the constructors again, and
/// the guest's memory grows with each task.
#[no_mangle]
pub extern "C" fn _initialize() {
    unsafe { __wasm_call_ctors() }
}

/// Takes the current task, however large it is. There is one in each `run`;
/// once it has been taken the answer is `None`.
pub fn poll_task() -> Option<Vec<u8>> {
    let size = unsafe { host::task_size() };
    let mut task = vec![0; usize::try_from(size).ok()?];
    let len = unsafe { host::poll_task(task.as_mut_ptr() as usize as i64, size) };
    (len == size).then_some(task)
}
