//! Which drivers work on a root, why, and which one a store there would get.
//!
//! `cargo run -p storage-core --example choose [ROOT [DRIVER]]` asks the drivers of this tree, and plugins in the directories
//! of `LAMINA_PLUGIN_PATH`, about ROOT (a directory that needn't exist). Nothing is made there.
#![allow(clippy::print_stdout, reason = "an example speaks to a person")]

use std::path::PathBuf;

use storage_core::Result;
use storage_core::driver::plugin::{DEFAULT_DIRECTORY, PATH_VARIABLE, Plugins, variable_directories};
use storage_core::driver::{Registry, Roots};

// A driver that nobody names is not linked.
use storage_driver_btrfs as _;
use storage_driver_overlay as _;
use storage_driver_vfs as _;
use storage_driver_zfs as _;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let root = arguments.next().map_or_else(|| std::env::temp_dir().join("choose-a-driver"), PathBuf::from);
    let wanted = arguments.next().map(|name| name.to_string_lossy().into_owned());
    let roots = Roots::new(root.join("graph"), root.join("run"));

    let mut registry = Registry::linked()?;
    let named = std::env::var_os(PATH_VARIABLE).unwrap_or_default();
    Plugins::new()
        .in_directories(variable_directories(&named))
        .in_directories([PathBuf::from(DEFAULT_DIRECTORY)])
        .load_into(&mut registry);

    println!("On {}:", roots.graph.display());
    for candidate in registry.survey(&roots, &[])? {
        println!("  {candidate}");
        if candidate.survey.usable {
            println!("    can: {}", candidate.abilities().join(", "));
        }
    }
    for refused in registry.refused() {
        println!("  refused: {}", refused.reason);
    }
    match registry.choose(&roots, wanted.as_deref(), &[]) {
        Ok(choice) => {
            println!("{} is chosen: {}.", choice.descriptor.name, choice.reason);
            println!("As JSON: {}", choice.to_json());
        }
        Err(error) => println!("None is chosen: {error}"),
    }
    Ok(())
}
