//! R5: what comes later in the order may be taken.
use storage_core::lockfile::Wait;
use storage_core::locks::level::{Containers, Graph, Images, Layers, Mounts, UserNamespaces};
use storage_core::locks::{Guarded, Kernel, NoRecords, ThreadKey};

type Level<L> = Guarded<L, NoRecords, Kernel>;

fn graph_alone(wanted: &Level<Graph>, key: &mut ThreadKey) {
    drop(wanted.read(key, &Wait::forever()));
    drop(wanted.write(key, &Wait::forever()));
}

fn user_namespaces_after_graph(held: &Level<Graph>, wanted: &Level<UserNamespaces>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).expect("a lock");
    drop(wanted.read(&mut key, &Wait::forever()));
    drop(wanted.write(&mut key, &Wait::forever()));
}

fn user_namespaces_alone(wanted: &Level<UserNamespaces>, key: &mut ThreadKey) {
    drop(wanted.read(key, &Wait::forever()));
    drop(wanted.write(key, &Wait::forever()));
}

fn layers_after_graph(held: &Level<Graph>, wanted: &Level<Layers>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).expect("a lock");
    drop(wanted.read(&mut key, &Wait::forever()));
    drop(wanted.write(&mut key, &Wait::forever()));
}

fn layers_after_user_namespaces(held: &Level<UserNamespaces>, wanted: &Level<Layers>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).expect("a lock");
    drop(wanted.read(&mut key, &Wait::forever()));
    drop(wanted.write(&mut key, &Wait::forever()));
}

fn layers_alone(wanted: &Level<Layers>, key: &mut ThreadKey) {
    drop(wanted.read(key, &Wait::forever()));
    drop(wanted.write(key, &Wait::forever()));
}

fn mounts_after_graph(held: &Level<Graph>, wanted: &Level<Mounts>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).expect("a lock");
    drop(wanted.read(&mut key, &Wait::forever()));
    drop(wanted.write(&mut key, &Wait::forever()));
}

fn mounts_after_user_namespaces(held: &Level<UserNamespaces>, wanted: &Level<Mounts>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).expect("a lock");
    drop(wanted.read(&mut key, &Wait::forever()));
    drop(wanted.write(&mut key, &Wait::forever()));
}

fn mounts_after_layers(held: &Level<Layers>, wanted: &Level<Mounts>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).expect("a lock");
    drop(wanted.read(&mut key, &Wait::forever()));
    drop(wanted.write(&mut key, &Wait::forever()));
}

fn mounts_alone(wanted: &Level<Mounts>, key: &mut ThreadKey) {
    drop(wanted.read(key, &Wait::forever()));
    drop(wanted.write(key, &Wait::forever()));
}

fn images_after_graph(held: &Level<Graph>, wanted: &Level<Images>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).expect("a lock");
    drop(wanted.read(&mut key, &Wait::forever()));
    drop(wanted.write(&mut key, &Wait::forever()));
}

fn images_after_user_namespaces(held: &Level<UserNamespaces>, wanted: &Level<Images>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).expect("a lock");
    drop(wanted.read(&mut key, &Wait::forever()));
    drop(wanted.write(&mut key, &Wait::forever()));
}

fn images_after_layers(held: &Level<Layers>, wanted: &Level<Images>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).expect("a lock");
    drop(wanted.read(&mut key, &Wait::forever()));
    drop(wanted.write(&mut key, &Wait::forever()));
}

fn images_after_mounts(held: &Level<Mounts>, wanted: &Level<Images>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).expect("a lock");
    drop(wanted.read(&mut key, &Wait::forever()));
    drop(wanted.write(&mut key, &Wait::forever()));
}

fn images_alone(wanted: &Level<Images>, key: &mut ThreadKey) {
    drop(wanted.read(key, &Wait::forever()));
    drop(wanted.write(key, &Wait::forever()));
}

fn containers_after_graph(held: &Level<Graph>, wanted: &Level<Containers>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).expect("a lock");
    drop(wanted.read(&mut key, &Wait::forever()));
    drop(wanted.write(&mut key, &Wait::forever()));
}

fn containers_after_user_namespaces(held: &Level<UserNamespaces>, wanted: &Level<Containers>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).expect("a lock");
    drop(wanted.read(&mut key, &Wait::forever()));
    drop(wanted.write(&mut key, &Wait::forever()));
}

fn containers_after_layers(held: &Level<Layers>, wanted: &Level<Containers>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).expect("a lock");
    drop(wanted.read(&mut key, &Wait::forever()));
    drop(wanted.write(&mut key, &Wait::forever()));
}

fn containers_after_mounts(held: &Level<Mounts>, wanted: &Level<Containers>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).expect("a lock");
    drop(wanted.read(&mut key, &Wait::forever()));
    drop(wanted.write(&mut key, &Wait::forever()));
}

fn containers_after_images(held: &Level<Images>, wanted: &Level<Containers>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).expect("a lock");
    drop(wanted.read(&mut key, &Wait::forever()));
    drop(wanted.write(&mut key, &Wait::forever()));
}

fn containers_alone(wanted: &Level<Containers>, key: &mut ThreadKey) {
    drop(wanted.read(key, &Wait::forever()));
    drop(wanted.write(key, &Wait::forever()));
}

pub(crate) fn every_pair() {
    let _ = graph_alone;
    let _ = user_namespaces_after_graph;
    let _ = user_namespaces_alone;
    let _ = layers_after_graph;
    let _ = layers_after_user_namespaces;
    let _ = layers_alone;
    let _ = mounts_after_graph;
    let _ = mounts_after_user_namespaces;
    let _ = mounts_after_layers;
    let _ = mounts_alone;
    let _ = images_after_graph;
    let _ = images_after_user_namespaces;
    let _ = images_after_layers;
    let _ = images_after_mounts;
    let _ = images_alone;
    let _ = containers_after_graph;
    let _ = containers_after_user_namespaces;
    let _ = containers_after_layers;
    let _ = containers_after_mounts;
    let _ = containers_after_images;
    let _ = containers_alone;
}
