use super::data::DataCopier;
use super::*;
use crate::error::Kind;
use crate::task::Cancel;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;

fn side(path: &Path) -> Side<'_> {
    Side { root: super::super::ladder::open_directory(path).expect("open"), path }
}

/// A tree with one of everything that a copy could get wrong.
fn make_source(root: &Path) {
    let cd = |command: &str| {
        let status = Command::new("bash").args(["-ec", command]).current_dir(root).status().expect("bash");
        assert!(status.success(), "{command}");
    };
    cd(
        "mkdir -p d/e; echo hello >d/f; ln d/f d/e/hard; ln -s ../nowhere sym; mkfifo fifo; mknod dev c 1 3; mknod wh c 0 0",
    );
    cd("mknod blk b 7 99; chown -h 12:34 sym fifo d; chmod 4755 d/f; chmod 1777 d/e; chmod 0 fifo; ln sym symhard");
    cd(
        "cp /bin/true cap; setcap cap_net_raw+ep cap; setfattr -n user.x -v y d; setfattr -n trusted.overlay.opaque -v y d/e",
    );
    cd("setfattr -h -n trusted.t -v link sym; setfattr -n user.big -v 0x$(printf '00%.0s' {1..2000}) d/f");
    let sparse = std::fs::File::create(root.join("sparse")).expect("create");
    sparse.write_all_at(b"middle", 20 << 20).expect("write");
    sparse.set_len(64 << 20).expect("truncate");
    cd(
        "touch -h -d '2001-02-03 04:05:06.123456789' sym d/f cap sparse fifo; touch -d '1999-01-01 00:00:00.987654321' d/e d .",
    );
}

/// What can be told of every entry: name, type, mode, owner, links, size, device, times, xattrs, content.
fn listing(root: &Path) -> String {
    let script = "find . ! -type s -printf '%p %y %m %U:%G %n %s %T@ %l\\n' | sort; \
         find . \\( -type c -o -type b \\) -exec stat -c '%n %t:%T' {} + | sort; \
         find . | sort | xargs -d '\\n' getfattr -h -d -m - -e hex; find . -type f | sort | xargs -d '\\n' sha256sum";
    let output = Command::new("bash").args(["-c", script]).current_dir(root).output().expect("bash");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn copies_like_cp(data: DataCopier) {
    let dir = tempfile::tempdir().expect("dir");
    let [source, ours, theirs] = ["source", "ours", "theirs"].map(|name| dir.path().join(name));
    std::fs::create_dir(&source).expect("mkdir");
    std::fs::create_dir(&ours).expect("mkdir");
    make_source(&source);
    let listener = std::os::unix::net::UnixListener::bind(source.join("socket"));
    Command::new("touch").args(["-d", "1999-01-01 00:00:00.987654321"]).arg(&source).status().expect("touch");
    let cp = Command::new("cp").args(["-a", "--sparse=auto"]).args([&source, &theirs]).status().expect("cp");
    assert!(cp.success());
    let mut copy = Copy {
        source: Ladder::new(side(&source).root, &source).expect("ladder"),
        target: Ladder::new(side(&ours).root, &ours).expect("ladder"),
        target_root: side(&ours).root,
        here: PathBuf::new(),
        linked: HashMap::new(),
        data,
        task: &Task::new("copy"),
    };
    copy.run().expect("copy");
    assert_eq!(listing(&ours), listing(&theirs));
    assert_eq!(listing(&ours), listing(&source), "the copy differs from what it is a copy of");
    assert!(!ours.join("socket").exists(), "a socket was copied");
    let sparse = std::fs::metadata(ours.join("sparse")).expect("stat");
    assert!(sparse.blocks() * 512 < 1 << 20, "a hole was filled: {} blocks", sparse.blocks());
    drop(listener);
}

#[test]
fn a_copy_is_what_cp_makes() {
    copies_like_cp(DataCopier::default());
}

#[test]
fn a_copy_without_reflink_or_in_kernel_copies_is_the_same() {
    copies_like_cp(DataCopier { reflink: false, in_kernel: false });
}

#[test]
fn hard_links_in_a_tree_deeper_than_a_path_stay_linked() {
    let dir = tempfile::tempdir().expect("dir");
    let [source, target] = ["source", "target"].map(|name| dir.path().join(name));
    std::fs::create_dir(&source).expect("mkdir");
    std::fs::create_dir(&target).expect("mkdir");
    let mut below = side(&source).root;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    for _ in 0..600 {
        rustix::fs::mkdirat(&below, "a-directory", Mode::RWXU).expect("mkdir");
        below = rustix::fs::openat(&below, "a-directory", flags, Mode::empty()).expect("open");
    }
    let create = OFlags::CREATE | OFlags::WRONLY;
    rustix::fs::openat(&below, "one", create, Mode::RUSR).expect("create");
    rustix::fs::linkat(&below, "one", &below, "two", AtFlags::empty()).expect("link");
    copy_tree(side(&source), side(&target), &Task::new("copy")).expect("copy");
    let mut copied = side(&target).root;
    for _ in 0..600 {
        copied = rustix::fs::openat(&copied, "a-directory", flags, Mode::empty()).expect("open");
    }
    let stat = |name: &str| rustix::fs::statat(&copied, name, AtFlags::empty()).expect("stat");
    assert_eq!((stat("one").st_ino, stat("one").st_nlink), (stat("two").st_ino, 2));
}

#[test]
fn a_cancelled_copy_stops() {
    let dir = tempfile::tempdir().expect("dir");
    let [source, target] = ["source", "target"].map(|name| dir.path().join(name));
    std::fs::create_dir(&source).expect("mkdir");
    std::fs::create_dir(&target).expect("mkdir");
    std::fs::write(source.join(OsStr::from_bytes(b"f")), "x").expect("write");
    let cancel = Cancel::default();
    cancel.cancel();
    let stopped = copy_tree(side(&source), side(&target), &Task::new("copy").cancelled_by(cancel));
    assert_eq!(stopped.map_err(|error| error.kind()), Err(Kind::Cancelled));
}
