//! Archives and comparisons of trees whose owners are kept under maps.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use storage_core::archive::{Ingest, Tree, compare, ingest, pack};
use storage_core::idmap::{Maps, parse_map};
use storage_core::{Kind, Task};

use crate::support::{OVERLAY, run, scratch};

fn shell(dir: &Path, script: &str) {
    run("bash", dir, &["-euc", script]);
}

fn maps(uids: &str, gids: &str) -> Maps {
    Maps::new(parse_map(uids).unwrap(), parse_map(gids).unwrap()).unwrap()
}

fn extract(archive: &[u8], into: &Path, maps: &Maps) -> storage_core::Result<storage_core::archive::Ingested> {
    let root = File::open(into).unwrap();
    let options = Ingest { maps: maps.clone(), ..Ingest::new(OVERLAY) };
    ingest(archive, root.as_fd(), options, &Task::new("ingest"))
}

fn packed(root: &Path, maps: &Maps) -> storage_core::Result<Vec<u8>> {
    let root = File::open(root).unwrap();
    let mut out = Vec::new();
    let tree = Tree { root: root.as_fd(), maps };
    pack(tree, None, &mut out, &mut || Ok(()), &Task::new("pack"))?;
    Ok(out)
}

fn owners(root: &Path) -> String {
    shell(root, "find . -printf '%p %U:%G\\n' | sort >../told");
    std::fs::read_to_string(root.with_file_name("told")).unwrap()
}

#[test]
fn owners_go_through_the_maps_on_the_way_in_and_back_on_the_way_out() {
    let dir = scratch();
    let (plain, mapped) = (dir.path().join("a"), dir.path().join("b"));
    shell(
        &plain,
        "mkdir -p d/e; echo x >d/f; ln d/f d/g; ln -s f d/l; mkfifo p; chown 5:6 d/f p; chown -h 7:8 d/l; chown 9 d/e",
    );
    let archive = packed(&plain, &Maps::NONE).unwrap();
    let maps = maps("0:1000:8,8:5000:100", "0:2000:100");
    let ingested = extract(&archive, &mapped, &maps).unwrap();
    assert_eq!(ingested.uids, [0, 5, 7, 9], "the ids are told as the archive has them");
    let expected =
        ". 0:0\n./d 1000:2000\n./d/e 5001:2000\n./d/f 1005:2006\n./d/g 1005:2006\n./d/l 1007:2008\n./p 1005:2006\n";
    assert_eq!(owners(&mapped), expected);
    assert!(packed(&mapped, &maps).unwrap() == archive, "the archive of the mapped tree is another");
    let (new, old) = (File::open(&mapped).unwrap(), File::open(&plain).unwrap());
    let told = |maps: &Maps| {
        let mut count = 0;
        let new = Tree { root: new.as_fd(), maps };
        let old = Tree::plain(old.as_fd());
        let each = &mut |_| {
            count += 1;
            Ok(())
        };
        compare(new, Some(old), Path::new("/"), &Task::new("compare"), each).unwrap();
        count
    };
    assert_eq!((told(&maps), told(&Maps::NONE)), (0, 6));
}

#[test]
fn an_owner_outside_the_maps_is_named() {
    let dir = scratch();
    let (plain, mapped) = (dir.path().join("a"), dir.path().join("b"));
    shell(&plain, "echo x >good; echo x >bad; chown 5:70 bad");
    let archive = packed(&plain, &Maps::NONE).unwrap();
    let narrow = maps("0:1000:10", "0:1000:10");
    let refused = extract(&archive, &mapped, &narrow).unwrap_err();
    assert_eq!(refused.kind(), Kind::InvalidMappings);
    assert!(refused.to_string().contains("bad") && refused.to_string().contains("5:70"), "{refused}");
    let refused = packed(&plain, &maps("0:0:10", "0:0:10")).unwrap_err();
    assert_eq!(refused.kind(), Kind::InvalidMappings);
    assert!(refused.to_string().contains("bad") && refused.to_string().contains("5:70"), "{refused}");
}

#[test]
fn directories_that_the_archive_only_implies_belong_to_the_containers_root() {
    let dir = scratch();
    let (plain, mapped) = (dir.path().join("a"), dir.path().join("b"));
    shell(&plain, "mkdir -p d/e; echo x >d/e/f; tar cf t d/e/f");
    let archive = std::fs::read(plain.join("t")).unwrap();
    extract(&archive, &mapped, &maps("0:1000:10", "0:2000:10")).unwrap();
    assert_eq!(owners(&mapped), ". 0:0\n./d 1000:2000\n./d/e 1000:2000\n./d/e/f 1000:2000\n");
}
