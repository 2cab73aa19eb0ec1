//! Layers as a tree, drawn as the reference draws it.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

/// One layer in the tree.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) parent: String,
    pub(crate) id: String,
    pub(crate) notes: Vec<String>,
}

/// Draws `nodes` below their roots, which are the parents that are no layers themselves. No depth is too much, and a
/// circle of parents, which only a damaged store has, is shown as it is found.
pub(crate) fn draw(nodes: &[Node]) -> String {
    let ids: HashSet<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
    let mut children: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut roots: Vec<&str> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let below = children.entry(node.parent.as_str()).or_default();
        if below.is_empty() && !ids.contains(node.parent.as_str()) {
            roots.push(&node.parent);
        }
        below.push(index);
    }
    let mut text = String::new();
    let mut shown = vec![false; nodes.len()];
    for root in roots {
        let _ = writeln!(text, "{root}");
        draw_below(root, nodes, &children, &mut shown, &mut text);
    }
    while let Some(lost) = shown.iter().position(|&shown| !shown) {
        let _ = writeln!(text, "{}", nodes[lost].parent);
        draw_below(&nodes[lost].parent, nodes, &children, &mut shown, &mut text);
    }
    text
}

/// One level that is being drawn: the children, the next of them, and the stems to their left.
struct Level<'a> {
    children: &'a [usize],
    next: usize,
    stems: String,
}

fn draw_below(
    root: &str,
    nodes: &[Node],
    children: &BTreeMap<&str, Vec<usize>>,
    shown: &mut [bool],
    text: &mut String,
) {
    let of = |id: &str| children.get(id).map_or(&[][..], Vec::as_slice);
    let mut levels = vec![Level { children: of(root), next: 0, stems: String::new() }];
    while let Some(level) = levels.last_mut() {
        let Some(&index) = level.children.get(level.next) else {
            levels.pop();
            continue;
        };
        level.next += 1;
        if std::mem::replace(&mut shown[index], true) {
            continue;
        }
        let (fork, stem) = if level.next < level.children.len() { ("├", "│") } else { ("└", " ") };
        let node = &nodes[index];
        let _ = writeln!(text, "{}{fork}─{}", level.stems, node.id);
        for note in &node.notes {
            let _ = writeln!(text, "{}{stem} {note}", level.stems);
        }
        let stems = format!("{}{stem} ", level.stems);
        levels.push(Level { children: of(&node.id), next: 0, stems });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(parent: &str, id: &str, notes: &[&str]) -> Node {
        Node { parent: parent.into(), id: id.into(), notes: notes.iter().map(|&note| note.to_owned()).collect() }
    }

    #[test]
    fn a_tree_looks_as_the_reference_draws_it() {
        let nodes = [
            node("(base)", "aaa", &[]),
            node("(base)", "x", &["name: x"]),
            node("aaa", "kid", &["name: a", "name: b"]),
            node("aaa", "last", &[]),
        ];
        let drawn = "(base)\n├─aaa\n│ ├─kid\n│ │ name: a\n│ │ name: b\n│ └─last\n└─x\n  name: x\n";
        assert_eq!(draw(&nodes), drawn);
    }

    #[test]
    fn circles_and_depth_end() {
        let circle = [node("b", "a", &[]), node("a", "b", &[])];
        assert_eq!(draw(&circle).lines().count(), 3, "every layer of a circle stands once below where it is found");
        let deep: Vec<Node> = (0..2_000)
            .map(|n| node(&if n == 0 { "(base)".into() } else { format!("{}", n - 1) }, &n.to_string(), &[]))
            .collect();
        assert_eq!(draw(&deep).lines().count(), 2_001);
    }
}
