use super::*;
use storage_core::mount::in_private_namespace;

/// The places below `parent`.
fn places(parent: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(parent).expect("list").flatten().map(|entry| entry.path());
    let inside = all.flat_map(|all| std::fs::read_dir(all).expect("list").flatten().map(|entry| entry.path()));
    inside.collect()
}

#[test]
fn a_place_is_gone_after_its_end_and_so_is_what_a_killed_run_left() {
    let parent = tempfile::tempdir().expect("dir");
    let grounds = Grounds::make(Some(parent.path()), Filesystem::Plain).expect("make");
    let roots = grounds.roots("one").expect("roots");
    assert!(roots.graph.is_dir() && roots.run.is_dir());
    let all = grounds.place.path().parent().expect("parent").to_path_buf();
    std::fs::create_dir(all.join("temp-dir-1")).expect("what a killed run left");
    std::fs::write(all.join("lock-1"), "").expect("its lock");
    let other = Grounds::make(Some(parent.path()), Filesystem::Plain).expect("make");
    assert!(grounds.path().is_dir() && !all.join("temp-dir-1").exists(), "the dead one alone is removed");
    other.remove().expect("remove");
    drop(grounds);
    assert_eq!(places(parent.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_directory_that_others_write_to_is_not_used() {
    let parent = tempfile::tempdir().expect("dir");
    let all = parent.path().join(format!("lamina-grounds-{}", Uid::effective()));
    std::fs::create_dir_all(all.join("temp-dir-1")).expect("mkdir");
    std::fs::set_permissions(&all, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("chmod");
    let refused = Grounds::make(Some(parent.path()), Filesystem::Plain);
    assert_eq!(refused.map(drop).map_err(|error| error.kind()), Err(Kind::Permission));
    assert!(all.join("temp-dir-1").exists(), "nothing in it is deleted");
}

#[test]
fn every_filesystem_is_made_or_told_to_be_missing() {
    let parent = tempfile::tempdir().expect("dir");
    for filesystem in Filesystem::ALL {
        assert_eq!(Filesystem::named(filesystem.name()), Some(*filesystem));
        let made = in_private_namespace(|| {
            let grounds = Grounds::make(Some(parent.path()), *filesystem)?;
            let directory = grounds.directory("one")?;
            std::fs::write(directory.join("f"), "x").os("write", &directory)?;
            let found = storage_core::mount::filesystem_type(&directory)?.name();
            grounds.remove().map(|()| found)
        });
        match (filesystem, made) {
            (Filesystem::Plain, Ok(_)) => {}
            (Filesystem::Ext4, Ok(found)) => assert_eq!(found, "extfs"),
            (_, Ok(found)) => assert_eq!(found, filesystem.name()),
            (_, Err(error)) => assert_eq!(error.kind(), Kind::NotSupported, "{error}"),
        }
        assert_eq!(places(parent.path()), Vec::<PathBuf>::new(), "{filesystem}");
    }
}
