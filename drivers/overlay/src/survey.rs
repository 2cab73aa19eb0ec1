//! Whether the driver can work on a root, and what it can do there.
//!
//! What a filesystem and the kernel do together is tried with a mount that no path names, on scratch directories that
//! are deleted. The reference keeps the answers in the run root until the next boot (`RUNROOT/overlay/overlay-true`);
//! a positive one is believed, and written when a driver is opened.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode};
use storage_core::driver::{Capabilities, Capability, Request, Survey};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::TempDirs;
use storage_core::fs::probe::{has_d_type, has_reflink, nearest_existing};
use storage_core::fs::remove::remove_tree;
use storage_core::ids::random_name;
use storage_core::mount::{
    Features, MountFlags, Overlay as Stack, Source, Upper, check_idmapped_lowers, filesystem_type, in_user_namespace,
};
use storage_core::task::Task;

use crate::home::{Home, make_dir};
use crate::options::Options;

/// The reference's name for the question whether lower directories may have mapped owners.
const MAPPING: &str = "idmapped-lower-dir";
/// Its switch that takes them away.
const NO_MAPPING: &str = "_CONTAINERS_OVERLAY_DISABLE_IDMAP";

/// What the kernel and the filesystem do together, where the driver can work at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Support {
    pub(crate) metacopy: bool,
    pub(crate) volatile: bool,
}

impl Support {
    /// What the driver can do at `place`. Costs a trial of shared blocks.
    pub(crate) fn capabilities(self, features: Features, place: &Path) -> Capabilities {
        Capabilities::NONE
            .with(Capability::KernelMounts, true)
            .with(Capability::ProportionalDiff, true)
            .with(Capability::DetachedViews, features.detached_overlay())
            .with(Capability::DType, true)
            .with(Capability::Reflink, has_reflink(place))
            .with(Capability::Metacopy, self.metacopy)
            .with(Capability::Volatile, self.volatile)
    }
}

/// Looks at the place; nothing that stays is changed.
pub(crate) fn survey(request: &Request) -> Survey {
    let features = Features::of_kernel();
    match examine(request, features) {
        Ok(support) => Survey {
            usable: true,
            reason: "the kernel mounts overlays on this filesystem".to_owned(),
            capabilities: support
                .capabilities(features, &nearest_existing(&request.home))
                .with(Capability::IdMappedMounts, supports_mapping(&request.home, &request.run_home, features)),
        },
        Err(error) => Survey { usable: false, reason: error.to_string(), capabilities: Capabilities::NONE },
    }
}

/// Finds out what works. Fails, with the reason, when the driver can't work there.
pub(crate) fn examine(request: &Request, features: Features) -> Result<Support> {
    Options::parse(&request.options)?;
    Home::new(&request.home).check_native()?;
    let place = nearest_existing(&request.home);
    check_backing(&place)?;
    if let Some(support) = remembered(&request.run_home) {
        return Ok(support);
    }
    let scratch = Scratch::new(&request.home, &place)?;
    if !scratch.d_type()? {
        return Err(unusable(&place, "the filesystem doesn't tell the types of directory entries (xfs needs ftype=1)"));
    }
    let volatile = scratch.try_mount(features, &["volatile"]).is_ok();
    if !volatile {
        scratch.try_mount(features, &[]).map_err(|error| unusable(&place, "a trial mount failed").because(error))?;
    }
    let quick: &[&str] = if volatile { &["volatile"] } else { &[] };
    let metacopy = !in_user_namespace() && scratch.has_metacopy(features, quick);
    Ok(Support { metacopy, volatile })
}

fn check_backing(place: &Path) -> Result<()> {
    let backing = filesystem_type(place)?;
    match backing.name() {
        name @ ("overlayfs" | "aufs" | "ecryptfs") => {
            Err(unusable(place, format!("'overlay' is not supported over {name}")))
        }
        name if backing.is_network() && in_user_namespace() => {
            Err(unusable(place, format!("a network filesystem ({name}) can't serve in a user namespace")))
        }
        _ => Ok(()),
    }
}

fn unusable(place: &Path, why: impl Into<String>) -> Error {
    Error::new(Kind::DriverUnusable, "try overlay").at(place).detail(why)
}

/// Answers are files whose names are the answers.
fn remembered(run_home: &Path) -> Option<Support> {
    let metacopy = if in_user_namespace() { Some(false) } else { remembered_answer(run_home, "metacopy(metacopy=on)") };
    match (remembered_answer(run_home, "overlay"), metacopy, remembered_answer(run_home, "volatile")) {
        (Some(true), Some(metacopy), Some(volatile)) => Some(Support { metacopy, volatile }),
        _ => None,
    }
}

fn remembered_answer(run_home: &Path, feature: &str) -> Option<bool> {
    [true, false].into_iter().find(|answer| run_home.join(format!("{feature}-{answer}")).is_file())
}

fn remember_answer(run_home: &Path, feature: &str, answer: bool) {
    let path = run_home.join(format!("{feature}-{answer}"));
    let _ = File::options().write(true).create(true).truncate(false).mode(0o600).open(path);
}

/// Whether overlay stacks lower directories with mapped owners here.
pub(crate) fn supports_mapping(home: &Path, run_home: &Path, features: Features) -> bool {
    if in_user_namespace() || std::env::var_os(NO_MAPPING).is_some_and(|value| value == "yes") {
        return false;
    }
    remembered_answer(run_home, MAPPING).unwrap_or_else(|| {
        Scratch::new(home, &nearest_existing(home)).is_ok_and(|scratch| scratch.maps_owners(features))
    })
}

/// Keeps that answer too, unless it was the switch that gave it.
pub(crate) fn remember_mapping(run_home: &Path, answer: bool) {
    if answer {
        remember_answer(run_home, MAPPING, answer);
    }
}

/// Keeps the answers until the next boot. Best effort: they are found out again where this fails.
pub(crate) fn remember(run_home: &Path, support: Support) {
    if std::fs::DirBuilder::new().recursive(true).mode(0o700).create(run_home).is_ok() {
        remember_answer(run_home, "overlay", true);
        remember_answer(run_home, "volatile", support.volatile);
        if !in_user_namespace() {
            remember_answer(run_home, "metacopy(metacopy=on)", support.metacopy);
        }
    }
}

/// Directories for trials, deleted in the end.
struct Scratch {
    path: PathBuf,
    /// The staging place that they are in, when the home has a directory for those.
    _place: Option<storage_core::fs::TempDir>,
}

impl Scratch {
    fn new(home: &Path, nearest: &Path) -> Result<Self> {
        let tempdirs = home.join("tempdirs");
        if tempdirs.is_dir() {
            let place = TempDirs::new(tempdirs).create()?;
            return Ok(Scratch { path: place.path().join("trial"), _place: Some(place) }).and_then(Self::make);
        }
        let name = format!(".lamina-trial-{}", random_name(b"abcdefghijklmnopqrstuvwxyz", 12)?);
        Scratch { path: nearest.join(name), _place: None }.make()
    }

    fn make(self) -> Result<Self> {
        make_dir(&self.path, 0o700)?;
        for name in ["one", "two", "upper", "work"] {
            make_dir(&self.path.join(name), 0o755)?;
        }
        std::fs::write(self.path.join("one/file"), "x").os("write", &self.path)?;
        Ok(self)
    }

    fn d_type(&self) -> Result<bool> {
        has_d_type(&self.path.join("one")).and_then(|files| Ok(files && has_d_type(&self.path)?))
    }

    fn stack(&self, options: &[&str]) -> Stack {
        let source = |name: &str| Source::at(self.path.join(name));
        let mut flags = MountFlags::parse(options.iter().copied());
        if in_user_namespace() {
            flags.data.push(("userxattr".to_owned(), None));
        }
        Stack {
            lowers: vec![source("one"), source("two")],
            upper: Some(Upper { dir: source("upper"), work: source("work") }),
            options: flags,
        }
    }

    /// Mounts, and makes the whiteout that deleting a lower file takes.
    fn try_mount(&self, features: Features, options: &[&str]) -> Result<()> {
        self.clear_upper()?;
        let root = self.stack(options).detached(features)?;
        rustix::fs::unlinkat(&root, "file", AtFlags::empty()).os("unlinkat", self.path.join("merged/file"))?;
        match rustix::fs::lstat(self.path.join("upper/file")) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice => Ok(()),
            _ => Err(unusable(&self.path, "deleting a file leaves no whiteout")),
        }
    }

    /// Whether a change of mode alone leaves the data where it was.
    fn has_metacopy(&self, features: Features, options: &[&str]) -> bool {
        let mut all = vec!["metacopy=on"];
        all.extend_from_slice(options);
        let tried = self.clear_upper().and_then(|()| {
            let root = self.stack(&all).detached(features)?;
            rustix::fs::chmodat(&root, "file", Mode::RWXU, AtFlags::empty()).os("fchmodat", &self.path)?;
            let mut value = [0_u8; 64];
            rustix::fs::lgetxattr(self.path.join("upper/file"), "trusted.overlay.metacopy", &mut value[..])
                .os("lgetxattr", &self.path)
        });
        tried.is_ok()
    }

    fn maps_owners(&self, features: Features) -> bool {
        check_idmapped_lowers(&self.path.join("one"), &self.path.join("two"), features).is_ok()
    }

    fn clear_upper(&self) -> Result<()> {
        for name in ["upper", "work"] {
            let path = self.path.join(name);
            remove_tree(&path, &Task::new("clear trial"))?;
            make_dir(&path, 0o755)?;
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove_tree(&self.path, &Task::new("delete trial"));
    }
}
