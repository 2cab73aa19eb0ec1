//! Values that arrived from the host.

use std::os::fd::BorrowedFd;

use super::super::codes;
use super::super::table::{
    Layer, Pair, Place, Range, RawMaps, RawMount, RawNamespace, RawOwners, RawPlan, RawRequest, received,
};
use super::super::text::{Str, array};
use super::guard::wrong;
use crate::driver::{Ancestor, Home, LayerRef, MountOptions, OwnerMaps, Plan, Request, Start};
use crate::error::{OsContext, Result};
use crate::idmap::{IdMap, Maps, Namespace};
use crate::ids::LayerId;

// All functions here are unsafe for one reason: the host vouches that pointers are good for the call, as the header asks.

pub(super) fn home(code: u32) -> Result<Home> {
    codes::home(code).ok_or_else(|| wrong(format!("{code} stands for no home")))
}

pub(super) unsafe fn id(id: Str) -> Result<LayerId> {
    // SAFETY: see above.
    LayerId::from_store(unsafe { id.text() }.map_err(wrong)?)
}

pub(super) unsafe fn place(from: *const Place) -> Result<(LayerId, Home)> {
    if from.is_null() {
        return Err(wrong("a place has no address"));
    }
    // SAFETY: see above.
    let place = unsafe { from.read() };
    // SAFETY: see above.
    Ok((unsafe { id(place.id) }?, home(place.home)?))
}

pub(super) unsafe fn layer(from: *const Layer) -> Result<LayerRef> {
    // SAFETY: see above.
    let layer = unsafe { received(from) }.ok_or_else(|| wrong("a layer has no address"))?;
    // SAFETY: see above.
    unsafe { layer_of(layer) }
}

pub(super) unsafe fn maybe_layer(from: *const Layer) -> Result<Option<LayerRef>> {
    // SAFETY: see above.
    unsafe { received(from).map(|layer| layer_of(layer)).transpose() }
}

unsafe fn layer_of(layer: Layer) -> Result<LayerRef> {
    // SAFETY: see above.
    let (own, all) = unsafe { (place(&layer.place)?, array(layer.ancestors, layer.ancestor_count).map_err(wrong)?) };
    let ancestor = |each: &Place| {
        // SAFETY: see above.
        let (id, home) = unsafe { place(each) }?;
        Ok(Ancestor { id, home })
    };
    Ok(LayerRef { id: own.0, home: own.1, ancestors: all.iter().map(ancestor).collect::<Result<_>>()? })
}

unsafe fn text(text: Str) -> Result<String> {
    // SAFETY: see above.
    unsafe { text.text() }.map(str::to_owned).map_err(wrong)
}

unsafe fn pairs(from: *const Pair, count: usize) -> Result<Vec<(String, String)>> {
    // SAFETY: see above.
    let pairs = unsafe { array(from, count) }.map_err(wrong)?;
    // SAFETY: see above.
    pairs.iter().map(|pair| unsafe { Ok((text(pair.key)?, text(pair.value)?)) }).collect()
}

unsafe fn maps(maps: RawMaps) -> Result<Maps> {
    // SAFETY: see above.
    let (uids, gids) = unsafe { (ranges(maps.uids, maps.uid_count)?, ranges(maps.gids, maps.gid_count)?) };
    Ok(Maps { uids, gids })
}

unsafe fn ranges(from: *const Range, count: usize) -> Result<Vec<IdMap>> {
    // SAFETY: see above.
    let ranges = unsafe { array(from, count) }.map_err(wrong)?;
    Ok(ranges.iter().map(|&Range { container_id, host_id, size }| IdMap { container_id, host_id, size }).collect())
}

/// The descriptor is the host's; this has one of its own.
unsafe fn namespace(from: RawNamespace) -> Result<Option<Namespace>> {
    if from.descriptor < 0 {
        return Ok(None);
    }
    // SAFETY: see above.
    let (maps, fd) = unsafe { (maps(from.maps)?, BorrowedFd::borrow_raw(from.descriptor)) };
    let fd = fd.try_clone_to_owned().os("dup(user namespace)", "/proc/self/ns/user")?;
    Ok(Some(Namespace::received(maps, fd)))
}

pub(super) unsafe fn owners(from: *const RawOwners) -> Result<OwnerMaps> {
    // SAFETY: see above.
    unsafe {
        let owners = received(from).ok_or_else(|| wrong("the maps have no address"))?;
        Ok(OwnerMaps {
            layer: maps(owners.layer)?,
            base: maps(owners.base)?,
            below_layer: namespace(owners.below_layer)?,
            below_base: namespace(owners.below_base)?,
        })
    }
}

pub(super) unsafe fn request(from: *const RawRequest) -> Result<Request> {
    // SAFETY: see above.
    unsafe {
        let request = received(from).ok_or_else(|| wrong("the request has no address"))?;
        let additional = array(request.additional_homes, request.additional_count).map_err(wrong)?;
        let image_home = request.image_home.path().map_err(wrong)?;
        Ok(Request {
            home: request.home.path().map_err(wrong)?,
            image_home: Some(image_home).filter(|home| !home.as_os_str().is_empty()),
            additional_homes: additional.iter().map(|home| home.path().map_err(wrong)).collect::<Result<_>>()?,
            run_home: request.run_home.path().map_err(wrong)?,
            options: pairs(request.options, request.option_count)?,
        })
    }
}

pub(super) unsafe fn plan(from: *const RawPlan) -> Result<Plan> {
    // SAFETY: see above.
    unsafe {
        let plan = received(from).ok_or_else(|| wrong("the plan has no address"))?;
        let start = match maybe_layer(plan.replacing)? {
            Some(layer) => Start::Replacing { layer, empty: plan.replacing_empty != 0 },
            None => Start::OnParent(maybe_layer(plan.parent)?),
        };
        Ok(Plan {
            start,
            home: home(plan.home)?,
            maps: maps(plan.maps)?,
            parent_maps: maps(plan.parent_maps)?,
            writable: plan.writable != 0,
            options: pairs(plan.options, plan.option_count)?,
            mount_label: text(plan.mount_label)?,
        })
    }
}

pub(super) unsafe fn mount(from: *const RawMount) -> Result<MountOptions> {
    // SAFETY: see above.
    unsafe {
        let mount = received(from).ok_or_else(|| wrong("the options of the mount have no address"))?;
        let options = array(mount.options, mount.option_count).map_err(wrong)?;
        Ok(MountOptions {
            namespace: namespace(mount.user_namespace)?,
            options: options.iter().map(|option| text(*option)).collect::<Result<_>>()?,
            read_only: mount.read_only != 0,
            volatile: mount.is_volatile != 0,
            label: text(mount.label)?,
        })
    }
}
