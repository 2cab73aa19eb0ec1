//! `save`.

use std::path::Path;

use crate::app::Context;
use crate::engine::{self, Compression, Store, ThreadKey};
use crate::flags::Flag;
use crate::image_format::save::{write_archive, write_archive_file, write_directory};
use crate::output;
use crate::stop::{Outcome, usage};
use crate::transfer::{Shipment, Way};
use crate::work::Work;

pub(crate) const HELP: &str = "\
Writes images as an OCI image layout: a tar archive, to standard output or a file, or a directory. An image called by a
name is written with that name, one called by its id with all its names. Layers are written without compression unless
another is asked for; the manifest is the image's own when it fits them, else one of the same config. A file or directory
appears whole or not at all; images are added to a directory that has a layout. podman loads archives with one image.";

pub(crate) const FLAGS: &[Flag] = &[
    Flag::value(&["--output", "-o"], "Write to file or directory instead of stdout"),
    Flag::value(
        &["--format"],
        "oci-archive or oci-dir (default: oci-dir for a directory that exists, else oci-archive)",
    ),
    Flag::value(&["--compress"], "Compress layers: none, gzip or zstd (default none)"),
    super::JSON,
];

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Archive,
    Directory,
}

pub(crate) fn save(context: &mut Context) -> Outcome {
    let path = context.flags.value("--output").filter(|path| *path != "-").map(str::to_owned);
    let path = path.as_deref().map(Path::new);
    let format = format(context, path)?;
    let compression = compression(context)?;
    if path.is_none() && context.json() {
        return Err(usage("--json would go where the archive goes", "name a file with -o FILE").into());
    }
    let mut stdout = if path.is_none() { Some(output::stream("save image")?) } else { None };
    let (store, mut key) = engine::open(context)?;
    let work = context.work("save image");
    let mut shipment = Shipment::default();
    let place = super::load::temporary();
    for wanted in &context.args {
        shipment.add(&store, &mut key, wanted, Way { compression, place: &place }, &work.task)?;
    }
    write(&store, &mut key, &mut shipment, (format, path), stdout.as_mut(), &work)?;
    drop(work);
    if context.json() { context.out.json(&shipment.told) } else { Ok(()) }
}

fn write(
    store: &Store,
    key: &mut ThreadKey,
    shipment: &mut Shipment,
    (format, path): (Format, Option<&Path>),
    stdout: Option<&mut std::fs::File>,
    Work { task, .. }: &Work,
) -> Outcome {
    let Shipment { images, layers, .. } = shipment;
    let mut fetch = |layer: &_, out: &mut (dyn std::io::Write + Send)| layers.fetch(store, key, layer, out, task);
    match (format, path, stdout) {
        (Format::Directory, Some(path), _) => write_directory(path, images, &mut fetch, task)?,
        (Format::Archive, Some(path), _) => write_archive_file(path, images, &mut fetch, task)?,
        (_, None, Some(stdout)) => write_archive(stdout, images, &mut fetch, task)?,
        (_, None, None) => {}
    }
    Ok(())
}

fn format(context: &Context, path: Option<&Path>) -> Outcome<Format> {
    match (context.flags.value("--format"), path) {
        (Some("oci-dir"), None) => Err(usage("a directory has no place on standard output", "name it with -o").into()),
        (Some("oci-dir"), Some(_)) => Ok(Format::Directory),
        (None, Some(path)) if path.is_dir() => Ok(Format::Directory),
        (Some("oci-archive") | None, _) => Ok(Format::Archive),
        (Some(other), _) => Err(usage(format!("unknown format {other:?}"), "use oci-archive or oci-dir").into()),
    }
}

fn compression(context: &Context) -> Outcome<Compression> {
    match context.flags.value("--compress") {
        None | Some("none") => Ok(Compression::None),
        Some("gzip") => Ok(Compression::Gzip),
        Some("zstd") => Ok(Compression::Zstd),
        Some(other) => Err(usage(format!("unknown compression {other:?}"), "use none, gzip or zstd").into()),
    }
}
