//! R1: everything that reads is asked with proof of a shared hold and gets no more, so that it can attach nothing.
use storage_core::LayerId;
use storage_core::driver::{Driver, Home, LayerRef, OwnerMaps, Plan, Shared};

pub(crate) fn every_reading(driver: &dyn Driver, held: &Shared<'_>, id: &LayerId, layer: &LayerRef, plan: &Plan) {
    drop(driver.exists(held, id, Home::Own));
    drop(driver.list(held, Home::Own));
    drop(driver.metadata(held, layer));
    drop(driver.identity(held, id, Home::Own));
    drop(driver.view(held, layer));
    drop(driver.own_files(held, layer));
    drop(driver.compare(held, layer, Some(layer), &OwnerMaps::default()));
    drop(driver.is_untouched(held, layer));
    drop(driver.write_mark(held, id, Home::Own));
    drop(driver.is_mounted(held, id, Home::Own));
    drop(driver.examine(held, layer));
    drop(driver.strays(held));
    drop(driver.recall_parent(held, id, Home::Own));
    drop(driver.begin(held, plan));
}
