//! A layer, an image or a container, where it doesn't matter which.

use std::fmt;
use std::sync::Arc;

use super::records::Record;
use super::{Container, Image, Layer};

/// The three kinds of things in a store, in the order in which a name is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemKind {
    /// A layer.
    Layer,
    /// An image.
    Image,
    /// A container.
    Container,
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ItemKind::Layer => Layer::ONE,
            ItemKind::Image => Image::ONE,
            ItemKind::Container => Container::ONE,
        })
    }
}

/// One of them, with its record.
#[derive(Clone, Debug)]
pub enum Item {
    /// A layer.
    Layer(Arc<Layer>),
    /// An image.
    Image(Arc<Image>),
    /// A container.
    Container(Arc<Container>),
}

impl Item {
    /// Which kind it is.
    pub fn kind(&self) -> ItemKind {
        match self {
            Item::Layer(_) => ItemKind::Layer,
            Item::Image(_) => ItemKind::Image,
            Item::Container(_) => ItemKind::Container,
        }
    }

    /// Its identifier.
    pub fn id(&self) -> &str {
        match self {
            Item::Layer(layer) => layer.id(),
            Item::Image(image) => image.id(),
            Item::Container(container) => container.id(),
        }
    }

    /// Its names.
    pub fn names(&self) -> &[String] {
        match self {
            Item::Layer(layer) => layer.names(),
            Item::Image(image) => image.names(),
            Item::Container(container) => container.names(),
        }
    }

    /// Its metadata.
    pub fn metadata(&self) -> &str {
        match self {
            Item::Layer(layer) => layer.metadata(),
            Item::Image(image) => image.metadata(),
            Item::Container(container) => container.metadata(),
        }
    }

    /// The keys of its big data.
    pub fn data_names(&self) -> &[String] {
        match self {
            Item::Layer(layer) => layer.data_names(),
            Item::Image(image) => image.data_names(),
            Item::Container(container) => container.data_names(),
        }
    }
}
