//! Circles of threads in which each waits for the next.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// The circles of a graph in which every node has one successor at most, each once, from its smallest node on.
pub(crate) fn circles<N: Copy + Eq + Hash + Ord>(next: &HashMap<N, N>) -> Vec<Vec<N>> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for &start in next.keys() {
        let mut path = Vec::new();
        let mut at = Some(start);
        while let Some(node) = at
            && seen.insert(node)
        {
            path.push(node);
            at = next.get(&node).copied();
        }
        // The path has come back to itself, and not to one that was walked before.
        if let Some(begin) = at.and_then(|node| path.iter().position(|other| *other == node)) {
            let mut circle = path.split_off(begin);
            let smallest = (0..circle.len()).min_by_key(|index| circle[*index]).unwrap_or(0);
            circle.rotate_left(smallest);
            found.push(circle);
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_circle_is_found_once_and_what_only_leads_to_it_is_no_part() {
        let next = HashMap::from([(1, 2), (2, 3), (3, 2), (4, 2), (5, 6), (7, 7)]);
        assert_eq!(circles(&next), [vec![2, 3], vec![7]]);
    }

    proptest! {
        #[test]
        fn whoever_comes_back_to_itself_is_in_one_circle(pairs: Vec<(u8, u8)>) {
            let next: HashMap<u8, u8> = pairs.into_iter().collect();
            let circles = circles(&next);
            for node in next.keys() {
                let mut at = next.get(node);
                for _ in 0..next.len() {
                    at = at.filter(|at| *at != node).and_then(|at| next.get(at)).or(at.filter(|at| *at == node));
                }
                let comes_back = at == Some(node);
                let count = circles.iter().flatten().filter(|other| *other == node).count();
                prop_assert_eq!(count, usize::from(comes_back));
            }
            for circle in &circles {
                for (index, node) in circle.iter().enumerate() {
                    prop_assert_eq!(next[node], circle[(index + 1) % circle.len()]);
                }
            }
        }
    }
}
