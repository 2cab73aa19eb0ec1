//! Surveys, options and registration.

use storage_core::Kind;
use storage_core::driver::{Capability, Driver, Registry, Roots};
use storage_core::mount::in_private_namespace;
use storage_driver_btrfs::{Btrfs, DESCRIPTOR};

use crate::harness::{kind, request, shell, with_disk};

#[test]
fn the_driver_registers_itself_and_is_chosen_where_its_home_is() {
    let registry = Registry::linked().unwrap();
    let found = registry.get("btrfs").unwrap();
    assert_eq!((found.name, found.automatic, found.priority), (DESCRIPTOR.name, true, 80));
    with_disk("1G", |place| {
        let roots = Roots::new(place.join("root"), place.join("run"));
        assert_eq!(registry.choose(&roots, None, &[]).unwrap().descriptor.name, "btrfs");
        shell(place, "mkdir -p root/btrfs/subvolumes");
        assert!(registry.choose(&roots, None, &[]).unwrap().reason.contains("already"));
    });
}

#[test]
fn options_without_effect_are_tolerated_and_needed_ones_refused_by_name() {
    with_disk("1G", |place| {
        let open = |options: &[(&str, &str)]| Btrfs::open(&request(place, options));
        assert!(open(&[("mountopt", "nodev"), ("size", ""), ("min_space", "")]).is_ok());
        assert_eq!(kind(open(&[("mountopt", "compress=zstd")])), Some(Kind::NotSupported));
        assert_eq!(kind(open(&[("nonsense", "1")])), Some(Kind::Usage));
        assert_eq!(kind(open(&[("size", "much")])), Some(Kind::Usage));
        let refused = (DESCRIPTOR.survey)(&request(place, &[("nonsense", "1")]));
        assert!(!refused.usable && refused.reason.contains("nonsense"), "{}", refused.reason);
    });
}

#[test]
fn a_survey_changes_nothing_and_a_root_that_is_not_on_btrfs_is_refused_with_its_filesystem() {
    with_disk("1G", |place| {
        let survey = (DESCRIPTOR.survey)(&request(place, &[]));
        assert!(survey.usable, "{}", survey.reason);
        for capability in
            [Capability::ProportionalDiff, Capability::Quota, Capability::Reflink, Capability::DetachedViews]
        {
            assert!(survey.capabilities.has(capability), "{capability:?}");
        }
        assert!(!survey.capabilities.has(Capability::KernelMounts));
        assert_eq!(shell(place, "ls -A"), "");
        assert_eq!(Btrfs::open(&request(place, &[])).unwrap().capabilities(), survey.capabilities);
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_path_buf();
    in_private_namespace(|| {
        shell(&path, "mount -t tmpfs none .");
        let survey = (DESCRIPTOR.survey)(&request(&path, &[]));
        assert!(!survey.usable && survey.reason.contains("tmpfs, not btrfs"), "{}", survey.reason);
        assert_eq!(kind(Btrfs::open(&request(&path, &[]))), Some(Kind::DriverUnusable));
        assert_eq!(shell(&path, "ls -A"), "", "nothing was made");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_root_that_is_read_only_or_somebody_elses_is_refused() {
    with_disk("1G", |place| {
        shell(place, "mkdir -m 755 mine; mount -o remount,ro .");
        let survey = (DESCRIPTOR.survey)(&request(&place.join("mine"), &[]));
        assert!(!survey.usable && survey.reason.contains("can't be written to"), "{}", survey.reason);
        assert_eq!(kind(Btrfs::open(&request(&place.join("mine"), &[]))), Some(Kind::ReadOnlyStore));
    });
}

#[test]
fn status_names_the_backing_filesystem() {
    with_disk("1G", |place| {
        let driver = Btrfs::open(&request(place, &[])).unwrap();
        assert_eq!(driver.status(), [("Backing Filesystem".to_owned(), "btrfs".to_owned())]);
    });
}
