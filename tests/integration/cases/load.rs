//! Loading images where it can't succeed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use integration::case::{Case, case};
use integration::store::{Store, id};
use integration::{Outcome, Scratch, archive, invariants};

use crate::bad_input;

pub(crate) const CASES: &[Case] = &[
    case("load::a_full_disk_changes_nothing::overlay", 60, |s| full_disk(s, "overlay")),
    case("load::a_full_disk_changes_nothing::vfs", 60, |s| full_disk(s, "vfs")),
];

/// A docker archive with these layers.
fn image(place: &Path, layers: &[PathBuf]) -> PathBuf {
    let mut diff_ids = Vec::new();
    let mut names = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        fs::copy(layer, place.join(format!("{number}.tar"))).expect("copy a layer");
        let output = Command::new("sha256sum").arg(layer).output().expect("run sha256sum");
        let text = String::from_utf8(output.stdout).expect("digits");
        diff_ids.push(format!("\"sha256:{}\"", &text[..64]));
        names.push(format!("\"{number}.tar\""));
    }
    let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#, diff_ids.join(","));
    fs::write(place.join("config.json"), config).expect("write");
    let manifest = format!(r#"[{{"Config":"config.json","RepoTags":["x:1"],"Layers":[{}]}}]"#, names.join(","));
    fs::write(place.join("manifest.json"), manifest).expect("write");
    let path = place.with_extension("tar");
    let made = Command::new("tar").arg("-cf").arg(&path).arg("-C").arg(place).arg(".").status();
    assert!(made.expect("run tar").success());
    path
}

fn full_disk(scratch: &Scratch, driver: &'static str) -> Outcome {
    let disk = scratch.small_disk("disk", 48 << 20, "ext4")?;
    let store = Store::at(&disk.join("root"), &scratch.join("run"), driver);
    let small = archive::small(scratch.path(), "small", 10, 1000);
    let other = archive::small(scratch.path(), "other", 10, 2000);
    let large = archive::small(scratch.path(), "large", 100, 1 << 20);
    store.import(&id("before"), None, &small);
    let before = bad_input::sight(&store);
    let place = scratch.join("image");
    fs::create_dir(&place).expect("make a directory");
    let file = image(&place, &[other, large]);
    let file = file.to_str().expect("a printable path");
    bad_input::refused(&store, &before, &["load", "-i", file], &["no space left on device"]);
    store.import(&id("after"), None, &small);
    invariants::assert_clean(&store, "after the failed load and an import that fits");
    Ok(())
}
