//! What the table of layers tells beyond what every table does: who stands on whom.

use std::sync::Arc;

use super::record::Layer;
use crate::driver::{Ancestor, Home, LayerRef};
use crate::error::{Error, Kind, Result};
use crate::store::records::{Location, RecordTable};

/// The names of the record files, in the order of [`crate::store::Location`].
pub(crate) const FILES: [&str; 2] = ["layers.json", "volatile-layers.json"];

/// All layers of a store at one moment, in the order in which they were made.
pub type LayerTable = RecordTable<Layer>;

impl RecordTable<Layer> {
    /// The layers whose parent is `id`.
    pub fn children<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Arc<Layer>> {
        self.iter().filter(move |layer| layer.parent == id)
    }

    /// In which home the layer `id` of this store stands; one that no record knows is looked for in the store's own.
    pub(crate) fn home_of(&self, id: &str) -> Home {
        self.get(id).map_or(Home::Own, |layer| layer.home())
    }
}

impl Location {
    /// The home of the trees of layers whose records stand here.
    pub(crate) fn home(self) -> Home {
        if self == Location::ImageStore { Home::ImageStore } else { Home::Own }
    }
}

impl Layer {
    /// Where the tree of a layer of this store stands.
    pub(crate) fn home(&self) -> Home {
        self.location.home()
    }
}

/// The layer and those below it, as a driver wants to know them, found in `tables`, the store's own first. Fails with
/// [`Kind::Corrupt`] when the records form no chain, with [`Kind::Escape`] when one has an id that can't be a file name.
pub(crate) fn layer_ref(layer: &Layer, tables: &[&LayerTable]) -> Result<LayerRef> {
    let most: usize = tables.iter().map(|table| table.len()).sum();
    let home = home_in(layer, tables);
    let mut ancestors: Vec<Ancestor> = Vec::new();
    let mut parent = layer.parent.as_str();
    while !parent.is_empty() {
        let found = tables.iter().find_map(|table| table.get(parent)).filter(|_| ancestors.len() <= most);
        let record = found.ok_or_else(|| {
            Error::new(Kind::Corrupt, "follow parents")
                .detail(format!("layer {}: its ancestor {parent} is missing or its own descendant", layer.id))
                .remedy("`lamina repair` removes a layer whose parent is lost")
        })?;
        ancestors.push(Ancestor { id: record.layer_id()?, home: home_in(record, tables) });
        parent = &record.parent;
    }
    Ok(LayerRef { id: layer.layer_id()?, home, ancestors })
}

/// Where a layer stands that was found in `tables`: the first is the store's own, the others are additional ones.
fn home_in(layer: &Layer, tables: &[&LayerTable]) -> Home {
    let number = tables.iter().position(|table| table.get(&layer.id).is_some()).unwrap_or(0);
    match number.checked_sub(1).map(u16::try_from) {
        Some(number) => Home::Additional(number.unwrap_or(u16::MAX)),
        None => layer.home(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locks::{RecordBytes, Table};
    use std::path::Path;

    fn parse(stable: &str) -> Result<LayerTable> {
        LayerTable::parse(&[RecordBytes { path: Path::new("layers.json"), bytes: Some(stable.as_bytes()) }])
    }

    #[test]
    fn each_layer_of_a_chain_is_told_with_the_home_that_it_stands_in() {
        let bytes = |text: &'static str| RecordBytes { path: Path::new("layers.json"), bytes: Some(text.as_bytes()) };
        let own = [r#"[{"id":"c","parent":"i"}]"#, "[]", r#"[{"id":"i","parent":"x"}]"#].map(bytes);
        let own = LayerTable::parse(&own).expect("own");
        let other = parse(r#"[{"id":"x","parent":"y"},{"id":"y"}]"#).expect("other");
        let found = layer_ref(own.get("c").expect("there"), &[&own, &LayerTable::default(), &other]).expect("chain");
        let homes: Vec<_> = found.ancestors.iter().map(|ancestor| ancestor.home).collect();
        assert_eq!(found.home, Home::Own);
        assert_eq!(homes, [Home::ImageStore, Home::Additional(1), Home::Additional(1)]);
        assert_eq!((own.home_of("i"), own.home_of("unknown")), (Home::ImageStore, Home::Own));
    }

    #[test]
    fn parents_that_form_a_circle_or_are_missing_are_corrupt() {
        let table =
            parse(r#"[{"id":"a","parent":"b"},{"id":"b","parent":"a"},{"id":"c","parent":"gone"}]"#).expect("table");
        for id in ["a", "c"] {
            let layer = table.get(id).expect("there");
            assert_eq!(layer_ref(layer, &[&table]).map_err(|error| error.kind()), Err(Kind::Corrupt));
        }
    }
}
