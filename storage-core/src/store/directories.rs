//! Directories of images and containers that belong to the engine.
//!
//! ```text
//! GRAPHROOT/<driver>-containers/<container>/userdata/   0700   (<driver>-images/<image>/userdata/)
//! RUNROOT/<driver>-containers/<container>/userdata/     0700   gone after a reboot
//! ```

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::big_data::USERDATA;
use super::records::Location;
use super::rubbish::Rubbish;
use super::{ItemKind, Store};
use crate::error::{OsContext, Result};
use crate::fs::TempDirs;
use crate::ids::LayerId;

impl Store {
    /// The lasting directory of the image called `wanted`, made when it is missing. Takes no lock. Fails with
    /// [`crate::Kind::ImageUnknown`].
    pub fn image_directory(&self, wanted: &str) -> Result<PathBuf> {
        let id = self.sight()?.image(wanted, "find image directory")?.1.id.clone();
        // Of a separate image store, too: the reference keeps these directories in the graph root.
        user_directory(&self.places.images(Location::Stable), &id)
    }

    /// The directory of the image called `wanted` that is gone after a reboot. As [`Store::image_directory`].
    pub fn image_run_directory(&self, wanted: &str) -> Result<PathBuf> {
        let id = self.sight()?.image(wanted, "find image run directory")?.1.id.clone();
        user_directory(&self.places.run_images(), &id)
    }

    /// The lasting directory of the container called `wanted`, made when it is missing. Takes no lock. Fails with
    /// [`crate::Kind::ContainerUnknown`].
    pub fn container_directory(&self, wanted: &str) -> Result<PathBuf> {
        let id = self.containers.snapshot()?.resolve(wanted, "find container directory")?.id.clone();
        user_directory(&self.places.containers(), &id)
    }

    /// The directory of the container called `wanted` that is gone after a reboot. As [`Store::container_directory`].
    pub fn container_run_directory(&self, wanted: &str) -> Result<PathBuf> {
        let id = self.containers.snapshot()?.resolve(wanted, "find container run directory")?.id.clone();
        user_directory(&self.places.run_containers(), &id)
    }

    /// Takes away the data and the directories of an image or a container whose record is gone.
    pub(super) fn discard_data(&self, kind: ItemKind, id: &str, rubbish: &mut Rubbish<'_>) -> Result<()> {
        let Ok(id) = LayerId::from_store(id) else { return Ok(()) };
        let places = &self.places;
        let homes = match kind {
            ItemKind::Layer => return Ok(()),
            // The engine's directory of an image stands in the graph root, wherever its data does.
            ItemKind::Image => {
                vec![places.images(Location::Stable), places.images(places.images_go_to()), places.run_images()]
            }
            ItemKind::Container => vec![places.containers(), places.run_containers()],
        };
        for home in homes {
            let path = home.join(id.as_str());
            if path.symlink_metadata().is_ok() {
                rubbish.add(Box::new(TempDirs::new(home.join("tmp")).trash(&path)?));
            }
        }
        Ok(())
    }

    /// Every place beside the driver's where data is staged and thrown away.
    pub(super) fn all_side_places(&self) -> Vec<TempDirs> {
        let images = [Location::Stable, self.places.images_go_to()].map(|location| self.places.images(location));
        let mut homes =
            vec![self.layers_home(), self.places.containers(), self.places.run_images(), self.places.run_containers()];
        homes.extend(images);
        homes.sort();
        homes.dedup();
        homes.into_iter().map(|home| TempDirs::new(home.join("tmp"))).collect()
    }
}

fn user_directory(home: &Path, id: &str) -> Result<PathBuf> {
    let path = home.join(LayerId::from_store(id)?.as_str()).join(USERDATA);
    DirBuilder::new().recursive(true).mode(0o700).create(&path).os("mkdir", &path)?;
    Ok(path)
}
