//! What is there when nobody works: by mount table, counts and places.

use std::fs;
use std::path::{Path, PathBuf};

use storage_core::Result;
use storage_core::mount::mounts_here;
use storage_core::record::{Mounted, Truth};

use super::judge::{self, Facts, layer_mounts};
use super::order::{Order, places};

/// Mounts and counts, as this process sees them.
fn look(order: &Order) -> Result<Truth> {
    let places = places(&order.graph, &order.run, &order.driver);
    let below = |point: &Path| places.roots.iter().any(|root| point.starts_with(root));
    let mounts = mounts_here()?.into_iter().filter(|mount| below(&mount.mount_point)).map(|mount| Mounted {
        id: mount.id,
        point: mount.mount_point.display().to_string(),
        kind: mount.filesystem,
    });
    Ok(Truth { mounts: mounts.collect(), counts: fs::read_to_string(&places.counts).ok(), ..Truth::default() })
}

/// In what counts and mounts differ, and what says that something is half-done.
pub(super) fn disagreements(order: &Order, facts: &Facts) -> Result<Vec<String>> {
    let mut wrong = judge::disagreements(&look(order)?, facts);
    wrong.extend(half_done(order).into_iter().map(|path| format!("this is left: {}", path.display())));
    Ok(wrong)
}

fn half_done(order: &Order) -> Vec<PathBuf> {
    let lasting = order.graph.join(format!("{}-layers", order.driver)).join("lamina-intent");
    let running = order.run.join(format!("{}-layers", order.driver)).join("lamina-mounting");
    [lasting, running].into_iter().filter(|path| path.exists()).collect()
}

/// What is left when every layer, image and container was deleted: nothing should be.
pub(super) fn left(order: &Order, facts: &Facts) -> Vec<String> {
    let truth = look(order).unwrap_or_default();
    let mut left: Vec<String> =
        layer_mounts(&truth, &facts.homes).iter().map(|mount| format!("still mounted: {}", mount.point)).collect();
    left.extend(judge::counts_of(&truth).iter().map(|one| format!("still counted: layer {}", one.id)));
    left.extend(half_done(order).into_iter().map(|path| format!("still there: {}", path.display())));
    left.extend(staged(&[&order.graph, &order.run]).into_iter().map(|path| format!("still there: {}", path.display())));
    left
}

/// Places of staging and trash, which lie at most three directories deep.
fn staged(roots: &[&Path]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<(PathBuf, u8)> = roots.iter().map(|root| (root.to_path_buf(), 3)).collect();
    while let Some((directory, depth)) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("temp-dir-") {
                found.push(entry.path());
            } else if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push((entry.path(), depth - 1));
            }
        }
    }
    found
}
