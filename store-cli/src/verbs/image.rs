//! `images`, `images-by-digest`, `image`, `create-image`.

use std::sync::Arc;

use storage_core::ids::check_digest;
use storage_core::store::Sight;
use storage_core::{Error, LayerId};

use super::{create, examine, metadata};
use crate::app::Context;
use crate::engine::{self, Image, NewImage};
use crate::flags::Flag;
use crate::stop::Outcome;

pub(crate) const CREATE_HELP: &str = "\
Makes an image of a layer and those below it, or of none. Prints the new image's id, and its names below it. Manifest and
configuration come by `set-image-data`; `lamina load` does all of that for an image from elsewhere.";
pub(crate) const BY_DIGEST_HELP: &str =
    "Lists the images of which the digest is their own, or that of one of their manifests.";

pub(crate) const LIST_FLAGS: &[Flag] = &[Flag::switch(&["--quiet", "-q"], "Only print IDs"), super::JSON];
pub(crate) const CREATE_FLAGS: &[Flag] = &[
    Flag::list(&["--name", "-n"], "Image name"),
    Flag::value(&["--id", "-i"], "Image ID"),
    Flag::value(&["--digest", "-d"], "Image Digest"),
    metadata::TEXT,
    metadata::FILE,
    super::JSON,
];

pub(crate) fn images(context: &mut Context) -> Outcome {
    let (store, _key) = engine::open(context)?;
    let sight = engine::sight(&store)?;
    let images = all(&sight);
    if context.json() && images.is_empty() {
        // The reference encodes a list that was never made.
        return context.out.json(&None::<()>);
    }
    list(context, &images)
}

pub(crate) fn images_by_digest(context: &mut Context) -> Outcome {
    let digest = context.args[0].clone();
    check_digest(&digest)?;
    let (store, _key) = engine::open(context)?;
    let sight = engine::sight(&store)?;
    let images: Vec<&Image> =
        all(&sight).into_iter().filter(|image| image.digests().contains(&digest.as_str())).collect();
    list(context, &images)
}

/// All images, the store's own first.
fn all(sight: &Sight) -> Vec<&Image> {
    sight.images.iter().flat_map(|table| table.iter()).map(|image| &**image).collect()
}

fn list(context: &mut Context, images: &[&Image]) -> Outcome {
    if context.json() {
        return context.out.json(&images);
    }
    for image in images {
        context.out.line(&image.id)?;
        if !context.flags.on("--quiet") {
            let names = image.names.iter().map(|name| format!("\tname: {name}"));
            let digests = image.digests().into_iter().map(|digest| format!("\tdigest: {digest}"));
            let data = image.big_data_names.iter().map(|name| format!("\tdata: {name}"));
            names.chain(digests).chain(data).try_for_each(|line| context.out.line(line))?;
        }
    }
    Ok(())
}

pub(crate) fn image(context: &mut Context) -> Outcome {
    let (store, mut key) = engine::open(context)?;
    let sight = store.sight()?;
    let find = |name: &str| sight.image(name, "look up image").map(|(store, image)| (store, Arc::clone(image)));
    examine::each(context, find, |context, number, image: &Image| {
        let work = context.work("size image");
        let size = store.image_size(&mut key, &image.id, &work.task);
        drop(work);
        let out = &mut context.out;
        out.line(format_args!("ID: {}", image.id))?;
        image.names.iter().try_for_each(|name| out.line(format_args!("Name: {name}")))?;
        out.line(format_args!("Top Layer: {}", image.layer))?;
        image.mapped_layers.iter().try_for_each(|layer| out.line(format_args!("Top Layer: {layer}")))?;
        image.digests().iter().try_for_each(|digest| out.line(format_args!("Digest: {digest}")))?;
        image.big_data_names.iter().try_for_each(|name| out.line(format_args!("Data: {name}")))?;
        out.line(size_line(size))?;
        examine::read_only(context, number)
    })
}

/// The line that tells a size, or why it can't be told.
pub(super) fn size_line(size: Result<u64, Error>) -> String {
    match size {
        Ok(size) => format!("Size: {size}"),
        Err(error) => format!("Size unknown: {error}"),
    }
}

pub(crate) fn create_image(context: &mut Context) -> Outcome {
    let flags = &context.flags;
    let wanted = NewImage {
        id: flags.value("--id").map(LayerId::for_new).transpose()?,
        names: flags.list("--name").to_vec(),
        layer: context.args.first().cloned(),
        metadata: metadata::given(flags)?.unwrap_or_default(),
        digest: flags.value("--digest").unwrap_or_default().to_owned(),
        ..NewImage::default()
    };
    let (store, mut key) = engine::open(context)?;
    let image = store.create_image(&mut key, &wanted)?;
    create::show(context, &*image)
}
