//! Stand-in for the store until it lands.
#![allow(dead_code, unused_variables, missing_docs, clippy::all, clippy::pedantic, reason = "a stand-in")]
use serde::Serialize;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use storage_core::driver::{MountOptions, Registry};
use storage_core::{Error, Kind, LayerId, Result, Task};
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Modify,
    Add,
    Delete,
}
#[derive(Clone, Debug)]
pub struct Change {
    pub path: PathBuf,
    pub kind: ChangeKind,
}
#[derive(Clone, Copy, Debug)]
pub enum Compression {
    None,
    Gzip,
}
#[derive(Clone, Copy, Debug)]
pub enum Durability {
    None,
    Layer,
    Strict,
}
#[derive(Clone, Copy, Debug)]
pub enum Release {
    One,
    IfMounted,
    Force,
}
#[derive(Clone, Debug, Serialize)]
pub struct IdMap {
    pub container_id: u64,
    pub host_id: u64,
    pub size: u64,
}
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    pub id: String,
    pub names: Vec<String>,
    pub parent: String,
    pub metadata: String,
    pub big_data_names: Vec<String>,
    pub uid_map: Vec<IdMap>,
    pub gid_map: Vec<IdMap>,
    pub diff_digest: String,
}
pub struct LockWait;
impl std::fmt::Display for LockWait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
#[derive(Clone)]
pub struct StoreOptions {
    pub graph_root: PathBuf,
    pub run_root: PathBuf,
    pub driver: Option<String>,
    pub driver_options: Vec<String>,
    pub durability: Durability,
    pub wait: Option<Duration>,
    pub wait_notice: Option<Arc<dyn Fn(&LockWait) + Send + Sync>>,
}
pub struct NewLayer {
    pub id: Option<LayerId>,
    pub parent: Option<String>,
    pub names: Vec<String>,
    pub mount_label: String,
    pub writable: bool,
    pub options: Vec<(String, String)>,
}
pub struct ThreadKey;
impl ThreadKey {
    pub fn take() -> Result<Self> {
        Ok(ThreadKey)
    }
}
pub struct LayerTable(Vec<Arc<Layer>>);
impl LayerTable {
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Layer>> {
        self.0.iter()
    }
}
pub struct Store;
fn no<T>() -> Result<T> {
    Err(Error::new(Kind::NotSupported, "stand-in"))
}
impl Store {
    pub fn open(o: &StoreOptions, r: &Registry) -> Result<Store> {
        no()
    }
    pub fn driver_name(&self) -> &str {
        ""
    }
    pub fn layers(&self) -> Result<Arc<LayerTable>> {
        no()
    }
    pub fn lookup(&self, n: &str) -> Result<Arc<Layer>> {
        no()
    }
    pub fn mount_point(&self, n: &str) -> Result<Option<PathBuf>> {
        no()
    }
    pub fn create_layer(&self, k: &mut ThreadKey, n: &NewLayer, t: &Task) -> Result<Arc<Layer>> {
        no()
    }
    pub fn import_layer(
        &self,
        k: &mut ThreadKey,
        n: &NewLayer,
        i: impl Read + Send,
        t: &Task,
    ) -> Result<(Arc<Layer>, u64)> {
        no()
    }
    pub fn apply_diff(&self, k: &mut ThreadKey, n: &str, i: impl Read + Send, t: &Task) -> Result<u64> {
        no()
    }
    pub fn diff(
        &self,
        k: &mut ThreadKey,
        to: &str,
        from: Option<&str>,
        c: Option<Compression>,
        out: &mut dyn Write,
        t: &Task,
    ) -> Result<()> {
        no()
    }
    pub fn changes(
        &self,
        k: &mut ThreadKey,
        to: &str,
        from: Option<&str>,
        t: &Task,
        each: &mut dyn FnMut(Change) -> Result<()>,
    ) -> Result<()> {
        no()
    }
    pub fn diff_size(&self, k: &mut ThreadKey, to: &str, from: Option<&str>, t: &Task) -> Result<u64> {
        no()
    }
    pub fn set_names(&self, k: &mut ThreadKey, n: &str, names: &[String]) -> Result<()> {
        no()
    }
    pub fn add_names(&self, k: &mut ThreadKey, n: &str, names: &[String]) -> Result<()> {
        no()
    }
    pub fn remove_names(&self, k: &mut ThreadKey, n: &str, names: &[String]) -> Result<()> {
        no()
    }
    pub fn set_metadata(&self, k: &mut ThreadKey, n: &str, t: &str) -> Result<()> {
        no()
    }
    pub fn big_data(&self, k: &mut ThreadKey, n: &str, d: &str) -> Result<Vec<u8>> {
        no()
    }
    pub fn set_big_data(&self, k: &mut ThreadKey, n: &str, d: &str, i: &mut dyn Read) -> Result<()> {
        no()
    }
    pub fn mount(&self, k: &mut ThreadKey, n: &str, o: &MountOptions) -> Result<PathBuf> {
        no()
    }
    pub fn mounted(&self, n: &str) -> Result<u64> {
        no()
    }
    pub fn unmount(&self, k: &mut ThreadKey, n: &str, r: Release) -> Result<bool> {
        no()
    }
    pub fn delete_layer(&self, k: &mut ThreadKey, n: &str, t: &Task) -> Result<()> {
        no()
    }
    pub fn wipe(&self, k: &mut ThreadKey, t: &Task) -> Result<()> {
        no()
    }
    pub fn shutdown(&self, k: &mut ThreadKey, f: bool) -> Result<Vec<String>> {
        no()
    }
    pub fn status(&self) -> Vec<(String, String)> {
        vec![]
    }
    pub fn gc(&self, k: &mut ThreadKey, t: &Task) -> Result<()> {
        no()
    }
    pub fn driver_layers(&self, k: &mut ThreadKey) -> Result<Vec<String>> {
        no()
    }
}
