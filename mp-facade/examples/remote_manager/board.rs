//! What the two programs have in common, in a crate of its own as a rule: the types of the objects, and the key.

use std::collections::HashMap;

/// What both programs know.
pub(crate) const KEY: &[u8] = b"a key that both programs know";

/// Notes by topic.
#[derive(Default)]
pub(crate) struct Board {
    notes: HashMap<String, Vec<String>>,
}

#[mp::managed]
impl Board {
    pub fn new() -> Self {
        Board::default()
    }

    pub fn pin(&mut self, topic: &str, note: String) -> usize {
        let notes = self.notes.entry(topic.to_owned()).or_default();
        notes.push(note);
        notes.len()
    }

    pub fn read(&self, topic: &str) -> mp::Result<Vec<String>> {
        let Some(notes) = self.notes.get(topic) else { mp::bail!("nobody writes about {topic}") };
        Ok(notes.clone())
    }
}
