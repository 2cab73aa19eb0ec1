//! What can be broken on purpose.

/// What is broken on purpose, so that the model can be seen to find it. All of it is of this world, none of the library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// The last-writer record is written after the file of records, as versions before 1.48 do.
    RecordsBeforeLastWriter,
    /// A version of a file is known by its inode number and the last-writer record, and not kept open.
    JudgedByNumber,
    /// After a lock file is locked, it is taken to be the one at its path.
    LockFileNotCompared,
    /// The same with the lock of a staging place.
    PlaceNotCompared,
    /// What was read before a retry is taken for current after it.
    StaleAfterRetry,
    /// A save ends before the file has its name, which it gets when the lock is released.
    PublishedBeforeSaved,
    /// A count is read, and acted upon under a lock that was taken after. The scenario's own step is what is broken.
    CountBeforeLock,
    /// A mount is made after it was counted and the intent was taken back.
    CountedBeforeMounted,
}
