//! `containers`, `container`, `create-container`.

use std::sync::Arc;

use storage_core::LayerId;

use super::{create, examine, image, maps, metadata};
use crate::app::Context;
use crate::engine::{self, Container, NewContainer};
use crate::flags::Flag;
use crate::stop::Outcome;

pub(crate) const CREATE_HELP: &str = "\
Makes a container from an image, or from nothing when the argument is empty: a layer to write to, and a record. Prints
the new container's id, and its names below it.

A container with id maps sees its files mapped. Where the filesystem can't show them so, a copy of the image's top layer is
made with the container's owners, once for each maps. --uidmap and --gidmap may be given several times; one of --subuidmap
and --subgidmap stands for both. --userns-auto gives ids that no other container has, from the ranges of the user that
storage.conf names (root-auto-userns-user); with it, --uidmap and --gidmap are added to them.";

const PROCESS_LABEL: Flag =
    Flag::value(&["--process-label"], "SELinux label of its processes; only with --mount-label");
const MOUNT_LABEL: Flag = Flag::value(&["--mount-label"], "SELinux label of its mount; only with --process-label");

pub(crate) const CREATE_FLAGS: &[Flag] = &[
    Flag::list(&["--name", "-n"], "Container name"),
    Flag::value(&["--id", "-i"], "Container ID"),
    metadata::TEXT,
    metadata::FILE,
    Flag::switch(&["--volatile"], "What is written may be lost when the machine stops"),
    super::JSON,
    maps::HOST_UID,
    maps::HOST_GID,
    maps::UID,
    maps::GID,
    maps::SUB_UID,
    maps::SUB_GID,
    maps::AUTO,
    PROCESS_LABEL,
    MOUNT_LABEL,
];

pub(crate) fn containers(context: &mut Context) -> Outcome {
    let (store, _key) = engine::open(context)?;
    let sight = store.sight()?;
    if context.json() {
        return context.out.json(&sight.containers.iter().map(|container| &**container).collect::<Vec<&Container>>());
    }
    for container in sight.containers.iter() {
        context.out.line(&container.id)?;
        let names = container.names.iter().map(|name| format!("\tname: {name}"));
        let data = container.big_data_names.iter().map(|name| format!("\tdata: {name}"));
        names.chain(data).try_for_each(|line| context.out.line(line))?;
    }
    Ok(())
}

pub(crate) fn container(context: &mut Context) -> Outcome {
    let (store, mut key) = engine::open(context)?;
    let sight = store.sight()?;
    let find = |name: &str| sight.container(name, "look up container").map(|container| (0, Arc::clone(container)));
    examine::each(context, find, |context, _, container: &Container| {
        let work = context.work("size container");
        let size = store.container_size(&mut key, &container.id, &work.task);
        drop(work);
        let image = sight.images.iter().find_map(|images| images.get(&container.image));
        let image_names = image.map_or(&[][..], |image| image.names.as_slice());
        let out = &mut context.out;
        out.line(format_args!("ID: {}", container.id))?;
        container.names.iter().try_for_each(|name| out.line(format_args!("Name: {name}")))?;
        out.line(format_args!("Image: {}", container.image))?;
        image_names.iter().try_for_each(|name| out.line(format_args!("Image name: {name}")))?;
        out.line(image::size_line(size))?;
        out.line(format_args!("Layer: {}", container.layer))?;
        container.big_data_names.iter().try_for_each(|name| out.line(format_args!("Data: {name}")))
    })
}

pub(crate) fn create_container(context: &mut Context) -> Outcome {
    let flags = &context.flags;
    let wanted = NewContainer {
        id: flags.value("--id").map(LayerId::for_new).transpose()?,
        names: flags.list("--name").to_vec(),
        image: context.args.first().cloned(),
        metadata: metadata::given(flags)?.unwrap_or_default(),
        volatile: flags.on("--volatile"),
        mapping: maps::mapping(flags)?,
        process_label: flags.value("--process-label").unwrap_or_default().to_owned(),
        mount_label: flags.value("--mount-label").unwrap_or_default().to_owned(),
        ..NewContainer::default()
    };
    let (store, mut key) = engine::open(context)?;
    let work = context.work("create container");
    let container = store.create_container(&mut key, &wanted, &work.task)?;
    drop(work);
    create::show(context, &*container)
}
