//! `mount`, `unmount`, `mounted`.

use serde::Serialize;
use storage_core::driver::MountOptions;
use storage_core::{Error, Kind, Result};

use crate::app::Context;
use crate::engine::{self, ItemKind, Release, Store, ThreadKey};
use crate::flags::Flag;
use crate::output::complain;
use crate::stop::{Outcome, Stop};
use crate::userns;

pub(crate) const MOUNT_HELP: &str = "\
Prints the path at which each container or layer is mounted, and an empty line for one that can't be. With --ro images are
mounted too, and go before containers and layers of the same name. Every mount counts: as many unmounts end it. A mount
ends with its namespace. An ordinary user's stays as long as podman's pause process when that is there; else it is made
inside `lamina unshare`, and refused outside, because it would end with this command. The vfs driver mounts nothing, so
nothing is refused.";
pub(crate) const UNMOUNT_HELP: &str = "\
Gives back one mount of each container, layer or image. With --if-mounted one that isn't mounted is an error (the look
and the act are one: two releases never end three mounts); without it, as with the reference, it is none.";

pub(crate) const MOUNT_FLAGS: &[Flag] = &[
    Flag::list(&["--opt", "-o"], "Mount options, comma-separated"),
    Flag::value(&["--label", "-l"], "Mount Label"),
    Flag::switch(&["--ro", "--read-only", "-r"], "Mount for reading only; an image can be mounted only so"),
    super::JSON,
];
pub(crate) const UNMOUNT_FLAGS: &[Flag] = &[
    Flag::switch(&["--force", "-f"], "End all mounts of the layer"),
    Flag::switch(&["--if-mounted"], "Fail when the layer is not mounted"),
    super::JSON,
];

/// What a name is taken for when it is to be mounted, in order.
const FOR_WRITING: &[ItemKind] = &[ItemKind::Container, ItemKind::Layer, ItemKind::Image];
/// The same, for reading only.
const FOR_READING: &[ItemKind] = &[ItemKind::Image, ItemKind::Container, ItemKind::Layer];

#[derive(Serialize)]
struct Mounted {
    id: String,
    mountpoint: String,
    error: String,
}

#[derive(Serialize)]
struct Answer {
    id: String,
    error: String,
}

pub(crate) fn mount(context: &mut Context) -> Outcome {
    let (store, mut key) = engine::open(context)?;
    let options = MountOptions {
        options: context.flags.list("--opt").iter().flat_map(|words| words.split(',')).map(str::to_owned).collect(),
        label: context.flags.value("--label").unwrap_or_default().to_owned(),
        read_only: context.flags.on("--ro"),
        ..MountOptions::default()
    };
    let mut answers = Vec::new();
    let mut failure = None;
    for name in &context.args {
        let path = mount_one(&store, &mut key, name, &options);
        if let Err(error) = &path {
            failure.get_or_insert(error.kind().code());
        }
        let error = path.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let mountpoint = path.map(|path| path.display().to_string()).unwrap_or_default();
        answers.push(Mounted { id: name.clone(), mountpoint, error });
    }
    if context.json() {
        context.out.json(&answers)?;
    } else {
        for answer in &answers {
            if !answer.error.is_empty() {
                complain(format_args!("{} while mounting {}", answer.error, answer.id));
            }
            context.out.line(&answer.mountpoint)?;
        }
    }
    failure.map_or(Ok(()), |code| Err(Stop::Reported(code)))
}

fn mount_one(store: &Store, key: &mut ThreadKey, name: &str, options: &MountOptions) -> Result<std::path::PathBuf> {
    if userns::is_entered_for_this_command() && engine::mounts_in_kernel(store) {
        return Err(Error::new(Kind::NotSupported, "mount layer")
            .detail(format!("the mount of {name:?} would end with this command"))
            .remedy(
                "run `lamina unshare` first, and mount inside it; or start podman's pause process (`podman unshare true`), \
                 whose namespace every command then joins",
            ));
    }
    let wanted = if options.read_only { FOR_READING } else { FOR_WRITING };
    match store.sight()?.first_of(wanted, name, "mount").map(|(_, item)| item.kind()) {
        Ok(ItemKind::Container) => store.mount_container(key, name, options),
        Ok(ItemKind::Image) if options.read_only => store.mount_image(key, name, &of_an_image(options)),
        Ok(ItemKind::Image) => Err(Error::new(Kind::LayerUnknown, "mount")
            .detail(format!("{name:?} is an image, which can't be written to"))
            .remedy("mount it with --ro, or make a container of it")),
        // An unknown name fails here, with the words of a layer.
        Ok(ItemKind::Layer) | Err(_) => store.mount(key, name, options),
    }
}

/// What an image holds is to be looked at: as with the reference's command, nothing runs from there unless `options` say so.
fn of_an_image(options: &MountOptions) -> MountOptions {
    let mut options = options.clone();
    options.options.splice(0..0, ["nosuid", "noexec"].map(str::to_owned));
    options
}

pub(crate) fn unmount(context: &mut Context) -> Outcome {
    let release = match (context.flags.on("--force"), context.flags.on("--if-mounted")) {
        (true, _) => Release::Force,
        (false, true) => Release::IfMounted,
        (false, false) => Release::One,
    };
    let (store, mut key) = engine::open(context)?;
    answer_each(context, ("while unmounting", ""), |name| match store.unmount(&mut key, name, release) {
        Ok(still) => Ok((!still).then(|| format!("{name} mountpoint unmounted"))),
        Err(error) if error.kind() == Kind::LayerUnknown => unmount_image(&store, &mut key, name, release, error),
        Err(error) => Err(error),
    })
}

/// The reference says nothing when an image is unmounted. `unknown` is what is told when there is no such image either.
fn unmount_image(
    store: &Store,
    key: &mut ThreadKey,
    name: &str,
    release: Release,
    unknown: Error,
) -> Result<Option<String>> {
    match store.unmount_image(key, name, release) {
        Ok(_) => Ok(None),
        Err(error) if error.kind() == Kind::ImageUnknown => Err(unknown),
        Err(error) => Err(error),
    }
}

pub(crate) fn mounted(context: &mut Context) -> Outcome {
    let (store, _key) = engine::open(context)?;
    answer_each(context, ("checking if", " is mounted"), |name| {
        Ok((store.mounted(name)? > 0).then(|| format!("{name} mounted")))
    })
}

/// Does `act` for every argument and prints what it says; the reference prints that before the JSON, too.
fn answer_each(
    context: &mut Context,
    (before, after): (&str, &str),
    mut act: impl FnMut(&str) -> Result<Option<String>>,
) -> Outcome {
    let mut answers = Vec::new();
    let mut failure = None;
    for name in &context.args {
        let mut error = String::new();
        match act(name) {
            Ok(said) => said.iter().try_for_each(|said| context.out.line(said))?,
            Err(failed) => {
                failure.get_or_insert(failed.kind().code());
                error = failed.to_string();
            }
        }
        answers.push(Answer { id: name.clone(), error });
    }
    if context.flags.on("--json") {
        context.out.json(&answers)?;
    } else {
        for answer in answers.iter().filter(|answer| !answer.error.is_empty()) {
            complain(format_args!("{} {before} {}{after}", answer.error, answer.id));
        }
    }
    failure.map_or(Ok(()), |code| Err(Stop::Reported(code)))
}
