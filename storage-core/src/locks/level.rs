//! The levels, in the one order in which they are taken (R5).
//!
//! `graph` (storage.lock), `user namespaces` (userns.lock), `layers` (layers.lock), `mounts` (mountpoints.lock), `images`,
//! `containers`. A thread that holds a level takes only later ones. Additional stores are read by snapshot, so nothing waits
//! for them and they have no level.

/// A level of locking: a marker type that is never a value. There are those of this module and no others: with a level of its own
/// between two of them, a thread could go back in the order.
pub trait Level: sealed::Sealed + 'static {
    /// The name in messages.
    const NAME: &'static str;
}

/// `Self` comes before `L`: who holds `Self`, and nothing later, may take `L`.
#[diagnostic::on_unimplemented(
    message = "the level {L} can't be taken while {Self} is held (R5, R7)",
    label = "this lock comes earlier in the order, or is held already",
    note = "the order is: graph, user namespaces, layers, mounts, images, containers"
)]
pub trait Before<L: Level> {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! levels {
    ($($(#[$doc:meta])* $level:ident = $name:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub enum $level {}

            impl sealed::Sealed for $level {}

            impl Level for $level {
                const NAME: &'static str = $name;
            }
        )*
        levels!(@order $($level)*);
    };
    (@order) => {};
    (@order $first:ident $($later:ident)*) => {
        $(impl Before<$later> for $first {})*
        levels!(@order $($later)*);
    };
}

levels! {
    /// Nothing is held.
    Nothing = "nothing";
    /// `storage.lock`: initialisation of a driver and shutdown, against everything else.
    Graph = "graph";
    /// `userns.lock`: allocation of user-namespace ranges.
    UserNamespaces = "user namespaces";
    /// `layers.lock`: the layers' records and the driver's places.
    Layers = "layers";
    /// `mountpoints.lock`: mount counts. Taken only by who holds the layers.
    Mounts = "mounts";
    /// `images.lock`: the images' records.
    Images = "images";
    /// `containers.lock`: the containers' records.
    Containers = "containers";
}
