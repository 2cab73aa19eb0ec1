//! Comparisons: the same as a walk over both views, at the cost of what changed.

use std::fmt::Write as _;
use std::os::fd::AsFd;

use storage_core::archive;
use storage_core::driver::{LayerRef, Start};
use storage_core::mount::Features;
use storage_core::{Error, Kind, Task};

use crate::harness::{Store, chain, changes, fd_path, kind, shell_in, shell_output, with_store};

const BASE: &str = "for d in a b c; do mkdir -p $d/x/y; for i in 1 2 3; do echo $d$i >$d/$i; echo $i >$d/x/$i; \
    echo $d >$d/x/y/$i; done; ln -s 1 $d/link; ln $d/1 $d/hard; mkfifo $d/fifo; done; touch -d @1000000000 $(find . -type f)";

fn assert_same(store: &mut Store, layer: &LayerRef, what: &str) -> Vec<String> {
    let base = layer.parent_ref();
    let ours = store.compare(layer, base.as_ref()).unwrap();
    let naive = store.compare_naively(layer, base.as_ref());
    let (told, expected) = (changes(ours.as_ref()), changes(&naive));
    assert_eq!(told, expected, "{what}");
    let task = Task::new("size");
    let size = |each: &dyn storage_core::driver::Comparison| each.size(&task).unwrap();
    assert_eq!(size(ours.as_ref()), size(&naive), "{what}");
    let pack = |each: &dyn storage_core::driver::Comparison| {
        let mut bytes = Vec::new();
        each.pack(&mut bytes, &mut || Ok(()), &task).unwrap();
        bytes
    };
    assert!(pack(ours.as_ref()) == pack(&naive), "{what}: the archives differ");
    ours.check().unwrap();
    told
}

#[test]
fn each_kind_of_change_is_told_as_by_a_walk_over_both_views() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("nothing", "ls -lR >/dev/null", &[]),
        ("a file is added", "echo new >a/new", &["C /a", "A /a/new"]),
        ("a file deep below is changed", "echo more >>b/x/y/1", &["C /b", "C /b/x", "C /b/x/y", "C /b/x/y/1"]),
        ("a file is deleted", "rm c/2", &["C /c", "D /c/2"]),
        ("a tree is deleted", "rm -r a", &["D /a"]),
        ("only the mode of a file", "chmod 600 a/1", &["C /a", "C /a/1", "C /a/hard"]),
        ("only the owner of a directory", "chown 5 a/x", &["C /a", "C /a/x"]),
        ("touched and put back", "touch a/new; rm a/new", &[]),
        ("a directory becomes a file", "rm -r a; echo x >a", &["C /a"]),
        ("a file becomes a directory", "rm a/1; mkdir a/1; echo x >a/1/f", &["C /a", "C /a/1", "A /a/1/f"]),
        (
            "a directory is deleted and made again",
            "rm -r a/x; mkdir a/x; echo 1 >a/x/new",
            &["C /a", "C /a/x", "D /a/x/1", "D /a/x/2", "D /a/x/3", "A /a/x/new", "D /a/x/y"],
        ),
        ("a new name of a file", "ln a/2 a/new", &["C /a", "C /a/2", "A /a/new"]),
        ("an attribute", "setfattr -n user.k -v v b/x", &["C /b", "C /b/x"]),
        ("an attribute that doesn't count", "setfattr -n trusted.k -v v b/x", &[]),
        ("a link is turned", "ln -sfn 2 c/link", &["C /c", "C /c/link"]),
        ("a new tree", "mkdir -p n/m; echo 1 >n/m/f", &["A /n", "A /n/m", "A /n/m/f"]),
        (
            "a name that sorts between",
            "echo 1 >a/x.z; echo 1 >>a/x/1; echo 1 >a-b",
            &["C /a", "C /a/x", "C /a/x/1", "A /a/x.z", "A /a-b"],
        ),
    ];
    for mountopt in ["", "metacopy=on,redirect_dir=on"] {
        with_store(Features::of_kernel(), mountopt, |store| {
            store.make(&["base"], BASE);
            for (index, (what, script, expected)) in cases.iter().enumerate() {
                let name = format!("case{index}");
                let layer = store.make(&[&name, "base"], "");
                store.edit(&layer, script);
                let told = assert_same(store, &layer, &format!("{what} ({mountopt})"));
                // A copied-up file of two names leaves its other name behind: not what this is about.
                let told: Vec<_> = told.iter().filter(|line| !line.ends_with("hard")).collect();
                let expected: Vec<_> = expected.iter().filter(|line| !line.ends_with("hard")).collect();
                assert_eq!(told, expected, "{what} ({mountopt})");
            }
        });
    }
}

#[test]
fn renamed_directories_and_copies_without_data_are_told_as_they_look() {
    with_store(Features::of_kernel(), "metacopy=on,redirect_dir=on", |store| {
        store.make(&["base"], BASE);
        let layer = store.make(&["renamed", "base"], "");
        store.edit(&layer, "mv a/x moved; chmod 640 b/1; mv c d; echo more >>d/x/1; mv b/x/y b/x/z");
        let marks = shell_output(&store.home.join("renamed/diff"), "getfattr -h -R -d -m trusted.overlay . | sort -u");
        assert!(marks.contains("redirect=") && marks.contains("metacopy"), "the kernel made no marks: {marks}");
        let told = assert_same(store, &layer, "renames");
        for line in ["D /a/x", "A /moved/y/1", "C /b/1", "D /c", "A /d/x/1", "A /b/x/z/1", "D /b/x/y"] {
            assert!(told.contains(&line.to_owned()), "{line} is missing in {told:?}");
        }
        let bytes = {
            let compared = store.compare(&layer, layer.parent_ref().as_ref()).unwrap();
            let mut bytes = Vec::new();
            compared.pack(&mut bytes, &mut || Ok(()), &Task::new("pack")).unwrap();
            bytes
        };
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("t.tar"), bytes).unwrap();
        assert_eq!(shell_output(dir.path(), "tar xf t.tar; cat b/1 d/x/1 moved/2"), "b1\n1\nmore\n2\n");
    });
}

#[test]
fn a_new_name_of_an_unchanged_file_is_one_where_the_changes_are_applied() {
    with_store(Features::of_kernel(), "", |store| {
        store.make(&["base"], BASE);
        let first = store.make(&["first", "base"], "");
        store.edit(&first, "ln a/2 a/new; ln b/x/1 c/one; ln b/x/1 d");
        let told = assert_same(store, &first, "new names");
        assert_eq!(told, ["C /a", "C /a/2", "A /a/new", "C /b", "C /b/x", "C /b/x/1", "C /c", "A /c/one", "A /d"]);
        let compared = store.compare(&first, first.parent_ref().as_ref()).unwrap();
        let mut bytes = Vec::new();
        compared.pack(&mut bytes, &mut || Ok(()), &Task::new("pack")).unwrap();
        let staged = store.begin(Start::OnParent(first.parent_ref())).unwrap();
        let root = staged.root().unwrap();
        archive::ingest(&bytes[..], root.as_fd(), archive::Ingest::new(staged.whiteouts()), &Task::new("apply"))
            .unwrap();
        store.commit(staged, "second").unwrap();
        for name in ["first", "second"] {
            let view = store.view(&chain(&[name, "base"])).unwrap();
            let tell = "test a/2 -ef a/new; test b/x/1 -ef c/one; test b/x/1 -ef d; stat -c %h a/2 d; cat a/new d";
            assert_eq!(shell_output(&fd_path(view.root()), tell), "2\n3\na2\n1\n", "{name}");
        }
    });
}

#[test]
fn whiteouts_as_xattrs_hide_what_they_hide() {
    with_store(Features::of_kernel(), "", |store| {
        store.make(&["base"], BASE);
        let layer = store.make(
            &["x", "base"],
            "mkdir a; touch a/1; chmod 755 a; \
            setfattr -n trusted.overlay.whiteout a/1; setfattr -n trusted.overlay.opaque -v x a",
        );
        let view = store.view(&layer).unwrap();
        let hidden = shell_output(&fd_path(view.root()), "ls a | grep -cx 1 || true");
        let told = assert_same(store, &layer, "xattr whiteouts");
        assert_eq!(told.contains(&"D /a/1".to_owned()), hidden == "0\n", "the comparison and the kernel disagree");
    });
}

#[test]
fn a_base_layer_is_compared_with_nothing_and_others_with_whatever_is_asked() {
    with_store(Features::of_kernel(), "", |store| {
        let a = store.make(&["a"], "mkdir d; echo one >d/f; ln d/f d/g");
        let b = store.make(&["b", "a"], "echo two >h");
        let c = store.make(&["c", "b", "a"], "echo four >d2");
        let told = store.compare(&a, None).unwrap();
        assert_eq!(changes(told.as_ref()), ["A /d", "A /d/f", "A /d/g"]);
        assert_eq!(told.size(&Task::new("size")).unwrap(), 4, "an inode with two names counts once");
        assert_eq!(changes(store.compare(&c, Some(&a)).unwrap().as_ref()), ["A /d2", "A /h"]);
        assert_eq!(changes(store.compare(&b, Some(&c)).unwrap().as_ref()), ["D /d2"]);
        assert_eq!(changes(store.compare(&b, None).unwrap().as_ref()).len(), 4);
    });
}

#[test]
fn only_what_changed_is_looked_at() {
    with_store(Features::of_kernel(), "", |store| {
        store.make(&["base"], "mkdir big; for i in $(seq 2000); do echo x >big/$i; done");
        let layer = store.make(&["top", "base"], "");
        store.edit(&layer, "echo new >new; rm big/7");
        let compared = store.compare(&layer, layer.parent_ref().as_ref()).unwrap();
        let task = Task::new("compare");
        let mut told = Vec::new();
        compared
            .changes(&task, &mut |change| {
                told.push(change.to_string());
                Ok(())
            })
            .unwrap();
        assert_eq!(told, ["C /big", "D /big/7", "A /new"]);
        assert!(task.progress().entries < 10, "{} entries were looked at", task.progress().entries);
        std::fs::create_dir(store.home.join("top/diff1")).unwrap();
        std::fs::write(store.home.join("top/diff1/earlier"), "x").unwrap();
        let told = assert_same(store, &layer, "changes in two directories");
        assert!(told.contains(&"A /earlier".to_owned()));
    });
}

#[test]
fn an_archive_of_a_layer_that_vanishes_has_no_valid_end() {
    with_store(Features::of_kernel(), "", |store| {
        let a = store.make(&["a"], "echo one >f");
        let compared = store.compare(&a, None).unwrap();
        compared.check().unwrap();
        drop(store.remove(&a).unwrap());
        assert_eq!(kind(compared.check()), Some(Kind::Changed));
        let mut bytes = Vec::new();
        let packed = compared.pack(&mut bytes, &mut || compared.check(), &Task::new("pack"));
        assert_eq!(kind(packed), Some(Kind::Changed));
        assert!(!bytes.ends_with(&[0; 1024]), "the archive has an end");
        let stopped = compared.changes(&Task::new("t"), &mut |_| Err(Error::new(Kind::Cancelled, "test")));
        assert_eq!(kind(stopped), Some(Kind::Cancelled), "the caller's own error comes through");
    });
}

/// A small generator, so that a failure can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn path(&mut self) -> String {
        let parts = ["a", "b", "c", "x", "y", "1", "2", "new", "link"];
        let depth = 1 + self.below(3);
        (0..depth).map(|_| parts[self.below(parts.len() as u64) as usize]).collect::<Vec<_>>().join("/")
    }

    fn edit(&mut self) -> String {
        let (path, other) = (self.path(), self.path());
        match self.below(13) {
            0 => format!("[ ! -p {path} ] && echo x{} >{path}", self.below(100)),
            1 => format!("[ ! -p {path} ] && echo more >>{path}"),
            2 => format!("rm -rf {path}"),
            3 => format!("mkdir -p {path}"),
            4 => format!("mv -T {path} {other}"),
            5 => format!("chmod {} {path}", ["600", "755", "700"][self.below(3) as usize]),
            6 => format!("chown -h {} {path}", self.below(3)),
            7 => format!("ln -sfn {other} {path}"),
            8 => format!("ln {path} {other}"),
            9 => format!("rm -rf {path} && mkdir -p {path} && echo y >{path}/fresh"),
            10 => format!("setfattr -h -n user.k -v {} {path}", self.below(3)),
            11 => format!("touch -d @{} {path}", 1_000_000_000 + self.below(3)),
            _ => format!("mkfifo {path}"),
        }
    }
}

#[test]
fn random_edits_are_told_as_by_a_walk_over_both_views() {
    for (round, mountopt) in ["", "metacopy=on,redirect_dir=on", "index=on,redirect_dir=on"].into_iter().enumerate() {
        with_store(Features::of_kernel(), mountopt, |store| {
            let mut names = vec!["base".to_owned()];
            store.make(&["base"], BASE);
            let mut told = 0;
            for step in 0..16 {
                let seed = round as u64 * 1000 + step;
                let mut random = Random(seed);
                let mut script = String::new();
                for _ in 0..(4 + random.below(30)) {
                    writeln!(script, "{{ {} ; }} 2>/dev/null || true", random.edit()).unwrap();
                }
                names.insert(0, format!("layer{step}"));
                let layer = store.make(&names.iter().map(String::as_str).collect::<Vec<_>>(), "");
                let merged = store.mount(&layer, &storage_core::driver::MountOptions::default()).unwrap();
                shell_in(&merged, &script);
                drop(store.unmount(&layer, storage_core::driver::Extent::One).unwrap());
                told += assert_same(store, &layer, &format!("seed {seed} with {mountopt:?}: {script}")).len();
            }
            assert!(told > 100, "the edits changed next to nothing: {told}");
        });
    }
}
