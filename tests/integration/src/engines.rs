//! podman, buildah and skopeo on one store, without network, and away from what the machine has of theirs.
//!
//! They write to more places than the store: `/run`, a cache below `/var/lib/containers`, their configuration in `HOME`.
//! Each of these is a directory of the case's own, or covered by an empty one that only this case sees.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use serde_json::Value;

use crate::case::Skip;
use crate::images::{self, Form};
use crate::machine;
use crate::scratch::Scratch;
use crate::store::{Ended, Store, end};

const POLICY: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;

/// The three programs on one root, and that root as Lamina's store.
#[derive(Clone, Debug)]
pub struct Engines {
    /// The same root, driven by the command under test.
    pub store: Store,
    place: PathBuf,
    name: String,
}

impl Engines {
    /// The programs on a root of the case's own. To be called once in a case, before it starts threads.
    pub fn new(scratch: &Scratch, driver: &'static str) -> Result<Self, Skip> {
        for program in ["podman", "buildah", "skopeo"] {
            machine::need(program)?;
        }
        // podman takes no run root whose path is longer than 50 characters.
        let place = scratch.for_everybody()?;
        cover(Path::new("/run"));
        let libraries = Path::new("/var/lib/containers");
        cover(if libraries.is_dir() { libraries } else { Path::new("/var/lib") });
        let home = place.join("home/.config/containers");
        fs::create_dir_all(&home).expect("make a home");
        fs::write(home.join("policy.json"), POLICY).expect("write a policy");
        fs::write(home.join("registries.conf"), "unqualified-search-registries = []\n").expect("write a configuration");
        fs::create_dir_all(place.join("tmp")).expect("make a directory for temporary files");
        Ok(Self::at(&place, "s", driver))
    }

    /// The same programs on another root beside this one.
    pub fn beside(&self, name: &str, driver: &'static str) -> Self {
        Self::at(&self.place, name, driver)
    }

    fn at(place: &Path, name: &str, driver: &'static str) -> Self {
        let store = Store::at(&place.join(name).join("root"), &place.join(name).join("run"), driver);
        let conf = place.join(format!("{name}-conf"));
        fs::create_dir_all(&conf).expect("make a directory for configurations");
        let (root, run, temporary) = (store.root.display(), store.run.display(), conf.display());
        let storage = format!("[storage]\ndriver = \"{driver}\"\ngraphroot = \"{root}\"\nrunroot = \"{run}\"\n");
        fs::write(conf.join("storage.conf"), storage).expect("write a configuration");
        let engine = format!(
            "[containers]\nlog_driver = \"k8s-file\"\n[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \
             \"file\"\ntmp_dir = \"{temporary}/libpod\"\nvolume_path = \"{temporary}/volumes\"\n[network]\nnetwork_config_dir \
             = \"{temporary}/networks\"\n"
        );
        fs::write(conf.join("containers.conf"), engine).expect("write a configuration");
        Engines { store, place: place.to_path_buf(), name: name.to_owned() }
    }

    /// A path beside the store, below a place that is short and that every user can reach.
    pub fn join(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// podman's command line up to the verb.
    pub fn podman_command(&self) -> Command {
        let mut command = self.on_the_root("podman");
        command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
        command
    }

    /// buildah's command line up to the verb.
    pub fn buildah_command(&self) -> Command {
        self.on_the_root("buildah")
    }

    /// skopeo's command line up to the verb.
    pub fn skopeo_command(&self) -> Command {
        let mut command = self.program("skopeo");
        command.arg("--tmpdir").arg(self.join("tmp"));
        command
    }

    /// Runs podman and expects success; gives what it wrote on standard output, without the last line's end.
    #[track_caller]
    pub fn podman(&self, args: &[&str]) -> String {
        succeed(self.podman_command(), args)
    }

    /// Runs buildah and expects success; gives what it wrote on standard output, without the last line's end.
    #[track_caller]
    pub fn buildah(&self, args: &[&str]) -> String {
        succeed(self.buildah_command(), args)
    }

    /// Runs skopeo and expects success; gives what it wrote on standard output, without the last line's end.
    #[track_caller]
    pub fn skopeo(&self, args: &[&str]) -> String {
        succeed(self.skopeo_command(), args)
    }

    /// Copies an image by skopeo; places are named as skopeo names them.
    #[track_caller]
    pub fn copy(&self, from: &str, to: &str) {
        self.skopeo(&["copy", "--quiet", from, to]);
    }

    /// An image of this store as skopeo names it.
    pub fn reference(&self, image: &str) -> String {
        let Store { root, run, driver, .. } = &self.store;
        format!("containers-storage:[{driver}@{}+{}]{image}", root.display(), run.display())
    }

    /// Loads an image into this store by the command under test and gives its id.
    ///
    /// The reference's command has no such verb: where it stands in, skopeo does what the test is about.
    #[track_caller]
    pub fn load(&self, path: &Path, form: Form, name: &str) -> String {
        let id = if self.store.is_peer() {
            self.copy(&images::transport(path, form), &self.reference(name));
            self.podman(&["image", "inspect", "--format", "{{.Id}}", name])
        } else {
            self.store.ok(&["load", "-n", name, path.to_str().expect("a printable path")]).trim_end().to_owned()
        };
        assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "load gives an id, not {id:?}");
        id
    }

    /// Loads every image of a file with the names that they have there, by the command under test, or podman as above.
    #[track_caller]
    pub fn load_all(&self, path: &Path) {
        let path = path.to_str().expect("a printable path");
        if self.store.is_peer() {
            self.podman(&["load", "--quiet", "--input", path]);
        } else {
            self.store.ok(&["load", path]);
        }
    }

    /// Writes an image of this store to an OCI layout, or to an archive of one if the path ends in `.tar`, by the command
    /// under test, or skopeo as above.
    #[track_caller]
    pub fn save(&self, image: &str, path: &Path) {
        let archive = path.extension().is_some_and(|end| end == "tar");
        let (kind, form) = if archive { ("oci-archive", "oci-archive") } else { ("oci", "oci-dir") };
        if self.store.is_peer() {
            self.copy(&self.reference(image), &format!("{kind}:{}:{image}", path.display()));
        } else {
            let path = path.to_str().expect("a printable path");
            self.store.ok(&["save", "--format", form, "-o", path, image]);
        }
    }

    /// Lets the command under test check the whole store, contents and all. (Debian's version of the reference's command
    /// can't, so that there is nothing to see where it stands in.)
    #[track_caller]
    pub fn assert_checked(&self, when: &str) {
        if !self.store.is_peer() {
            let ended = self.store.run(&["check"]);
            assert!(ended.output.status.success(), "{when}, check found something wrong: {}", ended.describe());
        }
    }

    /// What `podman inspect` says of an image.
    #[track_caller]
    pub fn inspect_image(&self, image: &str) -> Value {
        let text = self.podman(&["image", "inspect", image]);
        let json: Value = serde_json::from_str(&text).expect("podman inspect writes JSON");
        json[0].clone()
    }

    /// The ids of podman's images, sorted.
    #[track_caller]
    pub fn image_ids(&self) -> Vec<String> {
        let text = self.podman(&["images", "--all", "--quiet", "--no-trunc"]);
        let mut ids: Vec<String> = text.lines().map(|line| line.trim_start_matches("sha256:").to_owned()).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// The ids of podman's containers, those of buildah among them, sorted.
    #[track_caller]
    pub fn container_ids(&self) -> Vec<String> {
        let text = self.podman(&["ps", "--all", "--external", "--quiet", "--no-trunc"]);
        let mut ids: Vec<String> = text.lines().map(str::to_owned).collect();
        ids.sort();
        ids
    }

    /// Lets podman walk the whole store; each step must succeed and have nothing to complain about.
    #[track_caller]
    pub fn assert_whole(&self, when: &str) {
        let quiet = |args: &[&str]| {
            let mut command = self.podman_command();
            command.args(args);
            let ended = end(command);
            let fine = ended.output.status.success() && ended.output.stderr.is_empty();
            assert!(fine, "{when}, podman met something missing: {}", ended.describe());
            String::from_utf8_lossy(&ended.output.stdout).into_owned()
        };
        quiet(&["system", "df", "--verbose"]);
        quiet(&["ps", "--all", "--size"]);
        // podman 4.3 complains of the size of every container that isn't its own.
        quiet(&["ps", "--all", "--external"]);
        quiet(&["images", "--all", "--digests"]);
        let saved = self.join("walk.tar");
        for image in self.image_ids() {
            let depth = self.inspect_image(&image)["RootFS"]["Layers"].as_array().map_or(0, Vec::len);
            let tree = quiet(&["image", "tree", &image]);
            let shown = tree.lines().filter(|line| line.contains("── ID: ")).count();
            assert_eq!(shown, depth, "{when}, podman's tree shows each layer of {image}:\n{tree}");
            // podman's own form, docker's, knows no zstd.
            let manifest = self.skopeo(&["inspect", "--raw", &self.reference(&format!("@{image}"))]);
            let form = if manifest.contains("+zstd") { "oci-archive" } else { "docker-archive" };
            let path = saved.to_str().expect("a printable path");
            quiet(&["save", "--quiet", "--format", form, "--output", path, &image]);
            fs::remove_file(&saved).expect("remove an archive");
        }
    }

    fn on_the_root(&self, program: &str) -> Command {
        let mut command = self.program(program);
        command.arg("--root").arg(&self.store.root).arg("--runroot").arg(&self.store.run);
        command.args(["--storage-driver", self.store.driver]);
        command
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(machine::program(name).expect("looked for when the case began"));
        let (home, conf) = (self.join("home"), self.join(&format!("{}-conf", self.name)));
        command.env("HOME", &home).env("TMPDIR", self.join("tmp")).env("XDG_RUNTIME_DIR", home.join("run"));
        for (variable, dir) in [("CONFIG", ".config"), ("DATA", "data"), ("CACHE", "cache")] {
            command.env(format!("XDG_{variable}_HOME"), home.join(dir));
        }
        command.env("CONTAINERS_CONF", conf.join("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", conf.join("storage.conf"));
        command.env("CONTAINERS_REGISTRIES_CONF", home.join(".config/containers/registries.conf"));
        command.env("BUILDAH_ISOLATION", "chroot");
        command.stdin(Stdio::null());
        command
    }
}

/// Lets a container be run on a machine that has both kinds of control groups, which crun refuses.
pub fn one_kind_of_cgroups() -> Result<(), Skip> {
    let at = Path::new("/sys/fs/cgroup");
    if at.join("cgroup.controllers").exists() {
        return Ok(());
    }
    mount(Some("cgroup2"), at, Some("cgroup2"), MsFlags::empty(), None::<&str>)
        .map_err(|error| Skip(format!("no cgroup2 can be mounted, and containers can't be run: {error}")))
}

/// Says what a command that must succeed wrote; without the last line's end.
#[track_caller]
fn succeed(mut command: Command, args: &[&str]) -> String {
    command.args(args);
    let ended: Ended = end(command);
    assert!(ended.output.status.success(), "a call failed: {}", ended.describe());
    String::from_utf8_lossy(&ended.output.stdout).trim_end().to_owned()
}

fn cover(dir: &Path) {
    mount(Some("none"), dir, Some("tmpfs"), MsFlags::empty(), Some("mode=0755")).expect("cover a directory");
}
