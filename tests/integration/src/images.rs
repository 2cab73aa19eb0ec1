//! Images to load, made once by buildah and kept below the build directory as OCI layouts and docker archives.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::archive;
use crate::case::Skip;
use crate::engines::Engines;
use crate::machine;
use crate::rootfs;
use crate::tree;

/// What is in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A few files of every kind, and two layers that add, change, remove and replace.
    Small,
    /// Debian's root filesystem, and two layers on it.
    Debian,
}

/// How an image is stored outside a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An OCI layout whose layers are not compressed.
    Plain,
    /// An OCI layout with layers by gzip.
    Gzip,
    /// An OCI layout with layers by zstd.
    Zstd,
    /// An OCI layout in a tar archive.
    OciArchive,
    /// `docker save`'s archive.
    DockerArchive,
}

/// Every form.
pub const FORMS: [Form; 5] = [Form::Plain, Form::Gzip, Form::Zstd, Form::OciArchive, Form::DockerArchive];

/// The name that the image has in a layout or archive.
pub const NAME: &str = "localhost/fixture:1";

/// To be raised when the images change, so that those of an older run aren't taken.
const EDITION: u32 = 2;

/// Gives the directory or file, made if it isn't there. Cases that run at the same time wait for each other.
pub fn image(engines: &Engines, content: Content, form: Form) -> Result<PathBuf, Skip> {
    let root = (content == Content::Debian).then(|| rootfs::archive(rootfs::Form::Plain)).transpose()?;
    let cache = machine::cache().join(format!("images-{EDITION}"));
    fs::create_dir_all(&cache).expect("make the cache");
    let held = File::create(cache.join("lock")).expect("make the lock of the cache");
    held.lock().expect("lock the cache");
    let wanted = cache.join(file_name(content, form));
    if !wanted.exists() {
        let builder = engines.beside("fixture", "overlay");
        build(&builder, root.as_deref());
        let large = [Form::Gzip, Form::Zstd];
        for form in if content == Content::Debian { &large[..] } else { &FORMS[..] } {
            keep(&builder, content, *form, &cache);
        }
    }
    Ok(wanted)
}

/// A path with its form, as skopeo names it.
pub fn transport(path: &Path, form: Form) -> String {
    let kind = match form {
        Form::DockerArchive => "docker-archive",
        Form::OciArchive => "oci-archive",
        Form::Plain | Form::Gzip | Form::Zstd => "oci",
    };
    format!("{kind}:{}", path.display())
}

fn file_name(content: Content, form: Form) -> String {
    format!("{content:?}-{form:?}").to_lowercase()
}

fn keep(builder: &Engines, content: Content, form: Form, cache: &Path) {
    let part = cache.join(format!("{}.part", file_name(content, form)));
    let _ = fs::remove_dir_all(&part).or_else(|_| fs::remove_file(&part));
    let options: &[&str] = match form {
        Form::Plain => &["--dest-oci-accept-uncompressed-layers"],
        Form::Gzip | Form::OciArchive | Form::DockerArchive => &[],
        Form::Zstd => &["--dest-compress", "--dest-compress-format", "zstd"],
    };
    let to = format!("{}:{NAME}", transport(&part, form));
    builder.skopeo(&[&["copy", "--quiet"], options, &[&builder.reference(NAME), &to]].concat());
    fs::rename(&part, cache.join(file_name(content, form))).expect("keep an image");
}

fn build(builder: &Engines, root: Option<&Path>) {
    let made = builder.join("made");
    let base = root.map_or_else(
        || {
            archive::one_of_everything(&made);
            // buildah's version of the reference knows no times before 1970.
            fs::remove_file(made.join("times/before-the-epoch")).expect("remove a file");
            let file = builder.join("made.tar");
            archive::pack(&made, &file, "pax");
            file
        },
        Path::to_path_buf,
    );
    let name = builder.buildah(&["from", "scratch"]);
    builder.buildah(&["add", "--quiet", &name, base.to_str().expect("a printable path"), "/"]);
    builder.buildah(&["config", "--cmd", "/bin/true", "--env", "A=b", "--label", "layer=1", &name]);
    builder.buildah(&["commit", "--quiet", "--rm", &name, "localhost/fixture:base"]);
    change(builder, "localhost/fixture:base", "localhost/fixture:middle", |dir| {
        archive::put(dir, "new/file", "new");
        archive::put(dir, "etc/passwd", "root:x:0:0::/:/bin/sh\nsomebody:x:1000:1000::/:/bin/sh\n");
        fs::remove_dir_all(dir.join("tmp")).expect("remove a directory");
        archive::put(dir, "tmp/anew", "in a directory that was removed and made again");
        symlink("file", dir.join("new/link")).expect("symlink");
        (0..100).for_each(|number| archive::put(dir, &format!("many/{number}"), number.to_string()));
    });
    change(builder, "localhost/fixture:middle", NAME, |dir| {
        fs::remove_file(dir.join("new/file")).expect("remove a file");
        fs::create_dir(dir.join("new/file")).expect("a directory where a file was");
        fs::set_permissions(dir.join("etc/passwd"), fs::Permissions::from_mode(0o600)).expect("chmod");
        (0..50).for_each(|number| fs::remove_file(dir.join(format!("many/{number}"))).expect("remove a file"));
        fs::hard_link(dir.join("many/99"), dir.join("many/same")).expect("link");
    });
}

/// Commits an image on top of another; `edit` gets the mounted root.
pub fn change(engines: &Engines, from: &str, to: &str, edit: impl FnOnce(&Path)) -> String {
    let name = engines.buildah(&["from", "--pull-never", from]);
    edit(Path::new(&engines.buildah(&["mount", &name])));
    engines.buildah(&["unmount", &name]);
    engines.buildah(&["commit", "--quiet", "--rm", &name, to])
}

/// An image in an OCI layout, read without any of the programs under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The digest of the manifest.
    pub manifest: String,
    /// The digest of the configuration: the image's id.
    pub config: String,
    /// The bytes of the configuration.
    pub config_bytes: Vec<u8>,
    /// The digests of the layers as they are stored, base first.
    pub blobs: Vec<String>,
    /// The digests of the layers without compression, base first.
    pub diff_ids: Vec<String>,
}

impl Layout {
    /// Reads the first image of a layout, and checks each of its blobs.
    pub fn read(dir: &Path) -> Self {
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("a layout's JSON");
        let index = json(&fs::read(dir.join("index.json")).expect("read index.json"));
        let manifest = digest(&index["manifests"][0]);
        let content = json(&blob(dir, &manifest));
        let config = digest(&content["config"]);
        let config_bytes = blob(dir, &config);
        let layers = content["layers"].as_array().expect("a manifest has layers");
        let blobs: Vec<String> = layers.iter().map(digest).collect();
        for name in &blobs {
            assert_eq!(&format!("sha256:{}", tree::digest_of(&blob_path(dir, name))), name, "a blob has its digest");
        }
        let all = json(&config_bytes)["rootfs"]["diff_ids"].as_array().cloned().unwrap_or_default();
        let diff_ids = all.iter().map(|id| id.as_str().expect("a diff id is a string").to_owned()).collect();
        Layout { manifest, config, config_bytes, blobs, diff_ids }
    }

    /// The image's id as stores have it.
    pub fn id(&self) -> &str {
        self.config.trim_start_matches("sha256:")
    }
}

fn digest(descriptor: &Value) -> String {
    descriptor["digest"].as_str().expect("a descriptor has a digest").to_owned()
}

fn blob_path(dir: &Path, digest: &str) -> PathBuf {
    dir.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
}

fn blob(dir: &Path, digest: &str) -> Vec<u8> {
    let bytes = fs::read(blob_path(dir, digest)).expect("read a blob");
    assert_eq!(format!("sha256:{}", archive::sha256(&bytes)), digest, "a blob has its digest");
    bytes
}

/// The objects of a store that [`populate`] fills.
#[derive(Debug)]
pub struct Population {
    /// Names of images: copied by skopeo, committed by buildah, imported by podman, committed by podman.
    pub images: [&'static str; 4],
    /// podman's container, which has written a file.
    pub by_podman: String,
    /// buildah's container, which has written a file.
    pub by_buildah: String,
}

/// Fills a store by each of the programs.
pub fn populate(engines: &Engines) -> Result<Population, Skip> {
    let layout = image(engines, Content::Small, Form::Gzip)?;
    let images = ["localhost/copied:1", "localhost/committed:1", "localhost/imported:1", "localhost/by-podman:1"];
    engines.copy(&transport(&layout, Form::Gzip), &engines.reference(images[0]));
    change(engines, images[0], images[1], |dir| archive::put(dir, "by-buildah", "buildah"));
    let small = archive::small(&engines.join(""), "imported", 9, 700);
    engines.podman(&["import", "--quiet", small.to_str().expect("a printable path"), images[2]]);
    let write = |name: &str| {
        let path = engines.podman(&["mount", name]);
        archive::put(Path::new(&path), &format!("written-in-{name}"), name);
        engines.podman(&["unmount", name]);
    };
    engines.podman(&["create", "--name", "passing", images[2], "/bin/none"]);
    write("passing");
    engines.podman(&["commit", "--quiet", "passing", images[3]]);
    engines.podman(&["rm", "passing"]);
    let by_podman = engines.podman(&["create", "--name", "box", images[1], "/bin/true"]);
    write("box");
    let name = engines.buildah(&["from", "--pull-never", "--name", "work", images[0]]);
    archive::put(Path::new(&engines.buildah(&["mount", &name])), "written-in-work", "work");
    let by_buildah = engines.buildah(&["unmount", &name]);
    Ok(Population { images, by_podman, by_buildah })
}
