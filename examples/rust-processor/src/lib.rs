//! A wasmton processor. A task is JSON such as `{"message": "hello"}`; its
//! message becomes a line of the file `/messages`.

mod decaton;

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;

use serde::Deserialize;

#[derive(Deserialize)]
struct Task {
    message: String,
}

/// Processes one task: 0 when it is done, anything else when it failed.
///
/// What goes to standard error becomes a log line with the task's topic,
/// partition and offset.
#[no_mangle]
pub extern "C" fn run() -> i32 {
    let task = match decaton::poll_task() {
        Some(task) => task,
        None => return 0,
    };
    match append_message(&task) {
        Ok(()) => 0,
        Err(err) => {
            eprintln!("{err}");
            1
        }
    }
}

fn append_message(task: &[u8]) -> Result<(), Box<dyn Error>> {
    let task: Task = serde_json::from_slice(task).map_err(|err| format!("bad task: {err}"))?;

    let mut line = task.message;
    line.push('\n');

    // One write, since the other partitions' instances append to the same file:
    // in two, another's message could come between a message and its line end.
    OpenOptions::new()
        .append(true)
        .create(true)
        .open("/messages")
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .map_err(|err| format!("can't append to /messages (granted with --dir?): {err}").into())
}
