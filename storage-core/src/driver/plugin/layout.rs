//! The macros that write down a type of the border together with its names, so that a test can hold it against the header.

/// A structure of the border: `repr(C)`, with the names that C has for it.
macro_rules! border {
    ($($(#[$doc:meta])* $name:ident = $c:literal { $($field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug)]
            pub(super) struct $name {
                $(pub(super) $field: $type,)*
            }
        )*

        /// Every structure: its name in C, its size, and each field with its offset.
        #[cfg(test)]
        pub(super) fn structures() -> Vec<(&'static str, usize, Vec<(&'static str, usize)>)> {
            vec![$((
                $c,
                size_of::<$name>(),
                vec![$((stringify!($field), std::mem::offset_of!($name, $field)),)*],
            ),)*]
        }
    };
}

/// The table of functions. What is required stands first, so that a table may end anywhere behind it.
macro_rules! table {
    (
        head { $($head:ident: $head_type:ty,)* }
        required { $($required:ident($($r_arg:ty),*) $(-> $r_result:ty)?;)* }
        optional { $($optional:ident($($o_arg:ty),*) $(-> $o_result:ty)?;)* }
    ) => {
        /// The functions of a plugin, as the header has them.
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub struct Table {
            $(pub(super) $head: $head_type,)*
            $(pub(super) $required: Option<unsafe extern "C" fn($($r_arg),*) $(-> $r_result)?>,)*
            $(pub(super) $optional: Option<unsafe extern "C" fn($($o_arg),*) $(-> $o_result)?>,)*
        }

        impl Table {
            /// The least size of a table: its head and what is required.
            pub(super) const LEAST: usize = {
                let ends = [$(std::mem::offset_of!(Table, $required) + size_of::<usize>(),)*];
                ends[ends.len() - 1]
            };

            /// The first required function that is missing.
            pub(super) fn missing(&self) -> Option<&'static str> {
                $(if self.$required.is_none() { return Some(stringify!($required)); })*
                None
            }
        }

        /// Every function: its name, its offset, and the types of its arguments and its result, in Rust's words.
        #[cfg(test)]
        pub(super) fn functions() -> Vec<(&'static str, usize, Vec<&'static str>, &'static str)> {
            vec![
                $((stringify!($required), std::mem::offset_of!(Table, $required), vec![$(stringify!($r_arg)),*],
                   concat!($(stringify!($r_result))?)),)*
                $((stringify!($optional), std::mem::offset_of!(Table, $optional), vec![$(stringify!($o_arg)),*],
                   concat!($(stringify!($o_result))?)),)*
            ]
        }
    };
}

pub(super) use {border, table};
