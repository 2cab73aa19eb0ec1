//! Images that Lamina loaded and saved, as podman, buildah and skopeo see them.

use std::fs;
use std::path::Path;

use integration::case::{Case, case};
use integration::engines::{self, Engines};
use integration::images::{self, Content, FORMS, Form, Layout, NAME};
use integration::store::Store;
use integration::{Outcome, Scratch, archive, invariants, tree};
use serde_json::Value;

use crate::images::text;

pub(crate) const CASES: &[Case] = &[
    case("loaded::recorded_as_skopeo_does::overlay", 180, |s| recorded(s, "overlay")),
    case("loaded::recorded_as_skopeo_does::vfs", 180, |s| recorded(s, "vfs")),
    case("loaded::recorded_as_skopeo_does::btrfs", 180, |s| recorded(s, "btrfs")),
    case("loaded::debian_lives_in_podman::overlay", 300, |s| lives(s, "overlay", Form::Gzip)),
    case("loaded::debian_lives_in_podman::vfs", 300, |s| lives(s, "vfs", Form::Zstd)),
    case("loaded::debian_lives_in_podman::btrfs", 300, |s| lives(s, "btrfs", Form::Zstd)),
    case("loaded::runs::overlay", 180, |s| runs(s, "overlay")),
    case("loaded::runs::vfs", 180, |s| runs(s, "vfs")),
    case("loaded::runs::btrfs", 180, |s| runs(s, "btrfs")),
    case("loaded::layers_are_shared::overlay", 120, |s| shared(s, "overlay")),
    case("loaded::layers_are_shared::vfs", 120, |s| shared(s, "vfs")),
    case("loaded::layers_are_shared::btrfs", 120, |s| shared(s, "btrfs")),
    case("loaded::comes_out_by_skopeo_as_it_went_in::overlay", 180, |s| round_trip(s, "overlay")),
    case("loaded::comes_out_by_skopeo_as_it_went_in::vfs", 180, |s| round_trip(s, "vfs")),
    case("loaded::comes_out_by_skopeo_as_it_went_in::btrfs", 180, |s| round_trip(s, "btrfs")),
    case("loaded::saved_for_the_others::overlay", 180, |s| saved(s, "overlay")),
    case("loaded::saved_for_the_others::vfs", 180, |s| saved(s, "vfs")),
    case("loaded::saved_for_the_others::btrfs", 180, |s| saved(s, "btrfs")),
    case("loaded::what_podman_saved::overlay", 180, |s| saved_by_podman(s, "overlay")),
    case("loaded::what_podman_saved::vfs", 180, |s| saved_by_podman(s, "vfs")),
    case("loaded::what_podman_saved::btrfs", 180, |s| saved_by_podman(s, "btrfs")),
];

/// The parts of an image's record and its layers' that follow from the image alone.
fn described(store: &Store, id: &str) -> Vec<Value> {
    let images = store.records("images");
    let mut image = images.into_iter().find(|record| record["id"] == id).expect("a record of the image");
    let layers = store.records("layers");
    let mut all = Vec::new();
    let mut next = text(&image, "layer").to_owned();
    while !next.is_empty() {
        let mut layer = layers.iter().find(|record| record["id"] == next.as_str()).expect("a layer's record").clone();
        layer["parent"].as_str().unwrap_or_default().clone_into(&mut next);
        let fields = layer.as_object_mut().expect("a record is an object");
        fields.retain(|key, _| !["id", "parent", "created"].contains(&key.as_str()));
        all.push(layer);
    }
    let fields = image.as_object_mut().expect("a record is an object");
    fields.remove("layer");
    if let Some(names) = fields["big-data-names"].as_array_mut() {
        names.sort_by_key(|name| name.as_str().unwrap_or_default().to_owned());
    }
    all.push(image);
    all
}

fn recorded(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    for form in FORMS {
        let file = images::image(&engines, Content::Small, form)?;
        let (ours, theirs) =
            (engines.beside(&format!("ours-{form:?}"), driver), engines.beside(&format!("p-{form:?}"), driver));
        let id = ours.load(&file, form, NAME);
        theirs.copy(&images::transport(&file, form), &theirs.reference(NAME));
        let (by_us, by_them) = (described(&ours.store, &id), described(&theirs.store, &id));
        assert_eq!(by_us.len(), by_them.len(), "{form:?}: as many layers");
        for (left, right) in by_us.iter().zip(&by_them) {
            assert_eq!(left, right, "{form:?}: Lamina's record and skopeo's");
        }
        let peer = theirs.store.peer()?;
        let image = &ours.store.records("images")[0];
        for key in image["big-data-names"].as_array().into_iter().flatten() {
            let key = key.as_str().expect("a key is text");
            let data = |store: &Store| store.run(&["get-image-data", &id, key]).output.stdout;
            assert!(data(&ours.store) == data(&peer), "{form:?}: {key} of the image differs from skopeo's");
        }
        let inspected = |engines: &Engines| {
            let mut json = engines.inspect_image(&id);
            json["GraphDriver"] = Value::Null;
            json
        };
        assert_eq!(inspected(&ours), inspected(&theirs), "{form:?}: podman inspects both alike");
        let mount = |engines: &Engines| {
            let found = tree::read(Path::new(&engines.podman(&["image", "mount", NAME])));
            engines.podman(&["image", "unmount", NAME]);
            found
        };
        tree::assert_same_below_root(
            &format!("{form:?}: loaded by Lamina and by skopeo"),
            &mount(&ours),
            &mount(&theirs),
        );
        ours.assert_checked("after a load");
        ours.assert_whole("after Lamina loaded");
        ours.podman(&["rmi", NAME]);
        assert_eq!(ours.store.ids(), Vec::<String>::new(), "{form:?}: podman removed all that Lamina loaded");
        invariants::assert_clean(&ours.store, "after podman removed what Lamina loaded");
    }
    Ok(())
}

fn lives(scratch: &Scratch, driver: &'static str, form: Form) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    let file = images::image(&engines, Content::Debian, form)?;
    let layout = Layout::read(&file);
    let id = engines.load(&file, form, NAME);
    assert_eq!(id, layout.id(), "load gives the digest of the configuration");
    let inspected = engines.inspect_image(NAME);
    assert_eq!(text(&inspected, "Digest"), layout.manifest, "podman knows the manifest");
    let layers: Vec<&str> =
        inspected["RootFS"]["Layers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert_eq!(layers, layout.diff_ids, "podman knows the layers");
    let mounted = engines.podman(&["image", "mount", NAME]);
    let anew = fs::read_to_string(Path::new(&mounted).join("tmp/anew")).expect("read in an image");
    assert_eq!(anew, "in a directory that was removed and made again");
    assert!(!Path::new(&mounted).join("many/7").exists(), "what a layer deleted is gone");
    engines.podman(&["image", "unmount", NAME]);

    images::change(&engines, NAME, "localhost/on-top:1", |dir| archive::put(dir, "on-top", "x"));
    engines.podman(&["create", "--name", "box", NAME, "/bin/true"]);
    archive::put(Path::new(&engines.podman(&["mount", "box"])), "in-the-box", "x");
    engines.podman(&["unmount", "box"]);
    engines.podman(&["commit", "--quiet", "box", "localhost/of-the-box:1"]);
    for (name, path) in [("localhost/on-top:1", "on-top"), ("localhost/of-the-box:1", "in-the-box")] {
        assert!(engines.store.mount_image(name).join(path).exists(), "{name} has what was committed");
        engines.store.unmount(name);
        let depth = engines.inspect_image(name)["RootFS"]["Layers"].as_array().map_or(0, Vec::len);
        assert_eq!(depth, layout.diff_ids.len() + 1, "{name} shares every layer below");
    }
    engines.assert_checked("after podman and buildah built on what Lamina loaded");
    engines.assert_whole("after Lamina loaded and others built on it");
    engines.podman(&["rm", "box"]);
    engines.podman(&["rmi", "localhost/of-the-box:1", "localhost/on-top:1", NAME]);
    assert_eq!(engines.store.ids(), Vec::<String>::new(), "podman removed everything");
    invariants::assert_clean(&engines.store, "after podman removed everything");
    Ok(())
}

fn runs(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    engines::one_kind_of_cgroups()?;
    let file = images::image(&engines, Content::Debian, Form::Gzip)?;
    let run = |engines: &Engines| {
        let script = "cat /tmp/anew && echo it runs > /etc/written && cat /etc/written";
        let mut command = engines.podman_command();
        command.args(["run", "--rm", "--network", "none", "--cgroups", "disabled", NAME, "/bin/sh", "-c", script]);
        integration::store::end(command)
    };
    // What the machine can't do at all says nothing about Lamina.
    let theirs = engines.beside("theirs", driver);
    theirs.copy(&images::transport(&file, Form::Gzip), &theirs.reference(NAME));
    let tried = run(&theirs);
    if !tried.output.status.success() {
        let why = tried.stderr();
        return Err(integration::Skip(format!("podman can't run containers here: {}", why.trim_end())));
    }
    engines.load(&file, Form::Gzip, NAME);
    let ran = run(&engines);
    assert!(ran.output.status.success(), "a loaded image runs: {}", ran.describe());
    assert_eq!(ran.output.stdout, tried.output.stdout, "and says what it says when skopeo loaded it");
    engines.assert_whole("after an image that Lamina loaded was run");
    Ok(())
}

fn shared(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    let file = images::image(&engines, Content::Small, Form::Gzip)?;
    let child = engines.join("child");
    let other = engines.beside("other", "overlay");
    other.copy(&images::transport(&file, Form::Gzip), &other.reference(NAME));
    images::change(&other, NAME, "localhost/child:1", |dir| archive::put(dir, "child", "x"));
    other.copy(&other.reference("localhost/child:1"), &format!("oci:{}:localhost/child:1", child.display()));
    let (base, child_layers) = (Layout::read(&file).diff_ids.len(), Layout::read(&child).diff_ids.len());

    // Lamina loads onto what skopeo stored, and finds again what it loaded itself.
    engines.copy(&images::transport(&file, Form::Gzip), &engines.reference(NAME));
    let before = engines.store.ids();
    assert_eq!(before.len(), base);
    engines.load(&child, Form::Gzip, "localhost/child:1");
    assert_eq!(engines.store.ids().len(), child_layers, "only the layer that is new was added");
    engines.load(&child, Form::Gzip, "localhost/child-again:1");
    assert_eq!(engines.store.ids().len(), child_layers, "nothing is new the second time");
    let names = engines.podman(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    for name in ["localhost/child:1", "localhost/child-again:1"] {
        assert!(names.contains(name), "{name} is listed: {names}");
    }
    // skopeo finds what Lamina loaded.
    engines.podman(&["rmi", "--force", "localhost/child:1", "localhost/child-again:1", NAME]);
    assert_eq!(engines.store.ids(), Vec::<String>::new());
    engines.load(&file, Form::Gzip, NAME);
    let loaded = engines.store.ids();
    engines.copy(&images::transport(&child, Form::Gzip), &engines.reference("localhost/child:1"));
    let all = engines.store.ids();
    assert_eq!(all.len(), child_layers, "skopeo added only what is new");
    assert!(loaded.iter().all(|id| all.contains(id)), "and kept Lamina's layers");
    // An image goes with what only it needs.
    engines.podman(&["rmi", NAME]);
    assert_eq!(engines.store.ids(), all, "the child needs every layer");
    engines.store.ok(&["delete-image", "localhost/child:1"]);
    assert_eq!(engines.store.ids(), Vec::<String>::new(), "the last image takes its layers along");
    invariants::assert_clean(&engines.store, "after all images are gone");
    Ok(())
}

fn round_trip(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    let gzip = images::image(&engines, Content::Small, Form::Gzip)?;
    for form in FORMS {
        let file = images::image(&engines, Content::Small, form)?;
        let (ours, theirs) =
            (engines.beside(&format!("ours-{form:?}"), driver), engines.beside(&format!("p-{form:?}"), driver));
        ours.load(&file, form, NAME);
        theirs.copy(&images::transport(&file, form), &theirs.reference(NAME));
        for (kind, options) in [("gzip", &[][..]), ("plain", &["--dest-oci-accept-uncompressed-layers"])] {
            let out = |engines: &Engines, who: &str| {
                let dir = engines.join(&format!("{who}-{form:?}-{kind}"));
                let to = format!("oci:{}:{NAME}", dir.display());
                engines.skopeo(&[&["copy", "--quiet"], options, &[&engines.reference(NAME), &to]].concat());
                Layout::read(&dir)
            };
            let (by_us, by_them) = (out(&ours, "ours"), out(&theirs, "theirs"));
            assert_eq!(by_us, by_them, "{form:?} by {kind}: what skopeo copies out doesn't depend on who loaded");
            // Archives have the same image in another wrapping.
            let archived = matches!(form, Form::OciArchive | Form::DockerArchive);
            let original = Layout::read(if archived { &gzip } else { &file });
            assert_eq!(by_us.config_bytes, original.config_bytes, "{form:?} by {kind}: the configuration");
            assert_eq!(by_us.diff_ids, original.diff_ids, "{form:?} by {kind}: the layers");
            if matches!((form, kind), (Form::Gzip | Form::OciArchive, "gzip") | (Form::Plain, "plain")) {
                assert_eq!(by_us.blobs, original.blobs, "{form:?} by {kind}: the layers as stored");
            }
        }
    }
    Ok(())
}

fn saved(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    let file = images::image(&engines, Content::Small, Form::Gzip)?;
    let original = Layout::read(&file);
    engines.copy(&images::transport(&file, Form::Gzip), &engines.reference(NAME));
    let own = images::change(&engines, NAME, "localhost/committed:1", |dir| archive::put(dir, "on-top", "x"));
    for (name, id) in [(NAME, original.id()), ("localhost/committed:1", own.as_str())] {
        let dir = engines.join(&format!("saved-{}", &id[..12]));
        engines.save(name, &dir);
        let written = Layout::read(&dir);
        assert_eq!(written.id(), id, "the configuration of {name}");
        let inspected = engines.inspect_image(name);
        let layers: Vec<&str> =
            inspected["RootFS"]["Layers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert_eq!(written.diff_ids, layers, "the layers of {name}");
        let source = format!("oci:{}:{name}", dir.display());
        let raw = engines.skopeo(&["inspect", "--raw", &source]);
        assert_eq!(
            format!("sha256:{}", archive::sha256(raw.as_bytes())),
            written.manifest,
            "skopeo reads the manifest"
        );

        let other = engines.beside(&format!("other-{}", &id[..12]), driver);
        other.copy(&source, &other.reference("localhost/back:1"));
        assert_eq!(text(&other.inspect_image("localhost/back:1"), "Id"), id, "skopeo takes it back");
        let here = tree::read(&engines.store.mount_image(name));
        engines.store.unmount(name);
        let there = tree::read(Path::new(&other.podman(&["image", "mount", "localhost/back:1"])));
        tree::assert_same_below_root(&format!("{name} here, and saved and copied"), &here, &there);
        other.podman(&["image", "unmount", "localhost/back:1"]);
        other.podman(&["rmi", "--force", id]);

        let tar = engines.join("saved.tar");
        engines.save(name, &tar);
        other.podman(&["load", "--quiet", "--input", tar.to_str().expect("a printable path")]);
        assert_eq!(text(&other.inspect_image(name), "Id"), id, "podman loads it by its name");
        fs::remove_file(&tar).expect("remove an archive");
    }
    engines.assert_whole("after Lamina saved");
    Ok(())
}

/// Archives of podman's, of one image and of several, go in as they are.
fn saved_by_podman(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    let file = images::image(&engines, Content::Small, Form::Gzip)?;
    let other = engines.beside("other", "overlay");
    other.copy(&images::transport(&file, Form::Gzip), &other.reference(NAME));
    images::change(&other, NAME, "localhost/child:1", |dir| archive::put(dir, "on-top", "x"));
    other.podman(&["tag", "localhost/child:1", "registry.example:5000/some/child:second"]);
    let named = |engines: &Engines| {
        let all = engines.podman(&["images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"]);
        let mut lines: Vec<String> = all.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let all = [NAME, "localhost/child:1", "registry.example:5000/some/child:second"];
    let forms: [(&str, &[&str]); 2] = [
        ("docker-archive", &["--format", "docker-archive", "--multi-image-archive"]),
        ("oci-archive", &["--format", "oci-archive"]),
    ];
    for (name, options) in forms {
        let out = engines.join(&format!("{name}.saved"));
        let wanted = if name == "docker-archive" { &all[..] } else { &all[..1] };
        let path = out.to_str().expect("a printable path");
        other.podman(&[&["save", "--quiet"], options, &["--output", path], wanted].concat());
        engines.load_all(&out);
        let expected: Vec<String> =
            named(&other).into_iter().filter(|line| wanted.iter().any(|name| line.ends_with(name))).collect();
        assert_eq!(named(&engines), expected, "{name}: names and ids are those of where it comes from");
        engines.assert_whole("after Lamina loaded what podman saved");
        engines.podman(&["rmi", "--all", "--force"]);
        assert_eq!(engines.store.ids(), Vec::<String>::new(), "{name}: podman removed it");
    }
    Ok(())
}
