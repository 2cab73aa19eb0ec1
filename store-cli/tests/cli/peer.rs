//! Outputs beside those of the reference, on a root for each and on one root for both.

use std::process::Command;

use crate::{Ended, Scratch, lamina, need, run};

/// A time as records have it, replaced so that two stores can be compared.
pub(crate) fn without_times(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\"created\":\"") {
        let (before, after) = rest.split_at(at + 11);
        plain.push_str(before);
        rest = after.find('"').map_or("", |end| &after[end..]);
    }
    plain + rest
}

/// What scripts see of a command: its output without times and roots, and whether it succeeded.
fn seen(ended: &Ended, scratch: &Scratch, store: &str) -> (String, bool) {
    let root = scratch.path().join(store).display().to_string();
    (without_times(&ended.out).replace(&root, "ROOT"), ended.code == Some(0))
}

#[test]
fn both_commands_print_the_same() {
    let Some(peer) = need("both_commands_print_the_same", "containers-storage") else { return };
    let scratch = Scratch::new();
    let tar = scratch.archive().display().to_string();
    for line in [
        &["create-layer", "-i", "aaa", "-n", "base"][..],
        &["create-layer", "-i", "kid", "-n", "k1", "-n", "k2", "-j", "aaa"],
        &["createlayer", "--id=ro", "-r", "base"],
        &["create-layer", "-i", "aaa"],
        &["create-layer", "-n", "base"],
        &["create-layer", "nosuch"],
        &["import-layer", "-i", "imp", "-f", &tar, "aaa"],
        &["import-layer", "-i", "broken", "-f", "/dev/null/x"],
        &["layers"],
        &["layers", "-j"],
        &["layers", "-t"],
        &["layers", "--tree", "--json=false"],
        &["layer", "kid", "aaa"],
        &["layer", "-j", "kid"],
        &["layer", "nosuch"],
        &["exists", "aaa"],
        &["exists", "-j", "aaa"],
        &["exists", "-q", "aaa", "nosuch"],
        &["exists", "-l", "aaa"],
        &["exists", "nosuch"],
        &["set-metadata", "-m", "some <text> & more", "aaa"],
        &["metadata", "aaa"],
        &["metadata", "-q", "aaa", "kid"],
        &["metadata", "-j", "aaa", "nosuch"],
        &["metadata", "nosuch"],
        &["set-metadata", "aaa"],
        &["get-names", "kid"],
        &["get-names", "-j", "ro"],
        &["add-names", "-n", "extra", "-j", "kid"],
        &["add-names", "-n", "base", "kid"],
        &["set-names", "-n", "only", "-j", "kid"],
        &["get-names", "nosuch"],
        &["list-layer-data", "aaa"],
        &["set-layer-data", "-f", &tar, "aaa", "item"],
        &["list-layer-data", "-j", "aaa"],
        &["get-layer-data", "aaa", "nosuch"],
        &["changes", "imp"],
        &["changes", "-j", "imp"],
        &["changes", "nosuch"],
        &["diffsize", "imp"],
        &["diff-size", "imp", "aaa"],
        &["diff", "-x", "imp"],
        &["mount", "kid"],
        &["mount", "-j", "kid", "nosuch"],
        &["mounted", "kid", "aaa"],
        &["mounted", "-j", "kid", "nosuch"],
        &["layers", "-t"],
        &["shutdown"],
        &["unmount", "kid"],
        &["unmount", "-j", "kid"],
        &["umount", "nosuch"],
        &["delete-layer", "aaa", "nosuch"],
        &["delete-layer", "ro"],
        &["deletelayer", "-j", "kid"],
        &["status", "-j"],
        &["shutdown", "-j"],
        &["wipe", "-j"],
        &["layers"],
    ] {
        let ours = run(scratch.on(lamina(), "ours").args(line));
        let theirs = run(scratch.on(&peer, "theirs").args(line));
        if known_difference(line) {
            continue;
        }
        let (ours_seen, theirs_seen) = (seen(&ours, &scratch, "ours"), seen(&theirs, &scratch, "theirs"));
        if line[0] == "changes" {
            // The reference lists them in random order.
            let items = |text: &str| text.replace("},{", "}\n{").replace(['[', ']'], "\n");
            assert_eq!(sorted(&items(&ours_seen.0)), sorted(&items(&theirs_seen.0)), "{line:?}");
            continue;
        }
        assert_eq!(ours_seen, theirs_seen, "{line:?}\nours: {ours:?}\ntheirs: {theirs:?}");
    }
}

/// Lines whose answers differ on purpose (`docs/cli.md`), or between versions of the reference.
fn known_difference(line: &[&str]) -> bool {
    // The error's text is part of the JSON; Lamina's names operation, path and remedy. Drivers tell more of themselves.
    // Later versions than 1.43 put new names in front, as Lamina does.
    matches!(line, ["mount" | "mounted", "-j", ..] | ["status", "-j"] | ["add-names", ..])
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn each_reads_what_the_other_made() {
    let Some(peer) = need("each_reads_what_the_other_made", "containers-storage") else { return };
    let scratch = Scratch::new();
    let tar = scratch.archive();
    let path = tar.display().to_string();
    for (maker, reader, id) in
        [(lamina().as_ref(), peer.as_path(), "by-lamina"), (peer.as_path(), lamina().as_ref(), "by-the-peer")]
    {
        let made =
            run(scratch.on(maker, "both").args(["import-layer", "-i", id, "-n", &format!("name-{id}"), "-f", &path]));
        assert_eq!(made.code, Some(0), "{made:?}");
        let back = scratch.path().join(format!("{id}.tar"));
        let diff = run(scratch.on(reader, "both").args(["diff", "-u", "-f"]).arg(&back).arg(id));
        assert_eq!(diff.code, Some(0), "{diff:?}");
        assert!(std::fs::read(&back).expect("read") == std::fs::read(&tar).expect("read"), "{id} came back changed");
        let named = run(scratch.on(reader, "both").args(["exists", &format!("name-{id}")]));
        assert_eq!(named.code, Some(0), "{named:?}");
    }
    let list = |program: &mut Command| run(program.args(["layers", "-j"])).out;
    let (ours, theirs) = (list(&mut scratch.on(lamina(), "both")), list(&mut scratch.on(&peer, "both")));
    assert_eq!(ours, theirs, "both list the same, times included");
}
