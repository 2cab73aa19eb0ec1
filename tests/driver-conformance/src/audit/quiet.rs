//! Every operation, one after the other, by one thread of one process: here every look is exact.

use std::fs::File;
use std::io;
use std::path::Path;

use storage_core::driver::MountOptions;
use storage_core::error::OsContext;
use storage_core::locks::ThreadKey;
use storage_core::store::{
    CheckOptions, Deletion, ItemKind, NameChange, NewContainer, NewImage, NewLayer, Release, Store,
};
use storage_core::{Kind, Result};

use super::deeds::{self, COMMON, in_mounted, new_layer, put, quiet_task};
use super::notes::{Note, Notes, differences, fingerprint};
use super::order::Order;

/// The store with what is told of it.
struct Quiet<'a> {
    order: &'a Order,
    store: &'a Store,
    key: &'a mut ThreadKey,
    notes: &'a Notes,
}

/// Goes through every operation. What fails is noted, and the next one is tried.
pub(super) fn quiet(order: &Order, store: &Store, key: &mut ThreadKey, notes: &Notes) {
    let mut quiet = Quiet { order, store, key, notes };
    quiet.layers();
    quiet.reading();
    quiet.mounting();
    quiet.reading();
    quiet.applying();
    quiet.images();
    quiet.deleting();
}

impl Quiet<'_> {
    fn try_to(&mut self, operation: &str, act: impl FnOnce(&Store, &mut ThreadKey) -> Result<()>) {
        if let Err(error) = act(self.store, self.key) {
            self.notes.failed(operation, &error);
        }
    }

    /// Does something that only reads, and compares what others see of the store before and after.
    fn read(&mut self, operation: &str, act: impl FnOnce(&Store, &mut ThreadKey) -> Result<()>) {
        let roots: [&Path; 2] = [&self.order.graph, &self.order.run];
        let before = fingerprint(&roots);
        self.try_to(operation, act);
        let differences = differences(&before, &fingerprint(&roots));
        self.notes.add(&Note::Read { operation: operation.to_owned(), files: before.len(), differences });
    }

    fn layers(&mut self) {
        // Nothing before it asked what the driver can do, so that it is asked here.
        self.try_to("create layer", limited_layer);
        let archive = self.order.archive();
        self.try_to("import layer", |store, key| {
            let archive = File::open(&archive).os("open", &archive)?;
            store.import_layer(key, &new_layer("imported", None), archive, &quiet_task()).map(drop)
        });
        self.try_to("create layer", |store, key| {
            for (name, parent) in [("child", "imported"), ("other", "imported"), ("spare", "other")] {
                store.create_layer(key, &new_layer(name, Some(parent)), &quiet_task())?;
            }
            Ok(())
        });
        self.try_to("mount", |store, key| {
            in_mounted(store, key, "child", |root| put(root, "new", b"in the child"))?;
            // From here on these are mounted while others are read, made and deleted.
            store.mount(key, "child", &MountOptions::default())?;
            store.mount(key, "other", &MountOptions::default()).map(drop)
        });
        self.try_to("delete layer", |store, key| store.delete_layer(key, "spare", &quiet_task()));
        self.try_to("change names", |store, key| {
            store.change_names(key, "other", NameChange::Add, &["another".to_owned()]).map(drop)
        });
        self.try_to("set metadata", |store, key| store.set_metadata(key, "other", "text").map(drop));
        self.try_to("set data", |store, key| {
            store.set_data(key, ItemKind::Layer, "other", "key", &mut &b"data"[..]).map(drop)
        });
    }

    fn reading(&mut self) {
        let task = quiet_task();
        self.read("diff", |store, key| deeds::diff(store, key, "child", &mut io::sink()));
        self.read("diff", |store, key| deeds::diff(store, key, "imported", &mut io::sink()));
        self.read("changes", |store, key| store.changes(key, "child", None, &task, &mut |_| Ok(())));
        self.read("diff size", |store, key| store.diff_size(key, "child", None, &task).map(drop));
        self.read("changes", |store, key| store.changes(key, "child", Some("other"), &task, &mut |_| Ok(())));
        self.read("driver layers", |store, key| store.driver_layers(key).map(drop));
        self.read("driver metadata", |store, key| store.driver_metadata(key, "child").map(drop));
        self.read("check", |store, key| store.check(key, &CheckOptions::default(), &task).map(drop));
        self.read("consistent sight", |store, key| store.consistent_sight(key).map(drop));
    }

    /// Both are mounted once when this begins, and not at all when it ends.
    fn mounting(&mut self) {
        let default = MountOptions::default();
        self.try_to("mount", |store, key| store.mount(key, "child", &default).map(drop));
        for (release, left) in [(Release::One, true), (Release::IfMounted, false), (Release::One, false)] {
            self.release("child", release, Ok(left));
        }
        self.release("child", Release::IfMounted, Err(Kind::LayerNotMounted));
        self.try_to("mount", |store, key| {
            (0..3).try_for_each(|_| store.mount(key, "child", &MountOptions::default()).map(drop))
        });
        self.release("child", Release::Force, Ok(false));
        self.release("other", Release::IfMounted, Ok(false));
    }

    fn release(&mut self, layer: &str, release: Release, expected: std::result::Result<bool, Kind>) {
        let ended = self.store.unmount(self.key, layer, release).map_err(|error| error.kind());
        if ended != expected {
            let what = format!("{layer} given back ({release:?}): {ended:?} instead of {expected:?}");
            self.notes.wrong("unmount if mounted", what);
        }
    }

    fn applying(&mut self) {
        let archive = self.order.archive();
        for _ in 0..2 {
            self.try_to("apply diff", |store, key| {
                let archive = File::open(&archive).os("open", &archive)?;
                store.apply_diff(key, "other", archive, &quiet_task()).map(drop)
            });
        }
    }

    fn images(&mut self) {
        let default = MountOptions::default();
        let image = NewImage { names: vec!["image".to_owned()], layer: Some(COMMON.to_owned()), ..NewImage::default() };
        self.try_to("create image", |store, key| store.create_image(key, &image).map(drop));
        self.try_to("mount image", |store, key| store.mount_image(key, "image", &default).map(drop));
        self.try_to("unmount image", |store, key| store.unmount_image(key, "image", Release::One).map(drop));
        let container = NewContainer {
            names: vec!["container".to_owned()],
            image: Some("image".to_owned()),
            ..NewContainer::default()
        };
        self.try_to("create container", |store, key| store.create_container(key, &container, &quiet_task()).map(drop));
        self.try_to("mount container", |store, key| store.mount_container(key, "container", &default).map(drop));
        self.release("container", Release::IfMounted, Ok(false));
        self.read("image size", |store, key| store.image_size(key, "image", &quiet_task()).map(drop));
        self.read("container size", |store, key| store.container_size(key, "container", &quiet_task()).map(drop));
        self.try_to("delete container", |store, key| store.delete_container(key, "container", &quiet_task()));
        let pinned = NewLayer { names: vec!["kept".to_owned()], ..new_layer("kept", Some(COMMON)) };
        self.try_to("create layer", |store, key| store.create_layer(key, &pinned, &quiet_task()).map(drop));
        self.try_to("delete image", |store, key| {
            store.delete_image(key, "image", Deletion::Real, &quiet_task()).map(drop)
        });
        self.try_to("delete layer", |store, key| store.delete_layer(key, "kept", &quiet_task()));
    }

    fn deleting(&mut self) {
        self.try_to("delete layer", |store, key| {
            // A mounted one too: deletion ends its mounts.
            store.mount(key, "child", &MountOptions::default())?;
            ["child", "other", "imported"].iter().try_for_each(|layer| store.delete_layer(key, layer, &quiet_task()))
        });
        self.try_to("gc", |store, key| store.gc(key, &quiet_task()).map(drop));
        self.try_to("shutdown", |store, key| store.shutdown(key, false).map(drop));
    }
}

/// A layer with a limit, where the driver can make one.
fn limited_layer(store: &Store, key: &mut ThreadKey) -> Result<()> {
    let limit = vec![("size".to_owned(), "1G".to_owned())];
    match store.create_layer(key, &NewLayer { options: limit, ..new_layer("limited", None) }, &quiet_task()) {
        Ok(_) => store.delete_layer(key, "limited", &quiet_task()),
        Err(error) if matches!(error.kind(), Kind::NotSupported | Kind::Permission) => Ok(()),
        Err(error) => Err(error),
    }
}
