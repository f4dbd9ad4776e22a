//! Containers that keep each other alive, and that nobody else can reach any more.
//!
//! An object ends with the last reference to it, and the references in a list, say, are some. A list in itself, or two in
//! each other, would never end. So when something lets go of an object that others still refer to, those are looked at that
//! can be reached from it: if all references to one of them come from such as are themselves reached from nowhere else,
//! they are garbage, and are emptied.
//!
//! While that is found out, methods may run and move references about. Each object counts the beginnings and the ends of
//! its calls. One that was called meanwhile is *stirred*: what was seen in it may not be so, and it lives, with all that was
//! seen to be in it.
//!
//! # Nothing is emptied that anybody can reach
//!
//! A look (1) notes the calls of each object before it sees what is in it, (2) counts the references that it sees, (3) reads
//! how many there are to each object, and then (4) reads the calls again. What is *dead* is neither stirred, nor has more
//! references than were counted, nor was it seen in anything that is not dead. Take any dead D.
//!
//! - Only calls change what is in a container, and they change their number before and after. No call of D runs all the time
//!   from (1) to (4): its caller has a reference to D meanwhile, which no container shows, so D had one more than counted. So
//!   what is in a dead container is the same from (1) to (4), and no reference was counted twice on its way from one to another.
//! - All references to D that were counted are in dead containers, and are there at (3). For if (3) sees that one has gone, (4)
//!   sees the call that took it out: dropping it comes after that call began and releases, and there is an acquire fence
//!   between (3) and (4). There are no more references than those: at (3) nobody but dead containers refers to D.
//! - Who gets a reference to D later takes it out of a dead container by a call, that began after (4), for otherwise that is
//!   stirred. For that call it needs a reference to that container, which nobody had at (3). The first one to get any has
//!   none to begin with: there is no such first one.
//!
//! Who names an object by its number has no reference, and may find the object empty. The collector's own references, those
//! of suspects included, are counted; others that nobody lets go of there are none of while it looks: `census` sees to that.
//!
//! # Nothing is forgotten
//!
//! What becomes garbage does so when the last reference to some of it goes that comes from elsewhere. Whoever lets go of it
//! makes it a suspect, after that. If it is one already, the look that it waits for begins later than that, and sees it. So
//! what was seen to be held becomes a suspect when that ends. What lives for being stirred, or for being seen in what is,
//! is *undecided*: it remains a suspect.
//!
//! Only containers of this library show what is in them: what refers to itself by way of an object of the user stays.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

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

/// What a look has found.
pub(super) struct Judged {
    nodes: HashMap<ObjectId, Node>,
    garbage: Vec<ObjectId>,
    undecided: Vec<ObjectId>,
}

/// Looks at what can be reached from objects to each of which the caller has one reference.
pub(super) fn judge(suspects: &[Arc<Entry>]) -> Judged {
    let nodes = reach(suspects);
    let chosen = |is_chosen: &dyn Fn(&Node) -> bool| -> HashSet<ObjectId> {
        nodes.iter().filter(|(_, node)| is_chosen(node)).map(|(id, _)| *id).collect()
    };
    // The one here is not counted.
    let held = chosen(&|node| Arc::strong_count(&node.entry) > node.inside + 1);
    fence(Ordering::Acquire);
    let stirred = chosen(&|node| node.calls != node.entry.calls());

    let alive = with_all_in(&nodes, held);
    let spared = with_all_in(&nodes, stirred.clone());
    let is_dead = |id: &&ObjectId| !alive.contains(*id) && !spared.contains(*id);
    let is_undecided =
        |id: &ObjectId| stirred.contains(id) || spared.contains(id) && !alive.contains(id);
    let garbage = nodes.keys().filter(is_dead).copied().collect();
    let undecided = suspects.iter().map(|entry| entry.id()).filter(is_undecided).collect();
    Judged { nodes, garbage, undecided }
}

impl Judged {
    /// The garbage, and the suspects that are to be looked at again.
    pub(super) fn into_parts(self) -> (Vec<Arc<Entry>>, Vec<Arc<Entry>>) {
        let Judged { nodes, garbage, undecided } = self;
        let entries = |ids: Vec<ObjectId>| {
            ids.iter().filter_map(|id| Some(Arc::clone(&nodes.get(id)?.entry))).collect()
        };
        (entries(garbage), entries(undecided))
    }
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

/// These, and those that they lead to.
fn with_all_in(nodes: &HashMap<ObjectId, Node>, roots: HashSet<ObjectId>) -> HashSet<ObjectId> {
    let mut unseen: Vec<ObjectId> = roots.into_iter().collect();
    let mut all = HashSet::new();
    while let Some(id) = unseen.pop() {
        if all.insert(id)
            && let Some(node) = nodes.get(&id)
        {
            unseen.extend(&node.leads_to);
        }
    }
    all
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
    struct Bag {
        inside: Arc<Mutex<Payload>>,
        /// What is called while somebody looks into it, once.
        stirs: Arc<Mutex<Vec<Weak<Entry>>>>,
    }

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
            visit(&self.inside.lock().unwrap());
            for entry in self.stirs.lock().unwrap().drain(..).filter_map(|entry| entry.upgrade()) {
                entry.during_call(false, || ());
            }
        }

        fn clear(&self) {
            let all = std::mem::take(&mut *self.inside.lock().unwrap());
            drop(all);
        }
    }

    /// A look at a ring that has called a plain object in it collected nothing, and nothing of that was looked at again.
    #[test]
    fn a_call_of_one_does_not_save_the_others() {
        let host = Host::here();
        let [ring, plain, other] = [(); 3].map(|()| Bag::default());
        let add = |bag: &Bag| host.add(Box::new(bag.clone()));
        let [in_ring, in_plain, in_other] = [&ring, &plain, &other].map(add);
        let refer = |bag: &Bag, to: &Arc<Entry>| {
            bag.inside.lock().unwrap().references.push(Reference::Here(Arc::clone(to)));
        };
        refer(&ring, &in_ring);
        refer(&ring, &in_plain);
        refer(&other, &in_other);
        refer(&other, &in_ring);
        // In the order in which they are looked into, a call of each that was looked into before.
        plain.stirs.lock().unwrap().push(Arc::downgrade(&in_plain));
        let lives = [&in_ring, &in_plain, &in_other].map(Arc::downgrade);
        drop(in_plain);
        let undecided = host.collect(vec![in_ring, in_other]);
        assert!(undecided.is_empty(), "{undecided:?}");
        assert!(lives.iter().all(|entry| entry.strong_count() == 0));
    }

    /// Nor is what was called itself, or was in that, forgotten.
    #[test]
    fn what_is_called_meanwhile_is_looked_at_again() {
        let host = Host::here();
        let bag = Bag::default();
        let entry = host.add(Box::new(bag.clone()));
        bag.inside.lock().unwrap().references.push(Reference::Here(Arc::clone(&entry)));
        bag.stirs.lock().unwrap().push(Arc::downgrade(&entry));
        let life = Arc::downgrade(&entry);
        let undecided = host.collect(vec![entry]);
        assert_eq!(undecided.len(), 1);
        assert_eq!(bag.inside.lock().unwrap().references.len(), 1);
        assert!(host.collect(undecided).is_empty());
        assert_eq!(life.strong_count(), 0);
    }

    proptest! {
        /// Of any objects that refer to each other in any way, those live that are reached from one that is held. What is
        /// called while it is looked at, and what is in that, lives until the next look.
        #[test]
        fn what_is_held_lives_with_all_that_it_leads_to_and_the_rest_ends(
            count in 1_usize..12,
            edges in prop::collection::vec((0_usize..12, 0_usize..12), 0..30),
            mut kept in prop::collection::vec(any::<bool>(), 12),
            stirred in prop::collection::vec((0_usize..12, 0_usize..12), 0..4),
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
                bags[*from].inside.lock().unwrap().references.push(reference);
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
            for (by, called) in stirred {
                let called = Weak::clone(&lives[called % count]);
                bags[by % count].stirs.lock().unwrap().push(called);
            }
            let living = || -> HashSet<usize> {
                (0..count).filter(|index| lives[*index].strong_count() > 0).collect()
            };
            let undecided = host.collect(let_go);
            prop_assert!(living().is_superset(&alive), "{:?} of {alive:?}", living());
            // Who is looked into first may call what is looked into later, and only then.
            let undecided = host.collect(undecided);
            let undecided = host.collect(undecided);
            prop_assert_eq!(undecided.len(), 0);
            prop_assert_eq!(living(), alive);
            // Nor does anything of this test stay.
            for entry in held {
                entry.object().clear();
            }
        }
    }
}
