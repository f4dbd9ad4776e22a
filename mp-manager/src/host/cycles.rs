//! Containers that keep each other alive, and that nobody else can reach any more.
//!
//! An object ends with the last reference to it, and the references in a list, say, are some. A list in itself, or two in
//! each other, would never end. So when something lets go of an object that others still refer to, those are looked at that
//! can be reached from it: if all references to one of them come from such as are themselves reached from nowhere else,
//! they are garbage, and are emptied.
//!
//! While that is found out, methods may run and move references about. Each object counts the beginnings and the ends of
//! its calls: what was called meanwhile is left alone, and looked at again when that lets go of something. A method that
//! runs all the time refers to its object.
//!
//! Only containers of this library show what is in them: what refers to itself by way of an object of the user stays.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::host::entry::Entry;
use crate::id::ObjectId;
use crate::reference::Reference;

/// An object that can be reached.
struct Node {
    entry: Arc<Entry>,
    calls: u64,
    /// How many references to it are in those that can be reached, or with the caller.
    inside: usize,
    /// What it refers to.
    leads_to: Vec<ObjectId>,
}

/// What only keeps itself alive, of what can be reached from objects to each of which the caller has one reference.
pub(super) fn garbage_from(suspects: &[Arc<Entry>]) -> Vec<Arc<Entry>> {
    garbage(&reach(suspects))
}

/// Everything that can be reached from objects, those included.
fn reach(suspects: &[Arc<Entry>]) -> HashMap<ObjectId, Node> {
    let mut nodes: HashMap<ObjectId, Node> = HashMap::new();
    let mut unseen = Vec::new();
    let mut see = |entry: &Arc<Entry>, unseen: &mut Vec<Arc<Entry>>| {
        let node = nodes.entry(entry.id()).or_insert_with(|| {
            unseen.push(Arc::clone(entry));
            Node::new(entry)
        });
        node.inside += 1;
    };
    suspects.iter().for_each(|entry| see(entry, &mut unseen));
    let mut leads = Vec::new();
    while let Some(entry) = unseen.pop() {
        let mut leads_to = Vec::new();
        entry.object().contents(&mut |payload| {
            for reference in &payload.references {
                let Reference::Here(inner) = reference else { continue };
                leads_to.push(inner.id());
                see(inner, &mut unseen);
            }
        });
        leads.push((entry.id(), leads_to));
    }
    for (id, leads_to) in leads {
        if let Some(node) = nodes.get_mut(&id) {
            node.leads_to = leads_to;
        }
    }
    nodes
}

/// Those that nothing leads to but each other.
fn garbage(nodes: &HashMap<ObjectId, Node>) -> Vec<Arc<Entry>> {
    // The one here is not counted.
    let is_held = |node: &Node| Arc::strong_count(&node.entry) > node.inside + 1;
    let mut alive: HashSet<ObjectId> = HashSet::new();
    let mut unseen: Vec<ObjectId> =
        nodes.iter().filter(|(_, node)| is_held(node)).map(|(id, _)| *id).collect();
    while let Some(id) = unseen.pop() {
        if alive.insert(id)
            && let Some(node) = nodes.get(&id)
        {
            unseen.extend(&node.leads_to);
        }
    }
    let dead: Vec<_> = nodes.iter().filter(|(id, _)| !alive.contains(id)).collect();
    let is_quiet = dead.iter().all(|(_, node)| node.calls == node.entry.calls());
    if !is_quiet {
        return Vec::new();
    }
    dead.into_iter().map(|(_, node)| Arc::clone(&node.entry)).collect()
}

impl Node {
    fn new(entry: &Arc<Entry>) -> Node {
        Node { entry: Arc::clone(entry), calls: entry.calls(), inside: 0, leads_to: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, Weak};

    use proptest::prelude::*;

    use super::*;
    use crate::call::Call;
    use crate::host::Host;
    use crate::hosted::{Hosted, Reply};
    use crate::payload::Payload;

    /// A container of references and nothing else.
    #[derive(Clone, Default)]
    struct Bag(Arc<Mutex<Payload>>);

    impl Hosted for Bag {
        fn serve(&self, _: &str, call: &Call<'_>) -> Reply {
            call.unknown_method("bag")
        }

        fn type_name(&self) -> &'static str {
            "bag"
        }

        fn preview(&self) -> String {
            String::new()
        }

        fn contents(&self, visit: &mut dyn FnMut(&Payload)) {
            visit(&self.0.lock().unwrap());
        }

        fn clear(&self) {
            let all = std::mem::take(&mut *self.0.lock().unwrap());
            drop(all);
        }
    }

    proptest! {
        /// Of any objects that refer to each other in any way, those live that are reached from one that is held.
        #[test]
        fn what_is_held_lives_with_all_that_it_leads_to_and_the_rest_ends(
            count in 1_usize..12,
            edges in prop::collection::vec((0_usize..12, 0_usize..12), 0..30),
            mut kept in prop::collection::vec(any::<bool>(), 12),
        ) {
            let host = Host::here();
            let bags: Vec<Bag> = (0..count).map(|_| Bag::default()).collect();
            let entries: Vec<Arc<Entry>> =
                bags.iter().map(|bag| host.add(Box::new(bag.clone()))).collect();
            let edges: Vec<_> =
                edges.into_iter().map(|(from, to)| (from % count, to % count)).collect();
            let lives: Vec<Weak<Entry>> = entries.iter().map(Arc::downgrade).collect();
            for (from, to) in &edges {
                let reference = Reference::Here(Arc::clone(&entries[*to]));
                bags[*from].0.lock().unwrap().references.push(reference);
            }
            kept.truncate(count);
            let mut alive: HashSet<usize> = (0..count).filter(|index| kept[*index]).collect();
            loop {
                let reached = edges.iter().filter(|(from, _)| alive.contains(from));
                let more: Vec<_> = reached.map(|(_, to)| *to).collect();
                let before = alive.len();
                alive.extend(more);
                if alive.len() == before {
                    break;
                }
            }
            let (mut held, mut let_go) = (Vec::new(), Vec::new());
            for (index, entry) in entries.into_iter().enumerate() {
                if kept[index] { &mut held } else { &mut let_go }.push(entry);
            }
            host.collect(let_go);
            let living: HashSet<usize> =
                (0..count).filter(|index| lives[*index].strong_count() > 0).collect();
            prop_assert_eq!(living, alive);
            // Nor does anything of this test stay.
            for entry in held {
                entry.object().clear();
            }
        }
    }
}
