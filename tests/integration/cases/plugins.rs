//! Driver plugins: examples built outside the tree, and which shared objects are not trusted.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use integration::case::{Case, case};
use integration::store::{end, id, must};
use integration::{Outcome, Scratch, Store, archive, machine, plugins, tree};
use serde_json::Value;

pub(crate) const CASES: &[Case] = &[
    case("plugins::the_example_in_c_serves_a_store", 200, in_c),
    case("plugins::the_example_in_rust_serves_a_store", 1500, in_rust),
    case("plugins::an_older_and_smaller_table_serves_a_store", 200, smaller),
    case("plugins::directories_are_searched_and_the_choice_is_explained", 100, searched),
    case("plugins::what_others_could_have_written_is_refused", 100, untrusted),
    case("plugins::a_way_that_others_could_have_bent_is_refused", 100, bent),
];

/// What every driver owes, through a plugin.
fn serves(scratch: &Scratch, plugin: &Path, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver).with(&["--plugin", plugin.to_str().expect("a plain path")]);
    let source = scratch.make("source");
    archive::one_of_everything(&source);
    let tar = scratch.join("layer.tar");
    archive::pack(&source, &tar, "pax");
    let (base, child) = (id("base"), id("child"));
    store.import(&base, None, &tar);
    assert!(store.diff(&base) == fs::read(&tar).expect("read"), "the diff has the bytes of the import");
    store.create(&child, Some(&base));
    let root = store.mount(&child);
    tree::assert_same_below_root("the child shows its parent's tree", &tree::read(&root), &tree::read(&source));
    archive::put(&root, "new", "content");
    store.unmount(&child);
    assert!(store.changes(&child).iter().any(|change| change.contains("/new")), "{:?}", store.changes(&child));
    store.delete(&child);
    store.delete(&base);
    store.ok(&["gc"]);
    assert!(store.ids().is_empty());
    assert_eq!(fs::read_dir(store.home().join("layers")).expect("list").count(), 0, "no place is left");
    let mut tour = Command::new(&store.bin);
    tour.arg("--plugin").arg(plugin).args(["tour", "--driver", driver, "--root"]).arg(scratch.path());
    tour.arg("--layer").arg(archive::small(scratch.path(), "small", 50, 4000));
    let told = must(tour);
    assert!(told.contains("Every check held."), "{told}");
    Ok(())
}

fn in_c(scratch: &Scratch) -> Outcome {
    serves(scratch, &plugins::example_in_c(scratch)?, "dircopy")
}

fn in_rust(scratch: &Scratch) -> Outcome {
    serves(scratch, &plugins::example_in_rust(scratch)?, "treecopy")
}

fn smaller(scratch: &Scratch) -> Outcome {
    serves(scratch, &plugins::broken(scratch, "SMALLER")?, "dircopy")
}

/// `drivers --json` on a root of the case's own, with more arguments and variables.
fn drivers(scratch: &Scratch, flags: &[&Path], path: &str) -> Value {
    let mut command = Command::new(machine::lamina().expect("a command to test"));
    command.arg("-g").arg(scratch.join("root")).arg("-R").arg(scratch.join("run"));
    for flag in flags {
        command.arg("--plugin").arg(flag);
    }
    command.args(["drivers", "--json"]).env("LAMINA_PLUGIN_PATH", path);
    let ended = end(command);
    assert!(ended.output.status.success(), "{}", ended.describe());
    serde_json::from_slice(&ended.output.stdout).expect("JSON")
}

fn named<'a>(told: &'a Value, name: &str) -> Option<&'a Value> {
    told["drivers"].as_array()?.iter().find(|each| each["name"] == name)
}

/// Expects that `file` was refused, with words of the reason.
#[track_caller]
fn refused(told: &Value, file: &Path, words: &str) {
    let list = told["refused"].as_array().expect("a list");
    let found = list
        .iter()
        .find(|each| each["path"] == file.to_str().expect("plain"))
        .unwrap_or_else(|| panic!("{} is not among {list:?}", file.display()));
    assert!(found["reason"].as_str().is_some_and(|reason| reason.contains(words)), "{words:?} is not in {found}");
    assert!(named(told, "dircopy").is_none(), "it was refused and is there: {told}");
}

fn searched(scratch: &Scratch) -> Outcome {
    let plugin = plugins::example_in_c(scratch)?;
    let (one, two) = (scratch.make("one"), scratch.make("two"));
    fs::copy(&plugin, one.join("a.so")).expect("copy");
    fs::copy(&plugin, two.join("b.so")).expect("copy");
    fs::write(one.join("readme.txt"), "no plugin").expect("write");
    fs::write(one.join("text.so"), "no shared object").expect("write");
    let path = format!("{}:{}:{}", one.display(), two.display(), scratch.join("none").display());
    let told = drivers(scratch, &[&one.join("a.so")], &one.display().to_string());
    let twice = told["refused"].as_array().expect("a list").iter().map(|each| each["path"].clone());
    let text = one.join("text.so").to_str().expect("plain").to_owned();
    assert_eq!(twice.collect::<Vec<_>>(), [Value::from(text)], "a file that is named and found is not refused");
    let told = drivers(scratch, &[], &path);
    let loaded = named(&told, "dircopy").expect("it was found");
    assert_eq!((loaded["origin"].as_str(), loaded["file"].as_str()), (Some("loaded"), one.join("a.so").to_str()));
    let mut paths: Vec<_> =
        told["refused"].as_array().expect("a list").iter().map(|each| each["path"].clone()).collect();
    paths.sort_by_key(ToString::to_string);
    assert_eq!(
        paths,
        [scratch.join("none"), one.join("text.so"), two.join("b.so")]
            .map(|path| path.to_str().expect("plain").to_owned())
    );
    assert_eq!(told["chosen"], "overlay", "a plugin that isn't automatic is not chosen by itself: {told}");
    // A root that holds its layers already gets it, and no other; what a store says loads nothing.
    let store = Store::new(scratch, "store", "dircopy").with(&["--plugin", plugin.to_str().expect("plain")]);
    store.create(&id("layer"), None);
    let with = |flags: &[&str]| {
        let mut command = Command::new(&store.bin);
        command.arg("-g").arg(&store.root).arg("-R").arg(&store.run).args(flags);
        end(command)
    };
    let flag = ["--plugin", plugin.to_str().expect("plain")];
    let told = with(&[&flag[..], &["drivers"]].concat());
    let text = String::from_utf8_lossy(&told.output.stdout).into_owned();
    assert!(text.contains("gets dircopy: the root holds its layers already"), "{text}");
    assert!(!with(&["-s", "dircopy", "layers"]).output.status.success(), "a driver was loaded because a store says so");
    // Two drivers have layers there.
    archive::put(&store.root, "vfs/dir/x/file", "content");
    let several = with(&[&flag[..], &["layers"]].concat());
    let said = several.stderr();
    assert!(
        said.contains("several valid graphdrivers: dircopy, vfs")
            || said.contains("several valid graphdrivers: vfs, dircopy"),
        "{said}"
    );
    assert!(said.contains("--storage-driver"), "{said}");
    Ok(())
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

fn untrusted(scratch: &Scratch) -> Outcome {
    let plugin = plugins::example_in_c(scratch)?;
    let dir = scratch.make("dir");
    let file = dir.join("x.so");
    fs::copy(&plugin, &file).expect("copy");
    let path = dir.to_str().expect("plain").to_owned();
    assert!(named(&drivers(scratch, &[], &path), "dircopy").is_some(), "a file of root's that only root may write to");
    for (bits, word) in [(0o775, "mode 0775"), (0o757, "mode 0757"), (0o1757, "mode 1757")] {
        mode(&file, bits);
        refused(&drivers(scratch, &[], &path), &file, word);
        refused(&drivers(scratch, &[&file], ""), &file, word);
    }
    mode(&file, 0o755);
    chown(&file, Some(1234), None).expect("chown");
    refused(&drivers(scratch, &[], &path), &file, "belongs to user 1234");
    chown(&file, Some(0), None).expect("chown");
    for bits in [0o775, 0o757, 0o1777] {
        mode(&dir, bits);
        refused(&drivers(scratch, &[], &path), &dir, "others may write to the directory");
        refused(&drivers(scratch, &[&file], ""), &file, "others may write to the directory");
    }
    mode(&dir, 0o755);
    chown(&dir, Some(1234), None).expect("chown");
    refused(&drivers(scratch, &[], &path), &dir, "belongs to user 1234");
    chown(&dir, Some(0), None).expect("chown");
    refused(&drivers(scratch, &[&dir], ""), &dir, "not a regular file");
    // One that was named must be good for any other verb.
    mode(&file, 0o777);
    let store = Store::new(scratch, "store", "dircopy").with(&["--plugin", file.to_str().expect("plain")]);
    let ended = store.run(&["layers"]);
    assert!(ended.stderr().contains("others may write to the file"), "{}", ended.describe());
    assert_eq!(ended.output.status.code(), Some(22), "{}", ended.describe());
    Ok(())
}

fn bent(scratch: &Scratch) -> Outcome {
    let plugin = plugins::example_in_c(scratch)?;
    let (bad, good) = (scratch.make("way/bad/in"), scratch.make("way/good"));
    fs::copy(&plugin, bad.join("x.so")).expect("copy");
    fs::copy(&plugin, good.join("x.so")).expect("copy");
    let above = scratch.join("way/bad");
    let try_one = |file: &PathBuf| drivers(scratch, &[file], "");
    // A directory further up.
    mode(&above, 0o777);
    refused(&try_one(&bad.join("x.so")), &bad.join("x.so"), "others may write to the directory");
    // Through a link to the file, to its directory, relative, and through one link to another.
    let links = scratch.make("links");
    symlink(bad.join("x.so"), links.join("file.so")).expect("symlink");
    symlink(&bad, links.join("dir")).expect("symlink");
    symlink("../way/bad/in/x.so", links.join("relative.so")).expect("symlink");
    symlink("relative.so", links.join("twice.so")).expect("symlink");
    for name in ["file.so", "dir/x.so", "relative.so", "twice.so"] {
        refused(&try_one(&links.join(name)), &links.join(name), "others may write to the directory");
    }
    symlink("loop.so", links.join("loop.so")).expect("symlink");
    refused(&try_one(&links.join("loop.so")), &links.join("loop.so"), "ymbolic link");
    // A link of somebody else's to something good.
    symlink(good.join("x.so"), links.join("foreign.so")).expect("symlink");
    std::os::unix::fs::lchown(links.join("foreign.so"), Some(1234), None).expect("lchown");
    refused(&try_one(&links.join("foreign.so")), &links.join("foreign.so"), "a link on the way belongs to user 1234");
    // Links among what is trusted are fine, and so is a sticky directory of root's on the way.
    symlink("../way/good/x.so", links.join("good.so")).expect("symlink");
    assert!(named(&try_one(&links.join("good.so")), "dircopy").is_some());
    mode(&above, 0o1777);
    assert!(named(&try_one(&bad.join("x.so")), "dircopy").is_some());
    chown(&above, Some(1234), None).expect("chown");
    refused(&try_one(&bad.join("x.so")), &bad.join("x.so"), "belongs to user 1234");
    Ok(())
}
