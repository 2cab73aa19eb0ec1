//! Mounting a container: its layer, in the way that its record says.

use std::path::PathBuf;

use super::Container;
use crate::driver::MountOptions;
use crate::error::Result;
use crate::idmap::{Maps, Namespace};
use crate::locks::ThreadKey;
use crate::store::mapping::no_shifting;
use crate::store::{Store, VolatileMounts};

impl Store {
    /// Mounts the container called `wanted` and counts it. What `options` leave open, its record says: options, label,
    /// volatility. Locks and errors as [`Store::mount`]; fails with [`crate::Kind::ContainerUnknown`].
    pub fn mount_container(&self, key: &mut ThreadKey, wanted: &str, options: &MountOptions) -> Result<PathBuf> {
        let _purpose = crate::record::purpose("mount container");
        let container = self.containers.snapshot()?.resolve(wanted, "mount container")?.clone();
        let mut options = completed(&container, options);
        if self.volatile == VolatileMounts::Disabled {
            options.volatile = false;
            options.options.retain(|option| option != "volatile");
        }
        let maps = container.maps();
        if !maps.is_identity() {
            options.namespace = self.namespace_for(&container, &maps)?;
        }
        self.mount(key, &container.layer, &options)
    }

    /// The namespace under whose maps the container's files have to be shown; none when they are kept with its owners.
    fn namespace_for(&self, container: &Container, maps: &Maps) -> Result<Option<Namespace>> {
        let sight = self.sight()?;
        let (_, layer) = sight.layer(&container.layer, "mount container")?;
        if layer.maps() == *maps {
            return Ok(None);
        }
        if layer.maps().is_empty() && self.shows_owners_mapped() {
            return Namespace::of(maps).map(Some);
        }
        Err(no_shifting(container))
    }
}

fn completed(container: &Container, options: &MountOptions) -> MountOptions {
    let mut options = options.clone();
    if options.options.is_empty() {
        options.options = container.mount_options();
    }
    if options.label.is_empty() {
        container.mount_label().clone_into(&mut options.label);
    }
    options.volatile |= container.is_volatile();
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_record_says_counts_where_the_caller_says_nothing() {
        let text = r#"{"id":"c","flags":{"MountLabel":"its","MountOpts":["nodev"],"Volatile":true}}"#;
        let container: Container = serde_json::from_str(text).expect("a record");
        let left_open = completed(&container, &MountOptions::default());
        assert_eq!((left_open.label.as_str(), left_open.options), ("its", vec!["nodev".to_owned()]));
        assert!(left_open.volatile);
        let asked =
            MountOptions { label: "mine".to_owned(), options: vec!["noexec".to_owned()], ..MountOptions::default() };
        let kept = completed(&container, &asked);
        assert_eq!((kept.label.as_str(), kept.options), ("mine", vec!["noexec".to_owned()]));
    }
}
