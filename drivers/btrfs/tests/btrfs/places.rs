//! Surveys, options and registration.

use storage_core::Kind;
use storage_core::driver::{Capability, Driver, Plan, Registry, Start};
use storage_core::mount::{Features, in_private_namespace};
use storage_driver_btrfs::{DESCRIPTOR, Btrfs};

use crate::harness::{Store, kind, request, shell};

#[test]
fn the_driver_registers_itself_and_is_never_chosen_unasked() {
    let found = Registry::linked().unwrap().get("btrfs").unwrap();
    assert_eq!((found.name, found.automatic), (DESCRIPTOR.name, false));
}

#[test]
fn options_without_effect_are_tolerated_and_needed_ones_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let open = |options: &[(&str, &str)]| Btrfs::open(&request(dir.path(), options));
    assert!(open(&[("mountopt", "nodev"), ("ignore_chown_errors", "true"), ("sync", "none")]).is_ok());
    assert_eq!(kind(open(&[("ignore_chown_errors", "yes")])), Some(Kind::Usage));
    assert_eq!(kind(open(&[("mountopt", "metacopy=on")])), Some(Kind::NotSupported));
    assert_eq!(kind(open(&[("nonsense", "1")])), Some(Kind::Usage));
    let refused = (DESCRIPTOR.survey)(&request(dir.path(), &[("nonsense", "1")]));
    assert!(!refused.usable && refused.reason.contains("nonsense"), "{}", refused.reason);
    let mut store = Store::new(Features::of_kernel());
    let mut plan = Plan::new(Start::OnParent(None));
    plan.options = vec![("size".into(), "1G".into())];
    assert_eq!(kind(store.shared(|driver, held| driver.begin(held, &plan))), Some(Kind::NotSupported));
}

#[test]
fn a_survey_changes_nothing_and_tells_whether_copies_share_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_path_buf();
    in_private_namespace(|| {
        for (reflink, make) in [("1", "xfs"), ("0", "plain")] {
            let mount = format!(
                "truncate -s 400M {make}; mkfs.xfs -q -m reflink={reflink} {make}; mkdir -p m; mount -o loop {make} m"
            );
            shell(&path, &mount);
            let place = path.join("m");
            let survey = (DESCRIPTOR.survey)(&request(&place, &[]));
            assert!(survey.usable, "{}", survey.reason);
            assert_eq!(survey.capabilities.has(Capability::Reflink), reflink == "1");
            assert_eq!(shell(&place, "ls -A"), "");
            assert_eq!(Btrfs::open(&request(&place, &[]))?.capabilities(), survey.capabilities);
            shell(&path, "umount m");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn status_names_the_backing_filesystem() {
    let store = Store::new(Features::of_kernel());
    assert_eq!(store.driver.status()[0].0, "Backing Filesystem");
    assert_ne!(store.driver.status()[0].1, "<unknown>");
}
