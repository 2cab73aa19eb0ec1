//! Values on their way to a plugin. What they point to is borrowed, and lives as long as the call inside.

use std::os::fd::{AsFd, AsRawFd};

use super::super::codes::of_home;
use super::super::table::{Layer, Pair, Place, Range, RawMaps, RawMount, RawNamespace, RawOwners, RawPlan, RawRequest};
use super::super::text::Str;
use crate::driver::{Home, LayerRef, MountOptions, OwnerMaps, Plan, Request, Start};
use crate::idmap::{IdMap, Maps, Namespace};
use crate::ids::LayerId;

pub(super) fn place(id: &LayerId, home: Home) -> Place {
    Place { id: Str::new(id.as_str()), home: of_home(home) }
}

/// Calls `with` with the layer.
pub(super) fn layer<R>(layer: &LayerRef, with: impl FnOnce(*const Layer) -> R) -> R {
    let ancestors: Vec<Place> = layer.ancestors.iter().map(|each| place(&each.id, each.home)).collect();
    with(&Layer {
        size: size_of::<Layer>(),
        place: place(&layer.id, layer.home),
        ancestors: ancestors.as_ptr(),
        ancestor_count: ancestors.len(),
    })
}

/// Calls `with` with the layer, or with null where there is none.
pub(super) fn maybe_layer<R>(one: Option<&LayerRef>, with: impl FnOnce(*const Layer) -> R) -> R {
    match one {
        Some(one) => layer(one, with),
        None => with(std::ptr::null()),
    }
}

fn pairs(pairs: &[(String, String)]) -> Vec<Pair> {
    pairs.iter().map(|(key, value)| Pair { key: Str::new(key), value: Str::new(value) }).collect()
}

fn ranges(map: &[IdMap]) -> Vec<Range> {
    map.iter().map(|&IdMap { container_id, host_id, size }| Range { container_id, host_id, size }).collect()
}

/// Calls `with` with the maps.
fn maps<R>(maps: &Maps, with: impl FnOnce(RawMaps) -> R) -> R {
    let (uids, gids) = (ranges(&maps.uids), ranges(&maps.gids));
    with(RawMaps { uids: uids.as_ptr(), uid_count: uids.len(), gids: gids.as_ptr(), gid_count: gids.len() })
}

/// Calls `with` with the namespace, or with what means none.
fn namespace<R>(namespace: Option<&Namespace>, with: impl FnOnce(RawNamespace) -> R) -> R {
    let none = Maps::NONE;
    let (descriptor, inside) = namespace.map_or((-1, &none), |each| (each.as_fd().as_raw_fd(), each.maps()));
    maps(inside, |maps| with(RawNamespace { descriptor, maps }))
}

/// Calls `with` with the maps of two layers.
pub(super) fn owners<R>(owners: &OwnerMaps, with: impl FnOnce(*const RawOwners) -> R) -> R {
    maps(&owners.layer, |layer| {
        maps(&owners.base, |base| {
            namespace(owners.below_layer.as_ref(), |below_layer| {
                namespace(owners.below_base.as_ref(), |below_base| {
                    with(&RawOwners { size: size_of::<RawOwners>(), layer, base, below_layer, below_base })
                })
            })
        })
    })
}

/// Calls `with` with the request.
pub(super) fn request<R>(request: &Request, with: impl FnOnce(*const RawRequest) -> R) -> R {
    let additional: Vec<Str> = request.additional_homes.iter().map(|home| Str::of_path(home)).collect();
    let options = pairs(&request.options);
    with(&RawRequest {
        size: size_of::<RawRequest>(),
        home: Str::of_path(&request.home),
        run_home: Str::of_path(&request.run_home),
        image_home: request.image_home.as_deref().map_or(Str::EMPTY, Str::of_path),
        additional_homes: additional.as_ptr(),
        additional_count: additional.len(),
        options: options.as_ptr(),
        option_count: options.len(),
    })
}

/// Calls `with` with the plan.
pub(super) fn plan<R>(plan: &Plan, with: impl FnOnce(*const RawPlan) -> R) -> R {
    let options = pairs(&plan.options);
    let (on, replaced, empty) = match &plan.start {
        Start::OnParent(parent) => (parent.as_ref(), None, false),
        Start::Replacing { layer, empty } => (None, Some(layer), *empty),
    };
    maybe_layer(on, |parent| {
        maybe_layer(replaced, |replacing| {
            maps(&plan.maps, |own_maps| {
                maps(&plan.parent_maps, |parent_maps| {
                    with(&RawPlan {
                        size: size_of::<RawPlan>(),
                        parent,
                        replacing,
                        replacing_empty: i32::from(empty),
                        home: of_home(plan.home),
                        maps: own_maps,
                        parent_maps,
                        writable: i32::from(plan.writable),
                        options: options.as_ptr(),
                        option_count: options.len(),
                        mount_label: Str::new(&plan.mount_label),
                    })
                })
            })
        })
    })
}

/// Calls `with` with the options of a mount.
pub(super) fn mount<R>(mount: &MountOptions, with: impl FnOnce(*const RawMount) -> R) -> R {
    let options: Vec<Str> = mount.options.iter().map(|option| Str::new(option)).collect();
    namespace(mount.namespace.as_ref(), |user_namespace| {
        with(&RawMount {
            size: size_of::<RawMount>(),
            options: options.as_ptr(),
            option_count: options.len(),
            read_only: i32::from(mount.read_only),
            is_volatile: i32::from(mount.volatile),
            label: Str::new(&mount.label),
            user_namespace,
        })
    })
}
