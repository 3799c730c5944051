//! The store through its public surface, on the memory backend.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod closing;
mod model;
mod reading;
mod writing;

use std::convert::Infallible;

use store::suite::Note;
use store::{Key, Memory, Store, Transaction};

#[test]
fn the_memory_backend_passes_the_suite() {
    store::suite::run(&|| {
        let memory = Memory::default();
        Box::new(move || Ok(memory.open()))
    });
}

fn open(memory: &Memory) -> Store {
    Store::open(memory.open(), store::suite::kinds()).unwrap()
}

fn write<T: Send + 'static>(store: &Store, run: impl FnOnce(&mut Transaction) -> T + Send + 'static) -> T {
    store.blocking_write("test", |tx| Ok::<_, Infallible>(run(tx))).unwrap()
}

fn note(name: &str) -> Note {
    Note::new("a", name, "text")
}

fn key(name: &str) -> Key {
    Key::of(&["a", name])
}
