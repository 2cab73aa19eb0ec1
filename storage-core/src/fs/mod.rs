//! Files and directories: opening beneath a directory, atomic replacement, staging and trash, copying.
