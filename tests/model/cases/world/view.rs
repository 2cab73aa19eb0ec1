//! Views of directories.

use std::path::Path;

use storage_core::Result;

use super::Sim;

impl Sim {
    /// A view of the directory at `path`, which ends when it is dropped.
    pub(crate) fn view(&self, path: &Path) -> Result<View> {
        self.step()?;
        let mut state = self.universe.state();
        let node = *state.names.get(path).ok_or_else(|| Self::no_such(path))?;
        state.views.push((node, self.number()));
        Ok(View { world: self.clone(), node })
    }

    pub(crate) fn is_viewed_at(&self, path: &Path) -> bool {
        let state = self.universe.state();
        state.names.get(path).is_some_and(|node| state.views.iter().any(|(viewed, _)| viewed == node))
    }
}

/// A sight of a directory wherever it is renamed to.
#[derive(Debug)]
pub(crate) struct View {
    world: Sim,
    node: u64,
}

impl View {
    /// The names in the directory now.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        self.world.step()?;
        let state = self.world.universe.state();
        let root = state.names.iter().find(|(_, node)| **node == self.node).map(|(path, _)| path.clone());
        let Some(root) = root else { return Ok(Vec::new()) };
        let inside = state.names.keys().filter(|path| path.parent() == Some(&root));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if !self.world.is_dead() {
            let mut state = self.world.universe.state();
            let mine = |(node, process): &(u64, usize)| *node == self.node && *process == self.world.number();
            if let Some(place) = state.views.iter().position(mine) {
                state.views.remove(place);
            }
        }
    }
}
